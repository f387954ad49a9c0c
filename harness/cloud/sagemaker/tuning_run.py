"""How one tuning job runs: one training job after another, until there have been enough of them."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.jobs import Job, Jobs
from harness.cloud.sagemaker.metrics import single
from harness.cloud.sagemaker.training import TrainingJobs
from harness.cloud.sagemaker.training_job import TrainingJob
from harness.cloud.sagemaker.tuning_search import Search

__all__ = ["Trial", "TuningJob", "TuningRun", "stop_trials", "training_request"]

ATTEMPTS = 5
"""Training jobs that may go by without a usable result before the tuning job gives up."""

IMPROVEMENT = 0.01
"""By which part of the best value another must be better to count as an improvement."""

_FROM_DEFINITION = (
    *("RoleArn", "AlgorithmSpecification", "InputDataConfig", "OutputDataConfig", "ResourceConfig"),
    *("StoppingCondition", "Environment", "EnableNetworkIsolation", "EnableInterContainerTrafficEncryption"),
    *("CheckpointConfig", "RetryStrategy", "EnableManagedSpotTraining"),
    *("CheckpointConfig", "RetryStrategy", "EnableManagedSpotTraining"),
)


@dataclass(frozen=True)
class Trial:
    """A training job of a tuning job.

    Attributes:
        job: The training job.
        tuned: The hyperparameters that were chosen for it.
        metric: The objective metric.
    """

    job: TrainingJob
    tuned: Mapping[str, str]
    metric: str

    @property
    def value(self) -> float | None:
        """The objective metric's last value; None while the job runs, and when it failed or logged none."""
        if not self.job.terminal or self.job.status == "Failed" or self.metric not in self.job.metrics:
            return None
        return self.job.metrics[self.metric][0]

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

    Its request has `_tuning_objective_metric` among the static hyperparameters.
    """

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self.trials: list[Trial] = []
        self.not_improving = 0
        """Training jobs since the objective metric last improved."""
        config = self.request["HyperParameterTuningJobConfig"]
        self.metric: str = config["HyperParameterTuningJobObjective"]["MetricName"]
        self._sign = 1 if config["HyperParameterTuningJobObjective"]["Type"] == "Maximize" else -1

    @property
    def running(self) -> list[Trial]:
        """The training jobs that have not ended."""
        return [trial for trial in self.trials if not trial.job.terminal]

    @property
    def best(self) -> Trial | None:
        """The training job that completed with the best value of the objective metric."""
        done = [
            (self.score(value), trial)
            for trial in self.trials
            if trial.job.status == "Completed" and (value := trial.value) is not None
        ]
        return max(done, key=lambda scored: scored[0])[1] if done else None

    def score(self, value: float) -> float:
        """A number that is the greater, the better the metric's value is."""
        return self._sign * value

    def count(self) -> tuple[Counter[str], Counter[str]]:
        """How many training jobs there are of each status, and of each status of their objective."""
        return (
            Counter(trial.counter for trial in self.trials),
            Counter(trial.objective_status for trial in self.trials),
        )


def training_request(request: Mapping[str, Any], name: str, tuned: Mapping[str, str]) -> dict[str, Any]:
    """The CreateTrainingJob request of a trial.

    Args:
        request: The CreateHyperParameterTuningJob request.
        name: The training job's name.
        tuned: The hyperparameters chosen for it.
    """
    definition = request["TrainingJobDefinition"]
    # Two members for one thing; the SDK uses the newer.
    resources = definition.get("HyperParameterTuningResourceConfig")
    return {
        "TrainingJobName": name,
        **({"ResourceConfig": resources} if resources else {}),
        "HyperParameters": {**definition.get("StaticHyperParameters", {}), **tuned},
        "Tags": request.get("Tags", []),
        **{member: definition[member] for member in _FROM_DEFINITION if member in definition},
    }


class TuningRun:
    """Runs one tuning job.

    Args:
        jobs: Where it belongs.
        job: The job.
        training: Runs the training jobs.
        search: Says what they try.
        generator: Makes their names.
    """

    def __init__(
        self,
        jobs: Jobs[TuningJob],
        job: TuningJob,
        training: TrainingJobs,
        search: Search,
        generator: random.Random,
    ) -> None:
        self._jobs = jobs
        self._clock = jobs.cloud.clock
        self._job = job
        self._training = training
        self._search = search
        self._generator = generator
        config = job.request["HyperParameterTuningJobConfig"]
        self._limits: Mapping[str, Any] = config["ResourceLimits"]
        self._criteria: Mapping[str, Any] = config.get("TuningJobCompletionCriteria", {})
        self._judged: set[str] = set()
        self._reference: float | None = None  # the score that the next improvement is measured by
        self._enough = False  # no more training jobs are to be started
        self._reason: str | None = None

    async def live(self) -> None:
        """Run the job to its end. No time passes but in its training jobs."""
        job = self._job
        self._jobs.announce(job)
        longest = self._limits.get("MaxRuntimeInSeconds")
        limit = self._clock.call_at(job.created + longest, self._finish_early) if longest else None
        try:
            self._launch()
            while job.running:
                await _one_ends(job.running)
                self._judge()
                self._launch()
        finally:
            if limit is not None:
                limit.cancel()
        reason = self._reason or _hopeless(job.trials)
        if job.stopped_by is not None:
            self._jobs.end(job, "Stopped")
        elif reason is not None:
            self._jobs.end(job, "Failed", reason)
        else:
            self._jobs.end(job, "Completed")

    def _launch(self) -> None:
        """Start as many training jobs as may run now."""
        job, most = self._job, self._limits.get("MaxNumberOfTrainingJobs")
        while (
            job.status == "InProgress"
            and not self._enough
            and len(job.running) < self._limits["MaxParallelTrainingJobs"]
        ):
            tuned = self._search.next() if most is None or len(job.trials) < most else None
            if tuned is None:
                self._enough = True
                return
            name = f"{job.name}-{len(job.trials) + 1:03d}-{self._generator.getrandbits(32):08x}"
            try:
                self._training.create(training_request(job.request, name, tuned), tuning_job=job.arn)
            except ServiceError as error:  # what was there when the tuning job was created has gone
                self._enough = True
                self._reason = f"{error.code}: {error.message}"
                return
            job.trials.append(Trial(self._training.jobs[name], tuned, job.metric))

    def _judge(self) -> None:
        """Look at the training jobs that have ended since the last time, and whether to go on."""
        job = self._job
        job.modified = self._clock.now()
        ended = [trial for trial in job.trials if trial.job.terminal]
        for trial in ended:
            if trial.job.name not in self._judged:
                self._judged.add(trial.job.name)
                self._measure(trial)
        if job.status != "InProgress" or self._reason is not None:
            return
        if len(ended) >= ATTEMPTS:
            self._reason = _hopeless(ended)
        if self._reason is not None:
            self._enough = True
        elif self._good_enough():
            self._finish_early()

    def _measure(self, trial: Trial) -> None:
        """Count how many training jobs in a row have not been an improvement."""
        if trial.value is None:
            return
        score = self._job.score(trial.value)
        if self._reference is None or (
            score > self._reference and score - self._reference >= IMPROVEMENT * abs(self._reference)
        ):
            self._reference = score
            self._job.not_improving = 0
        else:
            self._job.not_improving += 1

    def _good_enough(self) -> bool:
        """Whether a completion criterion of the request is met."""
        job, best = self._job, self._job.best
        value = best.value if best is not None else None
        target = self._criteria.get("TargetObjectiveMetricValue")
        if target is not None and value is not None and job.score(value) >= job.score(single(target)):
            return True
        not_improving = self._criteria.get("BestObjectiveNotImproving", {})
        patience = not_improving.get("MaxNumberOfTrainingJobsNotImproving")
        return patience is not None and job.not_improving >= patience

    def _finish_early(self) -> None:
        """Start no more training jobs and stop those that run."""
        self._enough = True
        stop_trials(self._training, self._job)


def stop_trials(training: TrainingJobs, job: TuningJob) -> None:
    """Tell the training jobs of a tuning job to stop."""
    for trial in job.running:
        if trial.job.status == "InProgress":
            training.stop(trial.job.name)


def _hopeless(ended: Sequence[Trial]) -> str | None:
    """Why training jobs that have ended have no result, None when they do have one (or there are none)."""
    number = min(len(ended), ATTEMPTS)
    if ended and all(trial.job.status != "Completed" for trial in ended):
        return (
            f"No training job succeeded after {number} attempts. For additional details, please take a look "
            "at the training job failures by listing training jobs for the hyperparameter tuning job."
        )
    if ended and all(trial.value is None for trial in ended):
        return (
            f"No objective metrics found after running {number} training jobs. Please ensure that the custom "
            "algorithm is emitting the objective metric as defined by the regular expression provided."
        )
    return None


async def _one_ends(trials: Sequence[Trial]) -> None:
    """Wait until one of the training jobs has ended."""
    waiting = [asyncio.ensure_future(trial.job.ended.wait()) for trial in trials]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()
