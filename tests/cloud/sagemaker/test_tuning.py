from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from harness.cloud.faults import JobFault
from tests.cloud.sagemaker.fakes import (
    START,
    TRAINING,
    Box,
    FakeCloud,
    channel,
    image,
    training_request,
    trains,
    tuning_request,
    with_cloud,
)

ARN = "arn:aws:sagemaker:us-east-1:123456789012:hyper-parameter-tuning-job/tune-1"
LETTERS = {"CategoricalParameterRanges": [{"Name": "letter", "Values": ["a", "b", "c"]}]}


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(START + seconds, UTC)


def hyperparameters(box: Box) -> dict[str, str]:
    read: dict[str, str] = json.loads((box.path("/opt/ml/input/config") / "hyperparameters.json").read_text())
    return read


async def scores_lr(box: Box) -> int:
    """A training program whose f1 is its learning rate."""
    box.say(f"f1={hyperparameters(box)['lr']};")
    return await trains(box)


def scoring(*values: float | None) -> Any:
    """A training program that logs these values, one a job; it fails where there is None."""
    left = iter(values)

    async def program(box: Box) -> int:
        value = next(left)
        if value is None:
            return 1
        box.say(f"f1={value};")
        return await trains(box)

    return program


async def silent(box: Box) -> int:
    return await trains(box)


async def tune(cloud: FakeCloud, program: Any = scores_lr, **changes: Any) -> dict[str, Any]:
    """Create a job and wait for its end."""
    cloud.images[TRAINING] = image(program)
    await cloud.do("create_hyper_parameter_tuning_job", **tuning_request(**changes))
    return await cloud.sagemaker.wait_for_job("tuning", changes.get("name", "tune-1"))


async def trials(cloud: FakeCloud, **params: Any) -> list[dict[str, Any]]:
    listed = await cloud.do(
        "list_training_jobs_for_hyper_parameter_tuning_job",
        **{"HyperParameterTuningJobName": "tune-1", "MaxResults": 100} | params,
    )
    summaries: list[dict[str, Any]] = listed["TrainingJobSummaries"]
    return summaries


# What a job does --------------------------------------------------------------------------------------


def test_a_random_search_over_real_training_jobs() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(train__a=b"1")
        cloud.images[TRAINING] = image(scores_lr)
        answer = await cloud.do(
            "create_hyper_parameter_tuning_job",
            **tuning_request(
                StaticHyperParameters={"epochs": "3"},
                InputDataConfig=[channel()],
                Environment={"MINE": "1"},
                DefinitionName="only",
            ),
            Tags=[{"Key": "team", "Value": "a"}],
        )
        assert answer == {"HyperParameterTuningJobArn": ARN}
        started = await cloud.do("describe_hyper_parameter_tuning_job", HyperParameterTuningJobName="tune-1")
        assert started["HyperParameterTuningJobStatus"] == "InProgress"
        assert "BestTrainingJob" not in started
        job = await cloud.sagemaker.wait_for_job("tuning", "tune-1")
        assert job["HyperParameterTuningJobStatus"] == "Completed"
        assert job["TrainingJobStatusCounters"] == {
            "Completed": 3,
            "InProgress": 0,
            "RetryableError": 0,
            "NonRetryableError": 0,
            "Stopped": 0,
        }
        assert job["ObjectiveStatusCounters"] == {"Succeeded": 3, "Pending": 0, "Failed": 0}

        found = await trials(cloud)
        for number, trial in enumerate(found, 1):
            assert re.fullmatch(rf"tune-1-00{number}-[0-9a-f]{{8}}", trial["TrainingJobName"])
            assert trial["TrainingJobDefinitionName"] == "only"
            assert trial["TrainingJobStatus"] == "Completed"
            assert trial["ObjectiveStatus"] == "Succeeded"
            [(name, value)] = trial["TunedHyperParameters"].items()
            assert name == "lr"
            metric = trial["FinalHyperParameterTuningJobObjectiveMetric"]
            assert metric["MetricName"] == "f1"
            assert metric["Value"] == pytest.approx(float(value))
        assert len({trial["TunedHyperParameters"]["lr"] for trial in found}) == 3
        best = max(found, key=lambda trial: float(trial["TunedHyperParameters"]["lr"]))
        assert job["BestTrainingJob"] == best

        training = await cloud.do("describe_training_job", TrainingJobName=best["TrainingJobName"])
        assert training["TuningJobArn"] == ARN
        assert training["HyperParameters"] == {
            "epochs": "3",
            "_tuning_objective_metric": "f1",
            **best["TunedHyperParameters"],
        }
        assert training["Environment"] == {"MINE": "1"}
        assert f"out/{best['TrainingJobName']}/output/model.tar.gz" in cloud.storage.buckets["data"]
        tags = await cloud.do("list_tags", ResourceArn=best["TrainingJobArn"])
        assert tags == {"Tags": [{"Key": "team", "Value": "a"}]}

    with_cloud(scenario)


def test_a_training_job_of_nobody_has_no_tuning_job() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await cloud.do("create_training_job", **training_request())
        job = await cloud.sagemaker.wait_for_job("training", "train-1")
        assert "TuningJobArn" not in job

    with_cloud(scenario)


def test_a_grid_search_tries_every_combination() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        ranges = {
            "CategoricalParameterRanges": [
                {"Name": "lr", "Values": ["0.1", "0.2"]},
                {"Name": "kind", "Values": ["x", "y", "z"]},
            ]
        }
        job = await tune(cloud, strategy="Grid", most=None, parallel=2, ranges=ranges)
        assert job["HyperParameterTuningJobStatus"] == "Completed"
        tried = [
            (trial["TunedHyperParameters"]["lr"], trial["TunedHyperParameters"]["kind"])
            for trial in await trials(cloud)
        ]
        assert tried == [(lr, kind) for lr in ("0.1", "0.2") for kind in "xyz"]
        assert job["BestTrainingJob"]["TunedHyperParameters"] == {
            "lr": "0.2",
            "kind": "x",
        }  # the first of equals

    with_cloud(scenario)


def test_minimize_wants_the_least() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        job = await tune(cloud, scoring(0.5, 0.25, 0.75), objective="Minimize")
        assert job["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == 0.25

    with_cloud(scenario)


def test_a_bayesian_search_says_that_it_is_a_random_one() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        job = await tune(cloud, strategy="Bayesian")
        assert job["HyperParameterTuningJobStatus"] == "Completed"
        assert job["HyperParameterTuningJobConfig"]["Strategy"] == "Bayesian"
        [warning] = cloud.events_of("warning")
        assert warning.subject == "tune-1"
        assert warning.data["message"] == "the Bayesian search is carried out as a random search"
        await tune(cloud, name="tune-2")
        assert len(cloud.events_of("warning")) == 1

    with_cloud(scenario)


def test_a_seed_decides_the_search() -> None:
    tried: list[list[str]] = []

    async def scenario(cloud: FakeCloud) -> None:
        for name, seed in (("tune-1", 1), ("tune-2", 1), ("tune-3", 2)):
            await tune(cloud, name=name, config={"RandomSeed": seed})
            found = await trials(cloud, HyperParameterTuningJobName=name)
            tried.append([trial["TunedHyperParameters"]["lr"] for trial in found])

    with_cloud(scenario)
    assert tried[0] == tried[1] != tried[2]


def test_no_more_training_jobs_run_at_once_than_may() -> None:
    running: set[str] = set()
    most: list[int] = []

    async def scenario(cloud: FakeCloud) -> None:
        three = asyncio.Event()

        async def program(box: Box) -> int:
            running.add(box.spec.name)
            most.append(len(running))
            if len(running) == 3:
                three.set()
            await three.wait()
            running.remove(box.spec.name)
            return await scores_lr(box)

        job = await tune(cloud, program, most=7, parallel=3)
        assert job["TrainingJobStatusCounters"]["Completed"] == 7
        assert max(most) == 3

    with_cloud(scenario)


def test_training_jobs_take_their_virtual_time_one_after_another() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.faults.jobs["training"] = JobFault(takes=600)
        job = await tune(cloud, most=4, parallel=2)
        assert job["CreationTime"] == at(0)
        assert job["HyperParameterTuningEndTime"] == job["LastModifiedTime"] == at(1200)
        assert job["ConsumedResources"] == {"RuntimeInSeconds": 1200}
        ends = [trial["TrainingEndTime"] for trial in await trials(cloud)]
        assert ends == [at(600), at(600), at(1200), at(1200)]

    with_cloud(scenario)


def test_events_tell_of_the_tuning_job_and_of_its_training_jobs() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await tune(cloud, most=1)
        told = [(event.data["type"], event.data["status"]) for event in cloud.events_of("job")]
        assert told[0] == ("tuning", "InProgress")
        assert told[-2:] == [("training", "Completed"), ("tuning", "Completed")]

    with_cloud(scenario)


# Failure ----------------------------------------------------------------------------------------------


def test_failed_training_jobs_count_and_do_not_fail_the_tuning_job() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        job = await tune(cloud, scoring(None, 0.5, None))
        assert job["HyperParameterTuningJobStatus"] == "Completed"
        assert job["TrainingJobStatusCounters"]["Completed"] == 1
        assert job["TrainingJobStatusCounters"]["NonRetryableError"] == 2
        assert job["ObjectiveStatusCounters"] == {"Succeeded": 1, "Pending": 0, "Failed": 2}
        first = (await trials(cloud))[0]
        assert first["TrainingJobStatus"] == first["ObjectiveStatus"] == "Failed"
        assert first["FailureReason"] == "AlgorithmError: , exit code: 1"
        assert "FinalHyperParameterTuningJobObjectiveMetric" not in first

    with_cloud(scenario)


def test_errors_of_the_platform_are_counted_apart() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.containers.refuse = "no namespaces here"
        job = await tune(cloud, most=1)
        assert job["TrainingJobStatusCounters"]["RetryableError"] == 1
        assert job["TrainingJobStatusCounters"]["NonRetryableError"] == 0

    with_cloud(scenario)


@pytest.mark.parametrize(("most", "attempts"), [(2, 2), (20, 5)])
def test_nothing_but_failures_is_given_up(most: int, attempts: int) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        job = await tune(cloud, scoring(*[None] * most), most=most)
        assert job["HyperParameterTuningJobStatus"] == "Failed"
        assert job["FailureReason"] == (
            f"No training job succeeded after {attempts} attempts. For additional details, please take a "
            "look at the training job failures by listing training jobs for the hyperparameter tuning job."
        )
        assert len(await trials(cloud)) == attempts
        assert "BestTrainingJob" not in job

    with_cloud(scenario)


def test_training_jobs_that_never_log_the_metric_are_given_up() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        job = await tune(cloud, silent, most=20)
        assert job["HyperParameterTuningJobStatus"] == "Failed"
        assert job["FailureReason"].startswith("No objective metrics found after running 5 training jobs. ")
        assert job["TrainingJobStatusCounters"]["Completed"] == 5
        assert job["ObjectiveStatusCounters"] == {"Succeeded": 0, "Pending": 0, "Failed": 5}

    with_cloud(scenario)


def test_a_success_among_the_first_lets_the_search_go_on() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        job = await tune(cloud, scoring(None, None, 0.1, None, None, None, 0.9), most=7)
        assert job["HyperParameterTuningJobStatus"] == "Completed"
        assert job["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"][
            "Value"
        ] == pytest.approx(0.9)

    with_cloud(scenario)


def test_data_that_vanish_fail_the_job_with_what_is_missing() -> None:
    async def program(box: Box) -> int:
        cloud_of[0].storage.buckets["data"].pop("train/a")
        return await scores_lr(box)

    cloud_of: list[FakeCloud] = []

    async def scenario(cloud: FakeCloud) -> None:
        cloud_of.append(cloud)
        cloud.put(train__a=b"1")
        job = await tune(cloud, program, InputDataConfig=[channel()])
        assert job["HyperParameterTuningJobStatus"] == "Failed"
        assert job["FailureReason"].startswith("ValidationException: No S3 objects found under S3 URL")
        assert job["TrainingJobStatusCounters"]["Completed"] == 1

    with_cloud(scenario)


# Stopping ---------------------------------------------------------------------------------------------


def test_stopping_stops_the_training_jobs() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.faults.jobs["training"] = JobFault(takes=600)
        cloud.images[TRAINING] = image(scores_lr)
        await cloud.do("create_hyper_parameter_tuning_job", **tuning_request(most=10, parallel=2))
        await cloud.clock.sleep(900)
        stop = {"HyperParameterTuningJobName": "tune-1"}
        assert await cloud.do("stop_hyper_parameter_tuning_job", **stop) == {}
        job = await cloud.do("describe_hyper_parameter_tuning_job", **stop)
        assert job["HyperParameterTuningJobStatus"] == "Stopping"
        error = await cloud.error("stop_hyper_parameter_tuning_job", **stop)
        assert error.message.endswith("the hyperparameter tuning job is in status Stopping.")
        job = await cloud.sagemaker.wait_for_job("tuning", "tune-1")
        assert job["HyperParameterTuningJobStatus"] == "Stopped"
        assert job["HyperParameterTuningEndTime"] == at(900)
        assert "FailureReason" not in job
        assert [trial["TrainingJobStatus"] for trial in await trials(cloud)] == [
            *("Completed", "Completed"),
            *("Stopped", "Stopped"),
        ]
        assert job["TrainingJobStatusCounters"]["Stopped"] == 2
        assert job["BestTrainingJob"]["TrainingJobStatus"] == "Completed"

    with_cloud(scenario)


def test_a_job_may_be_stopped_before_it_has_started_anything() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await cloud.do("create_hyper_parameter_tuning_job", **tuning_request())
        await cloud.do("stop_hyper_parameter_tuning_job", HyperParameterTuningJobName="tune-1")
        job = await cloud.sagemaker.wait_for_job("tuning", "tune-1")
        assert job["HyperParameterTuningJobStatus"] == "Stopped"
        assert await trials(cloud) == []

    with_cloud(scenario)


def test_a_training_job_stopped_by_hand_is_one_less() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.faults.jobs["training"] = JobFault(takes=600)
        cloud.images[TRAINING] = image(scores_lr)
        await cloud.do("create_hyper_parameter_tuning_job", **tuning_request(most=2))
        await cloud.clock.sleep(60)
        [trial] = await trials(cloud)
        await cloud.do("stop_training_job", TrainingJobName=trial["TrainingJobName"])
        job = await cloud.sagemaker.wait_for_job("tuning", "tune-1")
        assert job["HyperParameterTuningJobStatus"] == "Completed"
        assert job["HyperParameterTuningEndTime"] == at(660)
        assert job["TrainingJobStatusCounters"]["Stopped"] == 1
        assert job["BestTrainingJob"]["TrainingJobStatus"] == "Completed"

    with_cloud(scenario)


def test_the_runtime_limit_ends_the_search_in_virtual_time() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.faults.jobs["training"] = JobFault(takes=100)
        limits = {"MaxNumberOfTrainingJobs": 10, "MaxParallelTrainingJobs": 1, "MaxRuntimeInSeconds": 250}
        job = await tune(cloud, config={"ResourceLimits": limits})
        assert job["HyperParameterTuningEndTime"] == at(250)
        assert job["TrainingJobStatusCounters"]["Completed"] == 2
        assert job["TrainingJobStatusCounters"]["Stopped"] == 1
        assert job["HyperParameterTuningJobStatus"] == "Completed"

    with_cloud(scenario)


# Completion criteria ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("objective", "values", "target", "jobs"),
    [
        ("Maximize", (0.5, 0.9, 0.95), 0.9, 2),  # both are 32-bit floats
        ("Minimize", (0.5, 0.2, 0.1), 0.3, 2),
        ("Maximize", (0.5, 0.6, 0.7), 0.9, 3),
    ],
)
def test_a_target_ends_the_search(
    objective: str, values: tuple[float, ...], target: float, jobs: int
) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        criteria = {"TuningJobCompletionCriteria": {"TargetObjectiveMetricValue": target}}
        job = await tune(cloud, scoring(*values), objective=objective, config=criteria)
        assert job["HyperParameterTuningJobStatus"] == "Completed"
        assert len(await trials(cloud)) == jobs

    with_cloud(scenario)


def test_a_target_stops_the_training_jobs_that_still_run() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        async def program(box: Box) -> int:
            box.say("f1=1.0;")
            if box.spec.labels["job"].startswith("tune-1-002"):
                await box.terminated.wait()
            return await trains(box)

        criteria = {"TuningJobCompletionCriteria": {"TargetObjectiveMetricValue": 0.9}}
        job = await tune(cloud, program, most=2, parallel=2, config=criteria)
        assert job["HyperParameterTuningJobStatus"] == "Completed"
        assert [trial["TrainingJobStatus"] for trial in await trials(cloud)] == ["Completed", "Stopped"]

    with_cloud(scenario)


def test_a_search_that_no_longer_improves_ends() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        values = (0.5, 0.6, 0.601, 0.55, None, 0.605, 0.9)  # less than 1 % better is not better
        not_improving = {"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3}}
        job = await tune(
            cloud, scoring(*values), most=7, config={"TuningJobCompletionCriteria": not_improving}
        )
        assert job["HyperParameterTuningJobStatus"] == "Completed"
        assert len(await trials(cloud)) == 6
        assert job["TuningJobCompletionDetails"] == {"NumberOfTrainingJobsObjectiveNotImproving": 3}

    with_cloud(scenario)


# The API ----------------------------------------------------------------------------------------------


def test_training_jobs_are_listed_by_their_metric() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await tune(cloud, scoring(0.5, None, 0.75, 0.25), most=4)

        async def values(**params: Any) -> list[float]:
            found = await trials(cloud, SortBy="FinalObjectiveMetricValue", **params)
            return [trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for trial in found]

        assert await values() == [0.25, 0.5, 0.75]
        assert await values(SortOrder="Descending") == [0.75, 0.5, 0.25]
        first = await cloud.do(
            "list_training_jobs_for_hyper_parameter_tuning_job",
            HyperParameterTuningJobName="tune-1",
            SortBy="FinalObjectiveMetricValue",
            MaxResults=2,
        )
        assert await values(NextToken=first["NextToken"]) == [0.75]
        [failed] = await trials(cloud, StatusEquals="Failed")
        assert failed["TrainingJobName"].startswith("tune-1-002-")

    with_cloud(scenario)


def test_jobs_are_listed_by_name() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await tune(cloud, name="b")
        await tune(cloud, silent, name="a")
        listed = await cloud.do("list_hyper_parameter_tuning_jobs")
        summaries = listed["HyperParameterTuningJobSummaries"]
        assert [summary["HyperParameterTuningJobName"] for summary in summaries] == ["a", "b"]
        assert [summary["HyperParameterTuningJobStatus"] for summary in summaries] == ["Failed", "Completed"]
        assert summaries[1]["Strategy"] == "Random"
        assert summaries[1]["ResourceLimits"] == {"MaxNumberOfTrainingJobs": 3, "MaxParallelTrainingJobs": 1}
        assert summaries[1]["ObjectiveStatusCounters"]["Succeeded"] == 3

    with_cloud(scenario)


def test_describe_repeats_the_request() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        request = tuning_request(StaticHyperParameters={"epochs": "3"})
        job = await tune(cloud, StaticHyperParameters={"epochs": "3"})
        assert job["HyperParameterTuningJobArn"] == ARN
        assert job["HyperParameterTuningJobConfig"] == {
            **request["HyperParameterTuningJobConfig"],
            "TrainingJobEarlyStoppingType": "Off",
        }
        assert job["TrainingJobDefinition"] == {
            **request["TrainingJobDefinition"],
            "StaticHyperParameters": {"epochs": "3", "_tuning_objective_metric": "f1"},
        }

    with_cloud(scenario)


def test_names_are_unique() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await tune(cloud)
        error = await cloud.error("create_hyper_parameter_tuning_job", **tuning_request())
        assert (error.code, error.message) == (
            "ResourceInUse",
            "A hyperparameter tuning job with the name, tune-1, already exists. Choose a different name.",
        )

    with_cloud(scenario)


@pytest.mark.parametrize(
    "operation",
    [
        "describe_hyper_parameter_tuning_job",
        "stop_hyper_parameter_tuning_job",
        "delete_hyper_parameter_tuning_job",
        "list_training_jobs_for_hyper_parameter_tuning_job",
    ],
)
def test_an_unknown_job_is_not_found(operation: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        error = await cloud.error(operation, HyperParameterTuningJobName="nope")
        assert (error.code, error.message) == (
            "ResourceNotFound",
            "Amazon SageMaker can't find a tuning job called nope. Type another name.",
        )

    with_cloud(scenario)


ALGORITHM = {"TrainingImage": TRAINING, "TrainingInputMode": "File"}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (
            {
                "config": {
                    "TuningJobCompletionCriteria": {
                        "ConvergenceDetected": {"CompleteOnConvergence": "Enabled"}
                    }
                }
            },
            "CompleteOnConvergence Enabled",
        ),
        (
            {"ranges": {"AutoParameters": [{"Name": "a", "ValueHint": "1"}]}},
            "HyperParameterTuningJobConfig.ParameterRanges.AutoParameters",
        ),
        ({"most": None}, "ResourceLimits without MaxNumberOfTrainingJobs"),
        ({"DebugHookConfig": {"S3OutputPath": "s3://data/x"}}, "TrainingJobDefinition.DebugHookConfig"),
        (
            {"HyperParameterTuningResourceConfig": {"VolumeKmsKeyId": "k"}},
            "TrainingJobDefinition.HyperParameterTuningResourceConfig.VolumeKmsKeyId",
        ),
    ],
)
def test_what_is_not_supported_is_refused_by_name(changes: dict[str, Any], named: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        error = await cloud.error("create_hyper_parameter_tuning_job", **tuning_request(**changes))
        assert error.code == "ValidationException"
        assert error.message == f"harness does not support {named} yet."
        assert await cloud.do("list_training_jobs") == {"TrainingJobSummaries": []}

    with_cloud(scenario)


def test_autotune_is_refused_by_name() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        request = tuning_request() | {"Autotune": {"Mode": "Enabled"}}
        error = await cloud.error("create_hyper_parameter_tuning_job", **request)
        assert error.message == "harness does not support Autotune yet."

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"AlgorithmSpecification": ALGORITHM},
            "A metric is required for this hyperparameter tuning job objective. Provide a metric in the "
            "metric definitions.",
        ),
        (
            {"ranges": LETTERS, "most": 10},
            "You don't have enough combinations of hyperparameter ranges. The total number of hyperparameter "
            "combinations for the provided ranges [3.0] must be equal or greater than the value of "
            "MaxNumberOfJobs, [10]. Provide additional ranges.",
        ),
        (
            {"ranges": LETTERS, "most": 2, "strategy": "Grid"},
            "MaxNumberOfTrainingJobs, [2], must equal the total number of distinct categorical combinations, "
            "[3], when using the grid search strategy.",
        ),
        (
            {"strategy": "Grid"},
            "Only categorical parameters are supported when using the grid search strategy.",
        ),
        (
            {"StaticHyperParameters": {"lr": "1"}},
            "The hyperparameter lr is both static and has a range.",
        ),
        (
            {"strategy": "Hyperband", "config": {"TrainingJobEarlyStoppingType": "Auto"}},
            "TrainingJobEarlyStoppingType must be Off when using the Hyperband strategy.",
        ),
        (
            {"strategy": "Hyperband"},
            "MaxResource of HyperbandStrategyConfig is not given, and no static hyperparameter tells the "
            "number of epochs.",
        ),
        (
            {
                "strategy": "Hyperband",
                "config": {"StrategyConfig": {"HyperbandStrategyConfig": {"MinResource": 9}}},
                "StaticHyperParameters": {"epochs": "3"},
            },
            "MaxResource, [3], must not be less than MinResource, [9].",
        ),
        (
            {"config": {"StrategyConfig": {"HyperbandStrategyConfig": {"MaxResource": 9}}}},
            "HyperbandStrategyConfig is only valid with the Hyperband strategy.",
        ),
        (
            {
                "ResourceConfig": {},
                "HyperParameterTuningResourceConfig": {
                    "InstanceType": "ml.m5.large",
                    "InstanceConfigs": [
                        {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
                    ],
                },
            },
            "InstanceConfigs and InstanceType cannot both be specified.",
        ),
        (
            {
                "ResourceConfig": {},
                "HyperParameterTuningResourceConfig": {"AllocationStrategy": "Prioritized"},
            },
            "AllocationStrategy is only valid with InstanceConfigs.",
        ),
        (
            {"ResourceConfig": {}},
            "1 validation error detected: Value null at 'trainingJobDefinition.resourceConfig' failed to "
            "satisfy constraint: Member must not be null",
        ),
    ],
)
def test_requests_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        error = await cloud.error("create_hyper_parameter_tuning_job", **tuning_request(**changes))
        assert (error.code, error.message) == ("ValidationException", message)

    with_cloud(scenario)


@pytest.mark.parametrize("member", ["HyperParameterTuningJobObjective", "ParameterRanges"])
def test_what_a_search_needs_must_be_there(member: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        request = tuning_request()
        del request["HyperParameterTuningJobConfig"][member]
        error = await cloud.error("create_hyper_parameter_tuning_job", **request)
        path = f"hyperParameterTuningJobConfig.{member[0].lower()}{member[1:]}"
        assert f"Value null at '{path}'" in error.message

    with_cloud(scenario)


def test_a_training_job_that_could_not_run_is_refused_at_creation() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        error = await cloud.error(
            "create_hyper_parameter_tuning_job", **tuning_request(InputDataConfig=[channel()])
        )
        assert error.message.startswith("No S3 objects found under S3 URL")

    with_cloud(scenario)


def test_of_several_kinds_of_instances_the_first_is_taken() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        first = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 5}
        resources = {"InstanceConfigs": [first, first | {"InstanceType": "ml.c5.large"}]}
        job = await tune(
            cloud,
            most=1,
            ResourceConfig={},
            HyperParameterTuningResourceConfig=resources | {"AllocationStrategy": "Prioritized"},
        )
        trial = job["BestTrainingJob"]["TrainingJobName"]
        described = await cloud.do("describe_training_job", TrainingJobName=trial)
        assert described["ResourceConfig"] == first

    with_cloud(scenario)


def test_training_jobs_have_what_their_definition_says() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        said = {
            "EnableManagedSpotTraining": True,
            "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 120},
            "CheckpointConfig": {"S3Uri": "s3://data/checkpoints"},
            "RetryStrategy": {"MaximumRetryAttempts": 2},
            "EnableNetworkIsolation": True,
            "Environment": {"MINE": "1"},
        }
        job = await tune(cloud, most=1, **said)
        trial = job["BestTrainingJob"]["TrainingJobName"]
        described = await cloud.do("describe_training_job", TrainingJobName=trial)
        assert {member: described[member] for member in said} == said

    with_cloud(scenario)


def test_a_job_that_has_ended_may_be_deleted_and_its_training_jobs_stay() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        name = {"HyperParameterTuningJobName": "tune-1"}
        cloud.images[TRAINING] = image(scores_lr)
        await cloud.do("create_hyper_parameter_tuning_job", **tuning_request(most=1))
        error = await cloud.error("delete_hyper_parameter_tuning_job", **name)
        assert error.code == "ResourceInUse"
        job = await cloud.sagemaker.wait_for_job("tuning", "tune-1")
        assert await cloud.do("delete_hyper_parameter_tuning_job", **name) == {}
        error = await cloud.error("describe_hyper_parameter_tuning_job", **name)
        assert error.code == "ResourceNotFound"
        trial = {"TrainingJobName": job["BestTrainingJob"]["TrainingJobName"]}
        assert (await cloud.do("describe_training_job", **trial))["TuningJobArn"] == ARN
        assert (await tune(cloud))["HyperParameterTuningJobStatus"] == "Completed"

    with_cloud(scenario)


def test_resources_may_be_given_as_those_of_the_tuning_job() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(scores_lr)
        request = tuning_request(most=1)
        resources = request["TrainingJobDefinition"].pop("ResourceConfig")
        request["TrainingJobDefinition"]["HyperParameterTuningResourceConfig"] = resources
        await cloud.do("create_hyper_parameter_tuning_job", **request)
        job = await cloud.sagemaker.wait_for_job("tuning", "tune-1")
        trial = job["BestTrainingJob"]["TrainingJobName"]
        described = await cloud.do("describe_training_job", TrainingJobName=trial)
        assert described["ResourceConfig"] == resources
        both = tuning_request("tune-2", HyperParameterTuningResourceConfig=resources)
        error = await cloud.error("create_hyper_parameter_tuning_job", **both)
        assert error.message == (
            "ResourceConfig and HyperParameterTuningResourceConfig cannot both be specified."
        )

    with_cloud(scenario)
