"""Tuning jobs with several training job definitions, and those that start from other tuning jobs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cloud.sagemaker.fakes import (
    PROCESSING,
    TRAINING,
    Box,
    FakeCloud,
    channel,
    image,
    trains,
    tuning_request,
    with_cloud,
)
from tests.cloud.sagemaker.test_tuning import hyperparameters, scores_lr, tune


async def scores_x(box: Box) -> int:
    box.say(f"f1={hyperparameters(box)['x']};")
    return await trains(box)


def words(name: str, *values: str) -> dict[str, Any]:
    return {"CategoricalParameterRanges": [{"Name": name, "Values": list(values)}]}


def several(**config: Any) -> dict[str, Any]:
    """A request with two definitions: ``a`` tunes lr by f1, ``b`` tunes x by another metric."""
    request = tuning_request(strategy="Grid", most=None, config=config)
    own = request["HyperParameterTuningJobConfig"]
    objective = own.pop("HyperParameterTuningJobObjective")
    del own["ParameterRanges"]
    one = request.pop("TrainingJobDefinition")
    metric = {"Name": "score", "Regex": "f1=(.*?);"}
    algorithm = one["AlgorithmSpecification"] | {"MetricDefinitions": [metric], "TrainingImage": PROCESSING}
    request["TrainingJobDefinitions"] = [
        one
        | {
            "DefinitionName": "a",
            "TuningObjective": objective,
            "HyperParameterRanges": words("lr", "0.1", "0.2", "0.3"),
            "StaticHyperParameters": {"kind": "linear"},
        },
        one
        | {
            "DefinitionName": "b",
            "TuningObjective": objective | {"MetricName": "score"},
            "HyperParameterRanges": words("x", "0.5"),
            "AlgorithmSpecification": algorithm,
        },
    ]
    return request


async def trials(cloud: FakeCloud, name: str = "tune-1") -> list[dict[str, Any]]:
    listed = await cloud.do(
        "list_training_jobs_for_hyper_parameter_tuning_job", HyperParameterTuningJobName=name
    )
    found: list[dict[str, Any]] = listed["TrainingJobSummaries"]
    return found


# Several definitions ----------------------------------------------------------------------------------


def test_the_definitions_take_turns_and_the_best_of_all_is_found() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING], cloud.images[PROCESSING] = image(scores_lr), image(scores_x)
        request = several()
        await cloud.do("create_hyper_parameter_tuning_job", **request)
        job = await cloud.sagemaker.wait_for_job("tuning", "tune-1")
        assert job["HyperParameterTuningJobStatus"] == "Completed"
        assert "TrainingJobDefinition" not in job
        assert [each["DefinitionName"] for each in job["TrainingJobDefinitions"]] == ["a", "b"]
        found = await trials(cloud)
        assert [(each["TrainingJobDefinitionName"], each["TunedHyperParameters"]) for each in found] == [
            ("a", {"lr": "0.1"}),
            ("b", {"x": "0.5"}),
            ("a", {"lr": "0.2"}),
            ("a", {"lr": "0.3"}),
        ]
        assert job["BestTrainingJob"] == found[1]
        assert found[1]["FinalHyperParameterTuningJobObjectiveMetric"]["MetricName"] == "score"
        described = await cloud.do("describe_training_job", TrainingJobName=found[0]["TrainingJobName"])
        assert described["HyperParameters"] == {
            "kind": "linear",
            "_tuning_objective_metric": "f1",
            "lr": "0.1",
        }

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("number", "changes", "message"),
    [
        (1, {"DefinitionName": "a"}, "Duplicate training job definition name: a."),
        (1, {"DefinitionName": ""}, "Value null at 'trainingJobDefinitions.2.member.definitionName'"),
        (0, {"TuningObjective": {}}, "Value null at 'trainingJobDefinitions.1.member.tuningObjective'"),
        (
            0,
            {"HyperParameterRanges": {}},
            "Value null at 'trainingJobDefinitions.1.member.hyperParameterRanges'",
        ),
        (
            1,
            {"TuningObjective": {"Type": "Minimize", "MetricName": "score"}},
            "harness does not support TuningObjective.Type that differs between TrainingJobDefinitions",
        ),
        (
            1,
            {"TuningObjective": {"Type": "Maximize", "MetricName": "f1"}},
            "A metric is required for this hyperparameter tuning job objective.",
        ),
        (1, {"InputDataConfig": [channel()]}, "No S3 objects found under S3 URL"),
    ],
)
def test_each_definition_must_make_sense(number: int, changes: dict[str, Any], message: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        request = several()
        request["TrainingJobDefinitions"][number] |= changes
        error = await cloud.error("create_hyper_parameter_tuning_job", **request)
        assert error.code == "ValidationException"
        assert message in error.message

    with_cloud(scenario)


def test_what_goes_for_one_definition_only_is_refused_for_several() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        warm = {"WarmStartType": "TransferLearning", "ParentHyperParameterTuningJobs": []}
        one = tuning_request()
        config = one["HyperParameterTuningJobConfig"]
        for request, message in (
            (several(TrainingJobEarlyStoppingType="Auto"), "Early stopping is only available with a single"),
            (several() | {"WarmStartConfig": warm}, "Warm start is only available with a single"),
            (several() | {"HyperParameterTuningJobConfig": config}, "Objective is given by each of"),
            (
                one | {"TrainingJobDefinitions": several()["TrainingJobDefinitions"]},
                "cannot both be specified",
            ),
        ):
            error = await cloud.error("create_hyper_parameter_tuning_job", **request)
            assert message in error.message

    with_cloud(scenario)


# Warm start -------------------------------------------------------------------------------------------


def warm(kind: str = "IdenticalDataAndAlgorithm", *parents: str, **changes: Any) -> dict[str, Any]:
    names = [{"HyperParameterTuningJobName": parent} for parent in parents or ("tune-1",)]
    config = {"ParentHyperParameterTuningJobs": names, "WarmStartType": kind}
    return tuning_request("child", **changes) | {"WarmStartConfig": config}


def test_the_best_of_parents_and_child_is_told_and_nothing_is_tried_twice() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        parent = await tune(cloud, most=2, ranges=words("lr", "0.8", "0.9"))
        request = warm(most=2, ranges=words("lr", "0.1", "0.2", "0.8", "0.9"))
        await cloud.do("create_hyper_parameter_tuning_job", **request)
        job = await cloud.sagemaker.wait_for_job("tuning", "child")
        tried = {trial["TunedHyperParameters"]["lr"] for trial in await trials(cloud, "child")}
        assert tried == {"0.1", "0.2"}
        assert job["BestTrainingJob"]["TunedHyperParameters"] == {"lr": "0.2"}
        assert job["OverallBestTrainingJob"] == {**parent["BestTrainingJob"], "TuningJobName": "tune-1"}
        assert job["WarmStartConfig"] == request["WarmStartConfig"]
        assert "OverallBestTrainingJob" not in parent

    with_cloud(scenario)


def test_transfer_learning_counts_its_own_results_only() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(train__a=b"1")
        await tune(cloud, most=2, ranges=words("lr", "0.8", "0.9"))
        request = warm(
            "TransferLearning",
            most=2,
            ranges=words("lr", "0.8", "0.9"),
            InputDataConfig=[channel()],  # other data
        )
        await cloud.do("create_hyper_parameter_tuning_job", **request)
        job = await cloud.sagemaker.wait_for_job("tuning", "child")
        assert len(await trials(cloud, "child")) == 2
        assert "OverallBestTrainingJob" not in job

    with_cloud(scenario)


def test_a_static_hyperparameter_may_become_a_tuned_one() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await tune(cloud, StaticHyperParameters={"epochs": "3"})
        numbers = {"Name": "epochs", "MinValue": "1", "MaxValue": "9"}
        request = warm(
            ranges={"IntegerParameterRanges": [numbers]}, StaticHyperParameters={"lr": "0.5"}, most=2
        )
        await cloud.do("create_hyper_parameter_tuning_job", **request)
        job = await cloud.sagemaker.wait_for_job("tuning", "child")
        assert job["HyperParameterTuningJobStatus"] == "Completed"

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "Minimize"}, "The objective metric is not the same"),
        (
            {"StaticHyperParameters": {"more": "1"}},
            "The set of tunable plus static HyperParameter names is not the same across current and parent",
        ),
        (
            {"Environment": {"A": "b"}},
            "Only the following fields in TrainingJobDefinition are allowed to change: "
            "[algorithmSpecification, inputDataConfig, outputDataConfig, staticHyperParameters, roleArn, "
            "resourceConfig, stoppingCondition, vpcConfig, enableManagedSpotTraining, checkpointConfig].",
        ),
        ({"InputDataConfig": [channel()]}, "Input data and training image are not the same"),
    ],
)
def test_parent_and_child_must_go_together(changes: dict[str, Any], message: str) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(train__a=b"1")
        await tune(cloud, most=1)
        error = await cloud.error("create_hyper_parameter_tuning_job", **warm(**changes))
        assert error.code == "ValidationException"
        assert error.message.startswith(message)

    with_cloud(scenario)


def test_a_parent_must_be_there_and_have_ended() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        error = await cloud.error("create_hyper_parameter_tuning_job", **warm())
        assert error.code == "ResourceNotFound"
        cloud.images[TRAINING] = image(scores_lr)
        await cloud.do("create_hyper_parameter_tuning_job", **tuning_request())
        error = await cloud.error("create_hyper_parameter_tuning_job", **warm())
        assert error.message == "The parent hyperparameter tuning job tune-1 is in status InProgress."
        await cloud.sagemaker.wait_for_job("tuning", "tune-1")
        twice = warm("TransferLearning", "tune-1", "tune-1")
        error = await cloud.error("create_hyper_parameter_tuning_job", **twice)
        assert error.message == "Duplicate parent hyperparameter tuning job: tune-1."

    with_cloud(scenario)
