"""Training jobs of tuning jobs that are stopped early."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from harness.cloud.sagemaker.training.job import TrainingJob
from harness.cloud.sagemaker.tuning.job import Definition, Trial
from harness.cloud.sagemaker.tuning.stopping import Halving, MedianRule, max_resource
from tests.cloud.sagemaker.fakes import TRAINING, Box, FakeCloud, image, trains, tuning_request, with_cloud


class Ended:
    """All that is looked at of a training job."""

    def __init__(self, status: str) -> None:
        self.status = status
        self.terminal = status not in ("InProgress", "Stopping")


def trial(*curve: float, status: str = "Completed", goal: str = "Maximize") -> Trial:
    definition = Definition({}, {"Type": goal, "MetricName": "f1"}, {})
    return Trial(cast("TrainingJob", Ended(status)), {}, definition, list(curve))


# The median rule --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("curve", "stopped"),
    [
        ((0.3,), False),  # of 0.1, 0.3 and 0.9
        ((0.2,), True),
        ((0.9, 0.39), True),  # of the averages 0.2, 0.4 and 0.9
        ((0.1, 0.41), False),
        ((0.1, 0.1, 0.1), False),  # nobody has come so far
    ],
)
def test_the_last_value_is_held_against_the_median_of_running_averages(
    curve: tuple[float, ...], stopped: bool
) -> None:
    before = [trial(0.1, 0.3), trial(0.3, 0.5), trial(0.9, 0.9)]
    running = trial(*curve, status="InProgress")
    assert MedianRule().stops(running, [*before, running]) is stopped


def test_less_is_better_when_minimizing() -> None:
    before = [trial(0.5, goal="Minimize")]
    for value, stopped in ((0.6, True), (0.4, False)):
        running = trial(value, status="InProgress", goal="Minimize")
        assert MedianRule().stops(running, [*before, running]) is stopped


def test_the_first_has_nothing_to_be_held_against() -> None:
    failed, other = trial(0.9, status="Failed"), trial(0.9, status="InProgress")
    running = trial(0.1, status="InProgress")
    assert not MedianRule().stops(running, [failed, other, running])


# Halving ----------------------------------------------------------------------------------------------


def stopped_at(rule: Halving, one: Trial, trials: list[Trial], values: list[float]) -> int | None:
    """The epoch at which a training job that would log these values is stopped."""
    for epoch, value in enumerate(values, 1):
        one.curve.append(value)
        if rule.stops(one, trials):
            return epoch
    return None


def test_only_the_best_third_gets_on() -> None:
    trials = [trial(status="InProgress") for _ in range(6)]
    rule = Halving(2, 6)  # one bracket, its only rung at 2
    scores = [0.5, 0.4, 0.3, 0.6, 0.55, 0.55]
    ends = [
        stopped_at(rule, one, trials, [0.0, score, score]) for one, score in zip(trials, scores, strict=True)
    ]
    assert ends == [None, 2, 2, None, 2, None]  # of six that have come, two get on


def test_each_bracket_leaves_out_one_more_rung() -> None:
    rule = Halving(1, 9)  # rungs at 1 and 3
    trials = [trial(status="InProgress") for _ in range(4)]
    good, worse = [0.9] * 9, [0.1] * 9
    assert stopped_at(rule, trials[0], trials, good) is None
    assert stopped_at(rule, trials[1], trials, good) is None
    assert stopped_at(rule, trials[2], trials, worse) == 1
    assert stopped_at(rule, trials[3], trials, worse) == 3


def test_nobody_goes_on_for_longer_than_the_most() -> None:
    one = trial(status="InProgress")
    assert stopped_at(Halving(5, 5), one, [one], [0.1] * 10) == 6


def test_the_most_may_be_told_by_a_static_hyperparameter() -> None:
    given = {"StrategyConfig": {"HyperbandStrategyConfig": {"MaxResource": 9}}}
    assert max_resource(given, {"epochs": "3"}) == 9
    assert max_resource({}, {"num_epochs": "3"}) == 3
    assert max_resource({}, {"epochs": "many"}) is None


# Training jobs ----------------------------------------------------------------------------------------


def logging(*curves: list[float]) -> Any:
    """A training program that logs these values, one list a job; then a negative value waits for SIGTERM."""
    left = iter(curves)

    async def program(box: Box) -> int:
        for value in next(left):
            if value < 0:
                await box.terminated.wait()
                return 143
            box.say(f"f1={value};")
        return await trains(box)

    return program


async def tune(cloud: FakeCloud, program: Any, **changes: Any) -> list[dict[str, Any]]:
    """The training jobs of a tuning job that has ended."""
    cloud.images[TRAINING] = image(program)
    await cloud.do("create_hyper_parameter_tuning_job", **tuning_request(**changes))
    async with asyncio.timeout(10):
        job = await cloud.sagemaker.wait_for_job("tuning", "tune-1")
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    listed = await cloud.do(
        "list_training_jobs_for_hyper_parameter_tuning_job", HyperParameterTuningJobName="tune-1"
    )
    found: list[dict[str, Any]] = listed["TrainingJobSummaries"]
    return found


def test_a_training_job_that_is_worse_than_most_is_stopped() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        program = logging([0.5, 0.6], [0.5, 0.4, -1], [0.7, 0.8])
        found = await tune(cloud, program, config={"TrainingJobEarlyStoppingType": "Auto"})
        assert [each["TrainingJobStatus"] for each in found] == ["Completed", "Stopped", "Completed"]
        assert found[1]["ObjectiveStatus"] == "Succeeded"
        assert found[1]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == pytest.approx(0.4)
        job = await cloud.do("describe_hyper_parameter_tuning_job", HyperParameterTuningJobName="tune-1")
        assert job["TrainingJobStatusCounters"]["Stopped"] == 1
        assert job["BestTrainingJob"] == found[2]
        stopped = await cloud.do("describe_training_job", TrainingJobName=found[1]["TrainingJobName"])
        assert stopped["SecondaryStatus"] == "Stopped"

    with_cloud(scenario)


def test_without_early_stopping_every_training_job_ends_by_itself() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        found = await tune(cloud, logging([0.5, 0.6], [0.5, 0.1], [0.1, 0.1]))
        assert {each["TrainingJobStatus"] for each in found} == {"Completed"}

    with_cloud(scenario)


def test_hyperband_stops_training_jobs_at_its_rungs_and_says_what_it_is() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        found = await tune(
            cloud,
            logging([0.1, 0.5, 0.5], [0.1, 0.4, -1], [0.1, 0.6, 0.6, 0.6]),
            strategy="Hyperband",
            config={"StrategyConfig": {"HyperbandStrategyConfig": {"MinResource": 2}}},
            StaticHyperParameters={"epochs": "4"},
        )
        assert [each["TrainingJobStatus"] for each in found] == ["Completed", "Stopped", "Completed"]
        [warning] = cloud.events_of("warning")
        assert warning.data["message"] == (
            "the Hyperband search is carried out as successive halving of a random search"
        )

    with_cloud(scenario)
