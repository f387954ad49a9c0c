"""How one tuning job runs: one training job after another, until there have been enough of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.jobs import Jobs
from harness.cloud.sagemaker.training.jobs import TrainingJobs
from harness.cloud.sagemaker.training.metrics import single
from harness.cloud.sagemaker.tuning.job import Definition, Trial, TuningJob
from harness.cloud.sagemaker.tuning.search import Search, Values
from harness.cloud.sagemaker.tuning.stopping import StoppingRule, stopping_rule

__all__ = ["TuningRun", "stop_trials"]

ATTEMPTS = 5
"""Training jobs that may go by without a usable result before the tuning job gives up."""

IMPROVEMENT = 0.01
"""By which part of the best value another must be better to count as an improvement."""


class TuningRun:
    """Runs one tuning job.

    Args:
        jobs: Where it belongs.
        job: The job.
        training: Runs the training jobs.
        searches: What the training jobs of each definition try.
        generator: Makes their names.
    """

    def __init__(
        self,
        jobs: Jobs[TuningJob],
        job: TuningJob,
        training: TrainingJobs,
        searches: Sequence[Search],
        generator: random.Random,
    ) -> None:
        self._jobs = jobs
        self._clock = jobs.cloud.clock
        self._job = job
        self._training = training
        self._generator = generator
        config = job.request["HyperParameterTuningJobConfig"]
        self._limits: Mapping[str, Any] = config["ResourceLimits"]
        rules = [stopping_rule(config, definition.static) for definition in job.definitions]
        self._untried = list(zip(job.definitions, searches, rules, strict=True))
        """Whose turn it is comes first."""
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
            chosen = self._next() if most is None or len(job.trials) < most else None
            if chosen is None:
                self._enough = True
                return
            definition, rule, tuned = chosen
            name = f"{job.name}-{len(job.trials) + 1:03d}-{self._generator.getrandbits(32):08x}"
            request = definition.training_request(name, tuned, job.request.get("Tags", ()))
            try:
                self._training.create(request, tuning_job=job.arn)
            except ServiceError as error:  # what was there when the tuning job was created has gone
                self._enough = True
                self._reason = f"{error.code}: {error.message}"
                return
            trial = Trial(self._training.jobs[name], tuned, definition)
            trial.job.on_metric = partial(self._watch, trial, rule)
            job.trials.append(trial)

    def _next(self) -> tuple[Definition, StoppingRule | None, Values] | None:
        """What to try next: the definitions take turns. None when everything has been tried."""
        while self._untried:
            definition, search, rule = self._untried.pop(0)
            tuned = search.next()
            if tuned is not None:
                self._untried.append((definition, search, rule))
                return definition, rule, tuned
        return None

    def _watch(self, trial: Trial, rule: StoppingRule | None, metric: str, value: float) -> None:
        """A training job has logged a metric. If that is its objective it may be stopped for it."""
        if metric != trial.definition.metric:
            return
        trial.curve.append(value)
        if rule is None or trial.job.status != "InProgress":
            return
        siblings = [each for each in self._job.trials if each.definition is trial.definition]
        if rule.stops(trial, siblings):
            self._training.stop(trial.job.name)

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
        score = trial.definition.score(trial.value)
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
        target = self._criteria.get("TargetObjectiveMetricValue")
        if target is not None and best is not None and best.reaches(single(target)):
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
