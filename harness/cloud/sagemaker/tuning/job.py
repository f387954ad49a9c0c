"""A tuning job as the API knows it: its definitions, its training jobs, the best of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from harness.cloud.sagemaker.jobs import Job
from harness.cloud.sagemaker.training.job import TrainingJob
from harness.cloud.sagemaker.tuning.search import Range, read_ranges

__all__ = ["PASSED_ON", "Definition", "Trial", "TuningJob", "best_of", "definitions_of"]

OBJECTIVE = "_tuning_objective_metric"
"""A hyperparameter that SageMaker adds: the objective metric's name."""

PASSED_ON = (
    *("RoleArn", "AlgorithmSpecification", "InputDataConfig", "OutputDataConfig", "ResourceConfig"),
    *("StoppingCondition", "Environment", "EnableNetworkIsolation", "EnableInterContainerTrafficEncryption"),
    *("CheckpointConfig", "RetryStrategy", "EnableManagedSpotTraining"),
)
"""What the training jobs have from their definition."""


@dataclass(frozen=True)
class Definition:
    """What the training jobs of a tuning job have in common; a tuning job has one or several.

    Attributes:
        request: Its TrainingJobDefinition.
        objective: Its objective: Type and MetricName.
        parameters: Its ParameterRanges.
    """

    request: Mapping[str, Any]
    objective: Mapping[str, str]
    parameters: Mapping[str, Any]

    @property
    def name(self) -> str | None:
        """Its name, if it has one."""
        return self.request.get("DefinitionName")

    @property
    def metric(self) -> str:
        """The objective metric."""
        return self.objective["MetricName"]

    @property
    def static(self) -> Mapping[str, str]:
        """The hyperparameters that are the same for all training jobs."""
        static: Mapping[str, str] = self.request.get("StaticHyperParameters", {})
        return static

    @cached_property
    def ranges(self) -> list[Range]:
        """The hyperparameters that are tuned.

        Raises:
            ServiceError: See `read_ranges`.
        """
        return read_ranges(self.parameters)

    def score(self, value: float) -> float:
        """A number that is the greater, the better the objective metric's value is."""
        return value if self.objective["Type"] == "Maximize" else -value

    def described(self) -> dict[str, Any]:
        """The definition as it is described: with the hyperparameter that SageMaker adds."""
        return {**self.request, "StaticHyperParameters": {**self.static, OBJECTIVE: self.metric}}

    def training_request(self, name: str, tuned: Mapping[str, str], tags: Sequence[Any]) -> dict[str, Any]:
        """The CreateTrainingJob request of a trial.

        Args:
            name: The training job's name.
            tuned: The hyperparameters chosen for it.
            tags: Its tags.
        """
        # Two members for one thing; the SDK uses the newer.
        resources = self.request.get("HyperParameterTuningResourceConfig")
        if resources and resources.get("InstanceConfigs"):
            resources = resources["InstanceConfigs"][0]  # in order of priority, and there is always capacity
        return {
            "TrainingJobName": name,
            **({"ResourceConfig": resources} if resources else {}),
            "HyperParameters": {**self.described()["StaticHyperParameters"], **tuned},
            "Tags": list(tags),
            **{member: self.request[member] for member in PASSED_ON if self.request.get(member)},
        }


def definitions_of(request: Mapping[str, Any]) -> list[Definition]:
    """The definitions of a CreateHyperParameterTuningJob request that has all it needs."""
    config = request["HyperParameterTuningJobConfig"]
    if request.get("TrainingJobDefinition"):
        objective, parameters = config["HyperParameterTuningJobObjective"], config.get("ParameterRanges", {})
        return [Definition(request["TrainingJobDefinition"], objective, parameters)]
    return [
        Definition(each, each["TuningObjective"], each.get("HyperParameterRanges", {}))
        for each in request["TrainingJobDefinitions"]
    ]


@dataclass(frozen=True)
class Trial:
    """A training job of a tuning job.

    Attributes:
        job: The training job.
        tuned: The hyperparameters that were chosen for it.
        definition: What it was made from.
        curve: The values of the objective metric, in the order in which they were logged.
    """

    job: TrainingJob
    tuned: Mapping[str, str]
    definition: Definition
    curve: list[float] = field(default_factory=list)

    @property
    def value(self) -> float | None:
        """The objective metric's last value; None while the job runs, and when it failed or logged none."""
        if not self.job.terminal or self.job.status == "Failed" or not self.curve:
            return None
        return self.curve[-1]

    @property
    def scores(self) -> list[float]:
        """The curve in numbers that are the greater, the better."""
        return [self.definition.score(value) for value in self.curve]

    def reaches(self, target: float) -> bool:
        """Whether it has ended with a value of the objective metric that is as good as another."""
        value = self.value
        return value is not None and self.definition.score(value) >= self.definition.score(target)

    @property
    def objective_status(self) -> str:
        """ObjectiveStatus."""
        if not self.job.terminal:
            return "Pending"
        return "Failed" if self.value is None else "Succeeded"

    @property
    def counter(self) -> str:
        """The member of TrainingJobStatusCounters that counts it."""
        if self.job.status == "Failed":
            internal = (self.job.failure_reason or "").startswith("InternalServerError")
            return "RetryableError" if internal else "NonRetryableError"
        return self.job.status if self.job.terminal else "InProgress"


class TuningJob(Job):
    """A tuning job as the API knows it.

    Args:
        parents: The tuning jobs that it starts from.
        fields: See `Job`.
    """

    def __init__(self, *, parents: Sequence[TuningJob] = (), **fields: Any) -> None:
        super().__init__(**fields)
        self.parents = tuple(parents)
        self.definitions = definitions_of(self.request)
        self.trials: list[Trial] = []
        self.not_improving = 0
        """Training jobs since the objective metric last improved."""

    @property
    def running(self) -> list[Trial]:
        """The training jobs that have not ended."""
        return [trial for trial in self.trials if not trial.job.terminal]

    @property
    def best(self) -> Trial | None:
        """The training job that completed with the best value of the objective metric."""
        return best_of(self.trials)

    def count(self) -> tuple[Counter[str], Counter[str]]:
        """How many training jobs there are of each status, and of each status of their objective."""
        return (
            Counter(trial.counter for trial in self.trials),
            Counter(trial.objective_status for trial in self.trials),
        )


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The training job that completed with the best value of the objective metric, the first of equals."""
    done = [trial for trial in trials if trial.job.status == "Completed" and trial.value is not None]
    return max(done, key=lambda trial: trial.scores[-1], default=None)
