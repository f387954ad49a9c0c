"""Hyperparameter tuning jobs: the API. How one runs is in `harness.cloud.sagemaker.tuning_run`.

Random and grid searches are what they are on AWS. A Bayesian search is carried out as a random one, and the
job says so when it is created.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.faults import JobFault
from harness.cloud.sagemaker.jobs import Jobs, times
from harness.cloud.sagemaker.records import Listing, Tags, moment
from harness.cloud.sagemaker.training import TrainingJobs
from harness.cloud.sagemaker.training_check import SUPPORTED as TRAINING
from harness.cloud.sagemaker.tuning_run import Trial, TuningJob, TuningRun, stop_trials, training_request
from harness.cloud.sagemaker.tuning_search import (
    GridSearch,
    RandomSearch,
    Range,
    Search,
    combinations,
    read_ranges,
)
from harness.cloud.sagemaker.validation import invalid, null, one_of, only, unsupported
from harness.cloud.service import CloudContext

__all__ = ["TuningJobs"]

OBJECTIVE = "_tuning_objective_metric"
"""A hyperparameter that SageMaker adds: the objective metric's name."""

SUPPORTED = (
    "HyperParameterTuningJobName",
    *(
        f"HyperParameterTuningJobConfig.{member}"
        for member in (
            "Strategy",
            "HyperParameterTuningJobObjective",
            "ResourceLimits.MaxNumberOfTrainingJobs",
            "ResourceLimits.MaxParallelTrainingJobs",
            "ResourceLimits.MaxRuntimeInSeconds",
            "ParameterRanges.IntegerParameterRanges",
            "ParameterRanges.ContinuousParameterRanges",
            "ParameterRanges.CategoricalParameterRanges",
            "TrainingJobEarlyStoppingType",
            "TuningJobCompletionCriteria.TargetObjectiveMetricValue",
            "TuningJobCompletionCriteria.BestObjectiveNotImproving",
            "TuningJobCompletionCriteria.ConvergenceDetected.CompleteOnConvergence",
            "RandomSeed",
        )
    ),
    "TrainingJobDefinition.DefinitionName",
    "TrainingJobDefinition.StaticHyperParameters",
    *(
        f"TrainingJobDefinition.HyperParameterTuningResourceConfig.{member}"
        for member in ("InstanceType", "InstanceCount", "VolumeSizeInGB")
    ),
    *(f"TrainingJobDefinition.{member}" for member in TRAINING),
    "Tags",
)


class TuningJobs(Jobs[TuningJob]):
    """Create, Describe, List and StopHyperParameterTuningJob, ListTrainingJobsForHyperParameterTuningJob."""

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
            ServiceError: ValidationException, ResourceInUse.
        """
        cloud = self.cloud
        name = params["HyperParameterTuningJobName"]
        _check(params)
        config = params["HyperParameterTuningJobConfig"]
        ranges = read_ranges(config.get("ParameterRanges", {}))
        _check_ranges(params, ranges)
        if name in self.jobs:
            raise ServiceError(
                "ResourceInUse",
                f"A hyperparameter tuning job with the name, {name}, already exists. Choose a different "
                "name.",
            )
        request = _with_objective(params)
        self._training.check(training_request(request, f"{name}-001-00000000", {}))
        arn = cloud.arn("sagemaker", f"hyper-parameter-tuning-job/{name}")
        job = TuningJob(
            name=name,
            arn=arn,
            request=request,
            number=len(self.jobs),
            clock=cloud.clock,
            fault=JobFault(),
        )
        # A generator of its own: what else happens in the cloud at the same time does not change the search.
        generator = random.Random(cloud.entropy.getrandbits(64))
        self._tags.start(arn, params.get("Tags", ()))
        if config["Strategy"] == "Bayesian":
            cloud.events.publish(
                "warning", name, message="the Bayesian search is carried out as a random search"
            )
        search = _search(config, ranges, generator)
        self.launch(job, TuningRun(self, job, self._training, search, generator).live)
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
            lambda training: _trial(job, trials[training.name]),
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

    def _find(self, name: str) -> TuningJob:
        job = self.jobs.get(name)
        if job is None:
            raise ServiceError(
                "ResourceNotFound",
                f"Amazon SageMaker can't find a tuning job called {name}. Type another name.",
            )
        return job


def _search(config: dict[str, Any], ranges: Sequence[Range], generator: random.Random) -> Search:
    if config["Strategy"] == "Grid":
        return GridSearch(ranges)
    return RandomSearch(ranges, random.Random(config.get("RandomSeed", generator.getrandbits(64))))


# What is refused --------------------------------------------------------------------------------------


def _check(params: dict[str, Any]) -> None:
    """Raise for what is missing, contradictory or not supported, but for the ranges."""
    only(params, SUPPORTED)
    config = params["HyperParameterTuningJobConfig"]
    one_of(config["Strategy"], ("Random", "Grid", "Bayesian"), "Strategy")
    one_of(config.get("TrainingJobEarlyStoppingType"), ("Off",), "TrainingJobEarlyStoppingType")
    convergence = config.get("TuningJobCompletionCriteria", {}).get("ConvergenceDetected", {})
    one_of(convergence.get("CompleteOnConvergence"), ("Disabled",), "CompleteOnConvergence")
    definition = params.get("TrainingJobDefinition")
    if not definition:
        raise null("trainingJobDefinition")
    resources = [definition.get("ResourceConfig"), definition.get("HyperParameterTuningResourceConfig")]
    if not any(resources):
        raise null("trainingJobDefinition.resourceConfig")
    if all(resources):
        raise invalid("ResourceConfig and HyperParameterTuningResourceConfig cannot both be specified.")
    objective = config.get("HyperParameterTuningJobObjective")
    if not objective:
        raise null("hyperParameterTuningJobConfig.hyperParameterTuningJobObjective")
    metrics = definition["AlgorithmSpecification"].get("MetricDefinitions", ())
    if objective["MetricName"] not in [metric["Name"] for metric in metrics]:
        raise invalid(
            "A metric is required for this hyperparameter tuning job objective. Provide a metric in the "
            "metric definitions."
        )


def _check_ranges(params: dict[str, Any], ranges: Sequence[Range]) -> None:
    """Raise for ranges that do not go with the rest of the request."""
    config, definition = params["HyperParameterTuningJobConfig"], params["TrainingJobDefinition"]
    if not ranges:
        raise null("hyperParameterTuningJobConfig.parameterRanges")
    for each in ranges:
        if each.name in definition.get("StaticHyperParameters", {}):
            raise invalid(f"The hyperparameter {each.name} is both static and has a range.")
    most = config["ResourceLimits"].get("MaxNumberOfTrainingJobs")
    grid = config["Strategy"] == "Grid"
    if grid and any(
        config["ParameterRanges"].get(f"{kind}ParameterRanges") for kind in ("Integer", "Continuous")
    ):
        raise invalid("Only categorical parameters are supported when using the grid search strategy.")
    if not grid and most is None:
        raise unsupported("ResourceLimits without MaxNumberOfTrainingJobs")
    number = combinations(ranges)
    if number is None or most is None:
        return
    if number < most:
        raise invalid(
            "You don't have enough combinations of hyperparameter ranges. The total number of hyperparameter "
            f"combinations for the provided ranges [{float(number)}] must be equal or greater than the value "
            f"of MaxNumberOfJobs, [{most}]. Provide additional ranges."
        )
    if grid and number > most:
        raise invalid(
            f"MaxNumberOfTrainingJobs, [{most}], must equal the total number of distinct categorical "
            f"combinations, [{number}], when using the grid search strategy."
        )


def _with_objective(params: dict[str, Any]) -> dict[str, Any]:
    """The request with the hyperparameter that SageMaker adds to the static ones."""
    definition = params["TrainingJobDefinition"]
    metric = params["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["MetricName"]
    static = {**definition.get("StaticHyperParameters", {}), OBJECTIVE: metric}
    return {**params, "TrainingJobDefinition": {**definition, "StaticHyperParameters": static}}


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
        "TrainingJobDefinition": request["TrainingJobDefinition"],
        "HyperParameterTuningJobStatus": job.status,
        "CreationTime": moment(job.created),
        **times(
            HyperParameterTuningEndTime=job.modified if job.terminal else None, LastModifiedTime=job.modified
        ),
        **_counters(job),
    }
    if job.best is not None:
        described["BestTrainingJob"] = _trial(job, job.best)
    if job.failure_reason is not None:
        described["FailureReason"] = job.failure_reason
    return described | {
        "TuningJobCompletionDetails": {"NumberOfTrainingJobsObjectiveNotImproving": job.not_improving},
        "ConsumedResources": {"RuntimeInSeconds": int((job.modified if job.terminal else now) - job.created)},
    }


def _trial(job: TuningJob, trial: Trial) -> dict[str, Any]:
    """A HyperParameterTrainingJobSummary."""
    training = trial.job
    told: dict[str, Any] = {}
    if "DefinitionName" in job.request["TrainingJobDefinition"]:
        told["TrainingJobDefinitionName"] = job.request["TrainingJobDefinition"]["DefinitionName"]
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
            "MetricName": trial.metric,
            "Value": trial.value,
        }
    return told | {"ObjectiveStatus": trial.objective_status}
