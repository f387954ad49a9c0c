"""Tuning jobs over training jobs in real containers, on either runtime."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.cloud.sagemaker.fakes import TRAINING, FakeCloud, tuning_request
from tests.cloud.sagemaker.real import real, with_containers
from tests.support import RUNTIMES

pytestmark = real

PROGRAMS = {
    "train.py": """\
import json, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
lr = float(json.load(open("/opt/ml/input/config/hyperparameters.json"))["lr"])
for epoch in range(3):
    print(f"f1={lr};")
if lr < 0.5:
    signal.pause()
open("/opt/ml/model/lr", "w").write(str(lr))
""",
}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_training_job_that_is_worse_than_most_is_stopped(
    runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        request = tuning_request(
            strategy="Grid",
            ranges={"CategoricalParameterRanges": [{"Name": "lr", "Values": ["0.5", "0.25", "0.75"]}]},
            config={"TrainingJobEarlyStoppingType": "Auto"},
            EnableNetworkIsolation=True,
        )
        algorithm = request["TrainingJobDefinition"]["AlgorithmSpecification"]
        algorithm |= {"ContainerEntrypoint": ["python", "-u", "/programs/train.py"]}
        await cloud.do("create_hyper_parameter_tuning_job", **request)
        async with asyncio.timeout(60):
            job = await cloud.sagemaker.wait_for_job("tuning", "tune-1")
        assert job["HyperParameterTuningJobStatus"] == "Completed"
        assert job["TrainingJobStatusCounters"]["Completed"] == 2
        assert job["TrainingJobStatusCounters"]["Stopped"] == 1
        best = job["BestTrainingJob"]
        assert best["TunedHyperParameters"] == {"lr": "0.75"}
        assert f"out/{best['TrainingJobName']}/output/model.tar.gz" in cloud.storage.buckets["data"]

    with_containers(runtime, tmp_path, TRAINING, PROGRAMS, scenario, monkeypatch)
