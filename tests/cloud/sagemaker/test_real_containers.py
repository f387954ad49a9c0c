"""Jobs whose containers are real: what they see at ``/opt/ml``, and what becomes of it."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

import pytest

from harness.containers.build import build
from harness.containers.launch import probe
from harness.containers.process import ProcessRuntime
from harness.containers.runtime import Image, ImageSource
from tests.cloud.sagemaker.fakes import (
    PROCESSING,
    TRAINING,
    FakeCloud,
    processing_request,
    tuning_request,
    with_cloud,
)

pytestmark = pytest.mark.slow

modes = pytest.mark.parametrize(
    "namespaces",
    [
        pytest.param(
            True,
            id="namespaces",
            marks=pytest.mark.skipif(
                not probe().namespaces, reason=f"this machine has no user namespaces: {probe().reason}"
            ),
        ),
        pytest.param(False, id="without"),
    ],
)

CLEAN = """
ml=${SAGEMAKER_BASE_DIR:-/opt/ml}
set -e
for file in $(cd $ml/processing/raw && find . -type f); do
    mkdir -p $ml/processing/clean/$(dirname $file)
    tr a-z A-Z < $ml/processing/raw/$file > $ml/processing/clean/$file
done
grep -q '"ProcessingJobName": "'$JOB'"' $ml/config/processingjobconfig.json
grep -q '"current_host": "algo-1"' $ml/config/resourceconfig.json
echo "cleaned for $JOB as $1"
printf 'all clean' > $ml/output/message
exit $2
"""

TRAIN = """
ml=${SAGEMAKER_BASE_DIR:-/opt/ml}
lr=$(sed 's/.*"lr": "\\([^"]*\\)".*/\\1/' $ml/input/config/hyperparameters.json)
echo "f1=$lr;"
echo $lr > $ml/model/lr
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Image]:
    """Build an image that runs a shell script."""

    def make(script: str) -> Image:
        folder = tmp_path_factory.mktemp("context")
        (folder / "program.sh").write_text(script)
        (folder / "Dockerfile").write_text(
            'FROM debian:stable-slim\nCOPY program.sh /program.sh\nENTRYPOINT ["sh", "/program.sh"]\n'
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HARNESS_CACHE", str(tmp_path_factory.mktemp("cache")))
            return build(ImageSource("image", folder), lambda line: None)

    return make


def with_containers(scenario: Callable[[FakeCloud], Awaitable[None]], *, namespaces: bool) -> None:
    async def real(cloud: FakeCloud) -> None:
        cloud.containers = ProcessRuntime(namespaces=namespaces)  # type: ignore[assignment]
        await scenario(cloud)

    with_cloud(real)


@modes
def test_a_processing_job(images: Callable[[str], Image], namespaces: bool) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[PROCESSING] = images(CLEAN)
        cloud.put(raw__a=b"one", raw__sub__b=b"two")
        for name, code in (("process-1", "0"), ("process-2", "3")):
            application = {"ImageUri": PROCESSING, "ContainerArguments": ["root", code]}
            request = processing_request(name, AppSpecification=application, Environment={"JOB": name})
            await cloud.do("create_processing_job", **request)
            await cloud.sagemaker.wait_for_job("processing", name)
        good = await cloud.do("describe_processing_job", ProcessingJobName="process-1")
        assert (good["ProcessingJobStatus"], good["ExitMessage"]) == ("Completed", "all clean")
        assert cloud.storage.get("data", "clean/sub/b") == b"TWO"
        bad = await cloud.do("describe_processing_job", ProcessingJobName="process-2")
        assert (bad["ProcessingJobStatus"], bad["ExitMessage"]) == ("Failed", "all clean")
        assert bad["FailureReason"] == "AlgorithmError: , exit code: 3"
        lines = [line for lines in cloud.logs.values() for line in lines]
        assert lines == ["cleaned for process-1 as root", "cleaned for process-2 as root"]
        await cloud.settle()
        assert os.listdir(cloud.folder / "sagemaker" / "processing") == []

    with_containers(scenario, namespaces=namespaces)


@modes
def test_a_tuning_job(images: Callable[[str], Image], namespaces: bool) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = images(TRAIN)
        ranges = {"CategoricalParameterRanges": [{"Name": "lr", "Values": ["0.25", "0.75", "0.5"]}]}
        request = tuning_request(strategy="Grid", parallel=2, ranges=ranges)
        await cloud.do("create_hyper_parameter_tuning_job", **request)
        job = await cloud.sagemaker.wait_for_job("tuning", "tune-1")
        assert job["HyperParameterTuningJobStatus"] == "Completed"
        best = job["BestTrainingJob"]
        assert best["TunedHyperParameters"] == {"lr": "0.75"}
        assert best["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == 0.75
        assert f"out/{best['TrainingJobName']}/output/model.tar.gz" in cloud.storage.buckets["data"]

    with_containers(scenario, namespaces=namespaces)
