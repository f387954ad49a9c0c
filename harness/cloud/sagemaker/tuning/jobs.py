"""Hyperparameter tuning jobs: the API. How one runs is in `harness.cloud.sagemaker.tuning.run`.

Random and grid searches are what they are on AWS. A Bayesian search is carried out as a random one, Hyperband
by a rule of ours, and the job says so when it is created.
"""

from __future__ import annotations

import random
from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.faults import JobFault
from harness.cloud.sagemaker.jobs import Jobs, times
from harness.cloud.sagemaker.records import Listing, Tags, moment
from harness.cloud.sagemaker.training.jobs import TrainingJobs
from harness.cloud.sagemaker.tuning.check import check_tuning, check_warm_start
from harness.cloud.sagemaker.tuning.job import Trial, TuningJob, best_of
from harness.cloud.sagemaker.tuning.run import TuningRun, stop_trials
from harness.cloud.sagemaker.tuning.search import GridSearch, RandomSearch, Search
from harness.cloud.sagemaker.validation import invalid
from harness.cloud.service import CloudContext

__all__ = ["TuningJobs"]

APPROXIMATIONS = {
    "Bayesian": "the Bayesian search is carried out as a random search",
    "Hyperband": "the Hyperband search is carried out as successive halving of a random search",
}
"""What is said of strategies whose exact course is not published."""


class TuningJobs(Jobs[TuningJob]):
    """Create, Describe, List, Stop and DeleteHyperParameterTuningJob, and the list of its training jobs."""

    def __init__(self, cloud: CloudContext, training: TrainingJobs, tags: Tags) -> None:
        super().__init__(cloud, kind="tuning")
        self._training = training
        self._tags = tags
        self._listing = Listing(
            "HyperParameterTuningJobSummaries", _summary, descending=False, sort_by="Name"
        )

    def create(self, params: dict[str, Any]) -> dict[str, Any]:
        """Start a job.

        Raises:
            ServiceError: ValidationException, ResourceInUse; ResourceNotFound: a parent is not there.
        """
        cloud = self.cloud
        name = params["HyperParameterTuningJobName"]
        check_tuning(params)
        warm = params.get("WarmStartConfig", {})
        parents = [
            self._find(parent.get("HyperParameterTuningJobName", ""))
            for parent in warm.get("ParentHyperParameterTuningJobs", ())
        ]
        check_warm_start(params, parents)
        if name in self.jobs:
            raise ServiceError(
                "ResourceInUse",
                f"A hyperparameter tuning job with the name, {name}, already exists. Choose a different "
                "name.",
            )
        arn = cloud.arn("sagemaker", f"hyper-parameter-tuning-job/{name}")
        job = TuningJob(
            name=name,
            arn=arn,
            request=params,
            number=self.launched,
            clock=cloud.clock,
            fault=JobFault(),
            parents=parents,
        )
        for definition in job.definitions:
            self._training.check(definition.training_request(f"{name}-001-00000000", {}, ()))
        # A generator of its own: what else happens in the cloud at the same time does not change the search.
        generator = random.Random(cloud.entropy.getrandbits(64))
        self._tags.start(arn, params.get("Tags", ()))
        strategy = params["HyperParameterTuningJobConfig"]["Strategy"]
        if strategy in APPROXIMATIONS:
            cloud.events.publish("warning", name, message=APPROXIMATIONS[strategy])
        searches = _searches(job, generator)
        self.launch(job, TuningRun(self, job, self._training, searches, generator).live)
        return {"HyperParameterTuningJobArn": arn}

    def describe(self, name: str) -> dict[str, Any]:
        """DescribeHyperParameterTuningJob.

        Raises:
            ServiceError: ResourceNotFound.
        """
        return _description(self._find(name), self.cloud.clock.now())

    def list(self, params: dict[str, Any]) -> dict[str, Any]:
        """ListHyperParameterTuningJobs.

        Raises:
            ServiceError: ValidationException.
        """
        return self._listing.page(self.jobs.values(), params)

    def list_training_jobs(self, params: dict[str, Any]) -> dict[str, Any]:
        """ListTrainingJobsForHyperParameterTuningJob.

        Raises:
            ServiceError: ResourceNotFound, ValidationException.
        """
        job = self._find(params["HyperParameterTuningJobName"])
        trials = {trial.job.name: trial for trial in job.trials}
        if params.get("SortBy") == "FinalObjectiveMetricValue":
            trials = {name: trial for name, trial in trials.items() if trial.value is not None}
        listing = Listing(
            "TrainingJobSummaries",
            lambda training: _trial(trials[training.name]),
            descending=False,
            sort_by="Name",
            keys={"FinalObjectiveMetricValue": lambda training: trials[training.name].value},
        )
        return listing.page([trial.job for trial in trials.values()], params)

    def stop(self, name: str) -> None:
        """StopHyperParameterTuningJob: returns before the job, and its training jobs, end.

        Raises:
            ServiceError: ResourceNotFound, ValidationException.
        """
        job = self._find(name)
        if job.status != "InProgress":
            raise invalid(
                f"The request was rejected because the hyperparameter tuning job is in status {job.status}."
            )
        job.stop()
        self.announce(job)
        stop_trials(self._training, job)

    def delete(self, name: str) -> None:
        """DeleteHyperParameterTuningJob: forget a job that has ended. Its training jobs stay.

        Raises:
            ServiceError: ResourceNotFound, ResourceInUse.
        """
        job = self._find(name)
        self.forget(job)
        self._tags.forget(job.arn)

    def _find(self, name: str) -> TuningJob:
        job = self.jobs.get(name)
        if job is None:
            raise ServiceError(
                "ResourceNotFound",
                f"Amazon SageMaker can't find a tuning job called {name}. Type another name.",
            )
        return job


def _searches(job: TuningJob, generator: random.Random) -> list[Search]:
    """What the training jobs of each definition try."""
    config = job.request["HyperParameterTuningJobConfig"]
    if config["Strategy"] == "Grid":
        return [GridSearch(definition.ranges) for definition in job.definitions]
    seed = config.get("RandomSeed", generator.getrandbits(64))
    tried = [trial.tuned for parent in job.parents for trial in parent.trials] if _identical(job) else []
    # The first definition has the seed's own sequence, whether there are others or not.
    seeds: list[int | str] = [seed, *(f"{seed} {number}" for number in range(1, len(job.definitions)))]
    return [
        RandomSearch(definition.ranges, random.Random(seed), tried)
        for definition, seed in zip(job.definitions, seeds, strict=True)
    ]


def _identical(job: TuningJob) -> bool:
    """What the parents found counts as found by the job itself."""
    return bool(job.request.get("WarmStartConfig", {}).get("WarmStartType") == "IdenticalDataAndAlgorithm")


# What is told -----------------------------------------------------------------------------------------


def _counters(job: TuningJob) -> dict[str, Any]:
    statuses, objectives = job.count()
    return {
        "TrainingJobStatusCounters": {
            status: statuses[status]
            for status in ("Completed", "InProgress", "RetryableError", "NonRetryableError", "Stopped")
        },
        "ObjectiveStatusCounters": {
            status: objectives[status] for status in ("Succeeded", "Pending", "Failed")
        },
    }


def _summary(job: TuningJob) -> dict[str, Any]:
    config = job.request["HyperParameterTuningJobConfig"]
    return {
        "HyperParameterTuningJobName": job.name,
        "HyperParameterTuningJobArn": job.arn,
        "HyperParameterTuningJobStatus": job.status,
        "Strategy": config["Strategy"],
        "CreationTime": moment(job.created),
        **times(
            HyperParameterTuningEndTime=job.modified if job.terminal else None, LastModifiedTime=job.modified
        ),
        **_counters(job),
        "ResourceLimits": config["ResourceLimits"],
    }


def _description(job: TuningJob, now: float) -> dict[str, Any]:
    request = job.request
    described: dict[str, Any] = {
        "HyperParameterTuningJobName": job.name,
        "HyperParameterTuningJobArn": job.arn,
        "HyperParameterTuningJobConfig": {
            "TrainingJobEarlyStoppingType": "Off",
            **request["HyperParameterTuningJobConfig"],
        },
        **_definitions(job),
        "HyperParameterTuningJobStatus": job.status,
        "CreationTime": moment(job.created),
        **times(
            HyperParameterTuningEndTime=job.modified if job.terminal else None, LastModifiedTime=job.modified
        ),
        **_counters(job),
    }
    if job.best is not None:
        described["BestTrainingJob"] = _trial(job.best)
    if job.parents:
        described["WarmStartConfig"] = request["WarmStartConfig"]
    if _identical(job) and (overall := _overall_best(job)) is not None:
        described["OverallBestTrainingJob"] = overall
    if job.failure_reason is not None:
        described["FailureReason"] = job.failure_reason
    return described | {
        "TuningJobCompletionDetails": {"NumberOfTrainingJobsObjectiveNotImproving": job.not_improving},
        "ConsumedResources": {"RuntimeInSeconds": int((job.modified if job.terminal else now) - job.created)},
    }


def _definitions(job: TuningJob) -> dict[str, Any]:
    if job.request.get("TrainingJobDefinition"):
        return {"TrainingJobDefinition": job.definitions[0].described()}
    return {"TrainingJobDefinitions": [definition.described() for definition in job.definitions]}


def _overall_best(job: TuningJob) -> dict[str, Any] | None:
    """The best training job of the tuning job and its parents, with the name of whose it is."""
    jobs = (job, *job.parents)
    best = best_of([trial for each in jobs for trial in each.trials])
    if best is None:
        return None
    owner = next(each for each in jobs if best in each.trials)
    return {**_trial(best), "TuningJobName": owner.name}


def _trial(trial: Trial) -> dict[str, Any]:
    """A HyperParameterTrainingJobSummary."""
    training = trial.job
    told: dict[str, Any] = {}
    if trial.definition.name is not None:
        told["TrainingJobDefinitionName"] = trial.definition.name
    told |= {
        "TrainingJobName": training.name,
        "TrainingJobArn": training.arn,
        "CreationTime": moment(training.created),
        **times(
            TrainingStartTime=training.downloading,
            TrainingEndTime=training.finished if training.terminal else None,
        ),
        "TrainingJobStatus": training.status,
        "TunedHyperParameters": dict(trial.tuned),
    }
    if training.failure_reason is not None:
        told["FailureReason"] = training.failure_reason
    if trial.value is not None:
        told["FinalHyperParameterTuningJobObjectiveMetric"] = {
            "MetricName": trial.definition.metric,
            "Value": trial.value,
        }
    return told | {"ObjectiveStatus": trial.objective_status}
