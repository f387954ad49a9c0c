"""The configuration of a function: from a request to what GetFunctionConfiguration answers."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.functions.model import LATEST, LayerVersion, Version, invalid
from harness.cloud.functions.packages import LARGEST_UNPACKED, Package
from harness.cloud.functions.runtimes import SUPPORTED

DEFAULTS: Mapping[str, Any] = {
    "Description": "",
    "Timeout": 3,
    "MemorySize": 128,
    "PackageType": "Zip",
    "Architectures": ["x86_64"],
    "EphemeralStorage": {"Size": 512},
    "TracingConfig": {"Mode": "PassThrough"},
}

REFUSED: Mapping[str, str] = {
    "AcceleratorConfig": "accelerators",
    "CapacityProviderConfig": "managed instances",
    "CodeSigningConfigArn": "code signing",
    "DurableConfig": "durable functions",
    "FileSystemConfigs": "file systems",
    "ImageConfig": "container images",
    "PublishTo": "managed instances",
    "RuntimeConfig": "custom runtimes",
    "TenancyConfig": "tenant isolation",
}
"""Parameters the local cloud has nothing for, and what they are about."""

RESERVED_VARIABLES = frozenset(
    {
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SECRET_KEY",
        "AWS_SESSION_TOKEN",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
    }
)
"""https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html"""

LARGEST_VARIABLES = 4096
MOST_LAYERS = 5
LONGEST_TIMEOUT = 900
"""Seconds. The service model has no upper bound for it."""


def check(params: Mapping[str, Any]) -> None:
    """Refuse what is not supported, and what AWS itself refuses.

    Args:
        params: A CreateFunction, UpdateFunctionCode or UpdateFunctionConfiguration request.

    Raises:
        ServiceError: InvalidParameterValueException or ValidationException.
    """
    for name, subject in REFUSED.items():
        if params.get(name):
            raise invalid(
                f"{name} is not supported by the local cloud, which has no {subject} for functions."
            )
    code = params.get("Code", params)
    if params.get("PackageType") == "Image" or code.get("ImageUri"):
        raise invalid(
            "PackageType Image is not supported by the local cloud: it runs functions from zip archives."
        )
    timeout = params.get("Timeout", 0)
    if timeout > LONGEST_TIMEOUT:
        raise ServiceError(
            "ValidationException",
            f"1 validation error detected: Value '{timeout}' at 'timeout' failed to satisfy constraint: "
            f"Member must have value less than or equal to {LONGEST_TIMEOUT}",
        )
    runtime = params.get("Runtime")
    if runtime is not None and runtime not in SUPPORTED:
        if runtime.startswith("python"):
            raise invalid(
                f"The runtime parameter of {runtime} is no longer supported for creating or updating AWS "
                "Lambda functions. We recommend you use a supported runtime while creating or updating "
                "functions."
            )
        raise invalid(
            f"Runtime {runtime} is not supported by the local cloud, which runs {', '.join(SUPPORTED)}."
        )
    variables = params.get("Environment", {}).get("Variables", {})
    reserved = sorted(RESERVED_VARIABLES & variables.keys())
    if reserved:
        raise invalid(
            "Lambda was unable to configure your environment variables because the environment variables "
            "you have provided contains reserved keys that are currently not supported for modification. "
            f"Reserved keys used in this request: {', '.join(reserved)}"
        )
    written = json.dumps(variables, separators=(",", ":"))
    if len(written.encode()) > LARGEST_VARIABLES:
        raise invalid(
            "Lambda was unable to configure your environment variables because the environment variables "
            f"you have provided exceeded the 4KB limit. String measured: {written}"
        )
    layers = params.get("Layers", [])
    if len(layers) > MOST_LAYERS:
        raise invalid(f"Cannot reference more than {MOST_LAYERS} layers.")
    if len({layer.rpartition(":")[0] for layer in layers}) < len(layers):
        raise invalid(
            "Two different versions of the same layer are not allowed to be referenced in the same function."
        )


def differences(configuration: Mapping[str, Any]) -> Iterator[str]:
    """How the function will run differently from how it would on AWS, a sentence each."""
    if configuration.get("VpcConfig", {}).get("SubnetIds"):
        yield "VpcConfig has no effect: the function runs in this machine's network"
    if configuration["TracingConfig"]["Mode"] == "Active":
        yield "TracingConfig has no effect: there is no X-Ray here"
    if configuration["SnapStart"]["ApplyOn"] != "None":
        yield "SnapStart has no effect: environments are initialised when they are first needed"
    if configuration.get("KMSKeyArn"):
        yield "KMSKeyArn has no effect: environment variables are not encrypted"
    here = {"amd64": "x86_64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    (declared,) = configuration["Architectures"]
    if declared != here:
        yield f"it declares {declared}; it runs on {here}"


def create(
    params: Mapping[str, Any],
    *,
    arn: str,
    code: Package,
    layers: tuple[LayerVersion, ...],
    now: float,
    revision: str,
) -> Version:
    """$LATEST of a new function."""
    for name in ("Runtime", "Handler"):
        if not params.get(name):
            raise invalid(
                "Runtime and Handler are mandatory parameters for functions created with deployment packages."
            )
    configuration: dict[str, Any] = {
        "FunctionName": arn.rpartition(":")[2],
        "FunctionArn": arn,
        "Version": LATEST,
        **DEFAULTS,
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "RuntimeVersionConfig": {"RuntimeVersionArn": _runtime_version(arn, params["Runtime"])},
    }
    return _with(configuration, params, code, layers, now, revision)


def update(
    version: Version,
    params: Mapping[str, Any],
    *,
    code: Package,
    layers: tuple[LayerVersion, ...],
    now: float,
    revision: str,
) -> Version:
    """$LATEST after an update of its code or its configuration."""
    configuration = dict(version.configuration)
    if "Runtime" in params:
        arn = configuration["FunctionArn"]
        configuration["RuntimeVersionConfig"] = {
            "RuntimeVersionArn": _runtime_version(arn, params["Runtime"])
        }
    return _with(configuration, params, code, layers, now, revision)


def number(version: Version, name: str, description: str | None, revision: str) -> Version:
    """A version published from $LATEST."""
    configuration = {**version.configuration, "Version": name, "RevisionId": revision}
    if description is not None:
        configuration["Description"] = description
    if configuration["SnapStart"]["ApplyOn"] != "None":
        configuration["SnapStart"] = {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"}
    return Version(configuration, version.code, version.layers)


def last_modified(now: float) -> str:
    """As in the API: 2026-01-02T03:04:05.678+0000."""
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "+0000")


def _runtime_version(arn: str, runtime: str) -> str:
    """AWS gives the digest of its image here; ours says what it stands for."""
    partition, _, region = arn.split(":")[1:4]
    return f"arn:{partition}:lambda:{region}::runtime:local-{runtime}"


_COPIED = (
    *("Role", "Runtime", "Handler", "Description", "Timeout", "MemorySize", "KMSKeyArn", "TracingConfig"),
    *("DeadLetterConfig", "EphemeralStorage", "Architectures"),
)


def _with(
    configuration: dict[str, Any],
    params: Mapping[str, Any],
    code: Package,
    layers: tuple[LayerVersion, ...],
    now: float,
    revision: str,
) -> Version:
    """Put what a request says over a configuration."""
    configuration |= {name: params[name] for name in _COPIED if name in params}
    if not configuration.get("KMSKeyArn"):
        configuration.pop("KMSKeyArn", None)
    if not configuration.get("DeadLetterConfig", {}).get("TargetArn"):
        configuration.pop("DeadLetterConfig", None)
    if "Environment" in params:
        variables = params["Environment"].get("Variables", {})
        configuration.pop("Environment", None)
        if variables:
            configuration["Environment"] = {"Variables": dict(variables)}
    if "VpcConfig" in params:
        vpc = {"SubnetIds": [], "SecurityGroupIds": [], **params["VpcConfig"]}
        configuration["VpcConfig"] = {**vpc, "VpcId": "vpc-local" if vpc["SubnetIds"] else ""}
    if "SnapStart" in params or "SnapStart" not in configuration:
        applied = params.get("SnapStart", {}).get("ApplyOn", "None")
        configuration["SnapStart"] = {"ApplyOn": applied, "OptimizationStatus": "Off"}
    if "LoggingConfig" in params or "LoggingConfig" not in configuration:
        configuration["LoggingConfig"] = _logging(
            configuration["FunctionName"], params.get("LoggingConfig", {})
        )
    unpacked = code.unpacked_size + sum(layer.package.unpacked_size for layer in layers)
    if unpacked >= LARGEST_UNPACKED:
        raise invalid(
            "Function code combined with layers exceeds the maximum allowed size of "
            f"{LARGEST_UNPACKED} bytes. The actual size is {unpacked} bytes."
        )
    configuration |= {
        "CodeSha256": code.digest,
        "CodeSize": code.size,
        "LastModified": last_modified(now),
        "RevisionId": revision,
    }
    configuration.pop("Layers", None)
    if layers:
        configuration["Layers"] = [{"Arn": layer.arn, "CodeSize": layer.package.size} for layer in layers]
    return Version(configuration, code, layers)


def _logging(name: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
    logging = {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}", **wanted}
    if logging["LogFormat"] == "JSON":
        return {"ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO", **logging}
    if wanted.keys() & {"ApplicationLogLevel", "SystemLogLevel"}:
        raise invalid(
            "ApplicationLogLevel and SystemLogLevel can be set only for LogFormat JSON; this is Text."
        )
    return logging
