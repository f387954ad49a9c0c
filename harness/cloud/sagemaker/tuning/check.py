"""What a CreateHyperParameterTuningJob request may say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.cloud.sagemaker.training.check import SUPPORTED as TRAINING
from harness.cloud.sagemaker.tuning.job import PASSED_ON, Definition, TuningJob, definitions_of
from harness.cloud.sagemaker.tuning.search import combinations
from harness.cloud.sagemaker.tuning.stopping import max_resource
from harness.cloud.sagemaker.validation import invalid, null, one_of, only, unsupported

__all__ = ["check_tuning", "check_warm_start"]

_RANGES = tuple(f"{kind}ParameterRanges" for kind in ("Integer", "Continuous", "Categorical"))

_DEFINITION = (
    "DefinitionName",
    "StaticHyperParameters",
    *(
        f"HyperParameterTuningResourceConfig.{member}"
        for member in (
            "InstanceType",
            "InstanceCount",
            "VolumeSizeInGB",
            "AllocationStrategy",
            "InstanceConfigs",
        )
    ),
    *(member for member in TRAINING if member.partition(".")[0] in PASSED_ON),
)

SUPPORTED = (
    "HyperParameterTuningJobName",
    *(
        f"HyperParameterTuningJobConfig.{member}"
        for member in (
            "Strategy",
            "StrategyConfig.HyperbandStrategyConfig",
            "HyperParameterTuningJobObjective",
            "ResourceLimits.MaxNumberOfTrainingJobs",
            "ResourceLimits.MaxParallelTrainingJobs",
            "ResourceLimits.MaxRuntimeInSeconds",
            *(f"ParameterRanges.{kind}" for kind in _RANGES),
            "TrainingJobEarlyStoppingType",
            "TuningJobCompletionCriteria.TargetObjectiveMetricValue",
            "TuningJobCompletionCriteria.BestObjectiveNotImproving",
            "TuningJobCompletionCriteria.ConvergenceDetected.CompleteOnConvergence",
            "RandomSeed",
        )
    ),
    *(f"TrainingJobDefinition.{member}" for member in _DEFINITION),
    *(f"TrainingJobDefinitions.{member}" for member in _DEFINITION),
    "TrainingJobDefinitions.TuningObjective",
    *(f"TrainingJobDefinitions.HyperParameterRanges.{kind}" for kind in _RANGES),
    "WarmStartConfig",
    "Tags",
)


def check_tuning(params: Mapping[str, Any]) -> None:
    """Raise for what is missing, contradictory or not supported.

    Raises:
        ServiceError: ValidationException.
    """
    only(params, SUPPORTED)
    config = params["HyperParameterTuningJobConfig"]
    one_of(config["Strategy"], ("Random", "Grid", "Bayesian", "Hyperband"), "Strategy")
    convergence = config.get("TuningJobCompletionCriteria", {}).get("ConvergenceDetected", {})
    one_of(convergence.get("CompleteOnConvergence"), ("Disabled",), "CompleteOnConvergence")
    _check_members(params, config)
    definitions = definitions_of(params)
    if params.get("TrainingJobDefinition"):
        _check_definition(
            definitions[0], "trainingJobDefinition", "hyperParameterTuningJobConfig.parameterRanges"
        )
    else:
        for number, definition in enumerate(definitions, 1):
            path = f"trainingJobDefinitions.{number}.member"
            _check_definition(definition, path, f"{path}.hyperParameterRanges")
    _check_strategy(config, definitions)
    _check_number(config, definitions)


def _check_members(params: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Raise unless there is one definition, or several that each have what the one has from the config."""
    one, several = params.get("TrainingJobDefinition"), params.get("TrainingJobDefinitions")
    if one and several:
        raise invalid("TrainingJobDefinition and TrainingJobDefinitions cannot both be specified.")
    objective = "HyperParameterTuningJobObjective"
    if not several:
        if not one:
            raise null("trainingJobDefinition")
        if not config.get(objective):
            raise null("hyperParameterTuningJobConfig.hyperParameterTuningJobObjective")
        return
    for member in (objective, "ParameterRanges"):
        if config.get(member):
            raise invalid(f"{member} is given by each of the TrainingJobDefinitions, not for all of them.")
    for number, definition in enumerate(several, 1):
        for member in ("DefinitionName", "TuningObjective"):
            if not definition.get(member):
                path = f"trainingJobDefinitions.{number}.member"
                raise null(f"{path}.{member[0].lower()}{member[1:]}")
    _unique([definition["DefinitionName"] for definition in several], "training job definition name")
    if len({definition["TuningObjective"]["Type"] for definition in several}) > 1:
        raise unsupported("TuningObjective.Type that differs between TrainingJobDefinitions")
    if len(several) > 1:
        for what, given in (
            ("Warm start", params.get("WarmStartConfig")),
            ("Early stopping", config.get("TrainingJobEarlyStoppingType") == "Auto"),
        ):
            if given:
                raise invalid(f"{what} is only available with a single training job definition.")


def _unique(values: Sequence[str], what: str) -> None:
    for value in values:
        if values.count(value) > 1:
            raise invalid(f"Duplicate {what}: {value}.")


def _check_definition(definition: Definition, path: str, ranges: str) -> None:
    """Raise for what is wrong with a definition, given where the request has it and its ranges."""
    request = definition.request
    plain, tuning = request.get("ResourceConfig"), request.get("HyperParameterTuningResourceConfig")
    if plain and tuning:
        raise invalid("ResourceConfig and HyperParameterTuningResourceConfig cannot both be specified.")
    if not plain and not tuning:
        raise null(f"{path}.resourceConfig")
    if tuning:
        _check_resources(tuning)
    metrics = request["AlgorithmSpecification"].get("MetricDefinitions", ())
    if definition.metric not in [metric["Name"] for metric in metrics]:
        raise invalid(
            "A metric is required for this hyperparameter tuning job objective. Provide a metric in the "
            "metric definitions."
        )
    if not definition.ranges:
        raise null(ranges)
    for each in definition.ranges:
        if each.name in definition.static:
            raise invalid(f"The hyperparameter {each.name} is both static and has a range.")


def _check_resources(resources: Mapping[str, Any]) -> None:
    single = [
        member for member in ("InstanceType", "InstanceCount", "VolumeSizeInGB") if resources.get(member)
    ]
    if resources.get("InstanceConfigs") and single:
        raise invalid(f"InstanceConfigs and {single[0]} cannot both be specified.")
    if resources.get("AllocationStrategy") and not resources.get("InstanceConfigs"):
        raise invalid("AllocationStrategy is only valid with InstanceConfigs.")


def _check_strategy(config: Mapping[str, Any], definitions: Sequence[Definition]) -> None:
    strategy = config["Strategy"]
    if strategy == "Grid" and any(
        definition.parameters.get(f"{kind}ParameterRanges")
        for kind in ("Integer", "Continuous")
        for definition in definitions
    ):
        raise invalid("Only categorical parameters are supported when using the grid search strategy.")
    if strategy != "Hyperband":
        if config.get("StrategyConfig", {}).get("HyperbandStrategyConfig"):
            raise invalid("HyperbandStrategyConfig is only valid with the Hyperband strategy.")
        return
    if config.get("TrainingJobEarlyStoppingType", "Off") != "Off":
        raise invalid("TrainingJobEarlyStoppingType must be Off when using the Hyperband strategy.")
    least = config.get("StrategyConfig", {}).get("HyperbandStrategyConfig", {}).get("MinResource", 1)
    for definition in definitions:
        most = max_resource(config, definition.static)
        if most is None:
            raise invalid(
                "MaxResource of HyperbandStrategyConfig is not given, and no static hyperparameter tells the "
                "number of epochs."
            )
        if most < least:
            raise invalid(f"MaxResource, [{most}], must not be less than MinResource, [{least}].")


def _check_number(config: Mapping[str, Any], definitions: Sequence[Definition]) -> None:
    """Raise unless there are as many combinations of values as training jobs."""
    most = config["ResourceLimits"].get("MaxNumberOfTrainingJobs")
    grid = config["Strategy"] == "Grid"
    if not grid and most is None:
        raise unsupported("ResourceLimits without MaxNumberOfTrainingJobs")
    number = _sum(combinations(definition.ranges) for definition in definitions)
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


def _sum(numbers: Iterable[int | None]) -> int | None:
    """Their sum; None for no end when one of them is."""
    known = list(numbers)
    return None if None in known else sum(number for number in known if number is not None)


# Warm start -------------------------------------------------------------------------------------------

_MAY_CHANGE = (
    *("AlgorithmSpecification", "InputDataConfig", "OutputDataConfig", "StaticHyperParameters", "RoleArn"),
    *("ResourceConfig", "StoppingCondition", "VpcConfig", "EnableManagedSpotTraining", "CheckpointConfig"),
)
"""What a definition need not have in common with those of its parents, in the order of the refusal."""


def check_warm_start(params: Mapping[str, Any], parents: Sequence[TuningJob]) -> None:
    """Raise for parents that a tuning job cannot start from.

    Source: SageMaker developer guide, "Run a Warm Start Hyperparameter Tuning Job".

    Args:
        params: A request that `check_tuning` has passed.
        parents: The jobs that its WarmStartConfig names.

    Raises:
        ServiceError: ValidationException.
    """
    if not parents:
        return
    _unique([parent.name for parent in parents], "parent hyperparameter tuning job")
    [child] = definitions_of(params)
    identical = params["WarmStartConfig"]["WarmStartType"] == "IdenticalDataAndAlgorithm"
    for job in parents:
        if not job.terminal:
            raise invalid(f"The parent hyperparameter tuning job {job.name} is in status {job.status}.")
        if len(job.definitions) > 1:
            raise invalid("Warm start is only available with a single training job definition.")
        [parent] = job.definitions
        if child.objective != parent.objective:
            raise invalid(
                "The objective metric is not the same as that of the parent hyperparameter tuning job "
                f"{job.name}."
            )
        if _hyperparameters(child) != _hyperparameters(parent):
            raise invalid(
                "The set of tunable plus static HyperParameter names is not the same across current and "
                "parent tuning jobs. Please ensure this set is constant when warm starting. Note that "
                "previously static HyperParameters can be tuned in warm start jobs and vice versa."
            )
        if _fixed(child) != _fixed(parent):
            fields = ", ".join(f"{member[0].lower()}{member[1:]}" for member in _MAY_CHANGE)
            raise invalid(
                f"Only the following fields in TrainingJobDefinition are allowed to change: [{fields}]."
            )
        if identical and _data_and_algorithm(child) != _data_and_algorithm(parent):
            raise invalid(
                "Input data and training image are not the same as those of the parent hyperparameter "
                f"tuning job {job.name}, as IdenticalDataAndAlgorithm requires."
            )


def _hyperparameters(definition: Definition) -> set[str]:
    return {*definition.static, *(each.name for each in definition.ranges)}


def _fixed(definition: Definition) -> dict[str, Any]:
    # HyperParameterTuningResourceConfig is another way to say ResourceConfig. A part that is empty is none.
    free = (*_MAY_CHANGE, "HyperParameterTuningResourceConfig", "TuningObjective", "HyperParameterRanges")
    return {name: value for name, value in definition.request.items() if name not in free and value}


def _data_and_algorithm(definition: Definition) -> tuple[Any, Any]:
    image = definition.request["AlgorithmSpecification"].get("TrainingImage")
    return image, definition.request.get("InputDataConfig", [])
