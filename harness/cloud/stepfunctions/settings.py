"""The settings of state machines and activities, checked and with their defaults filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.service import CloudContext

__all__ = ["Settings", "encryption_of", "log_group", "logging_of", "tracing_of", "warn_of_key"]

Settings = Mapping[str, Any]
"""One of a resource's configurations, as the API shows it."""


def logging_of(params: Mapping[str, Any]) -> Settings:
    """The loggingConfiguration of a request.

    Raises:
        ServiceError: InvalidLoggingConfiguration.
    """

    def invalid(why: str) -> ServiceError:
        return ServiceError("InvalidLoggingConfiguration", f"Invalid Logging Configuration: {why}")

    logging = {"level": "OFF", "includeExecutionData": False, **params.get("loggingConfiguration", {})}
    destinations = logging.get("destinations", ())
    if len(destinations) > 1 or (logging["level"] != "OFF" and not destinations):
        raise invalid("Must specify exactly one Log Destination.")
    for destination in destinations:
        arn = destination.get("cloudWatchLogsLogGroup", {}).get("logGroupArn", "")
        if ":log-group:" not in arn:
            raise invalid("Log Destination must be a CloudWatch Logs log group.")
        if not arn.endswith(":*"):
            raise invalid("Log Group ARN must be provided with '*' qualifier.")
    return logging


def log_group(logging: Settings) -> str | None:
    """Name of the log group that a loggingConfiguration sends to; None if it has no destination."""
    destinations = logging.get("destinations")
    if not destinations:
        return None
    arn: str = destinations[0]["cloudWatchLogsLogGroup"]["logGroupArn"]
    return arn.partition(":log-group:")[2].removesuffix(":*")


def tracing_of(params: Mapping[str, Any]) -> Settings:
    """The tracingConfiguration of a request."""
    return {"enabled": False, **params.get("tracingConfiguration", {})}


def encryption_of(params: Mapping[str, Any]) -> Settings:
    """The encryptionConfiguration of a request.

    Raises:
        ServiceError: InvalidEncryptionConfiguration.
    """
    encryption = {"type": "AWS_OWNED_KEY", **params.get("encryptionConfiguration", {})}
    if (encryption["type"] == "CUSTOMER_MANAGED_KMS_KEY") != ("kmsKeyId" in encryption):
        raise ServiceError(
            "InvalidEncryptionConfiguration",
            "Invalid Encryption Configuration: kmsKeyId must be set for type CUSTOMER_MANAGED_KMS_KEY only",
        )
    return encryption


def warn_of_key(cloud: CloudContext, arn: str, encryption: Settings) -> None:
    """Say that an encryptionConfiguration has no effect here."""
    if encryption["type"] != "AWS_OWNED_KEY":
        cloud.events.publish(
            "warning", arn, message="a KMS key is configured, but nothing is encrypted locally"
        )
