"""The error answers of the Step Functions API, with AWS's codes and sentences."""

from __future__ import annotations

from harness.cloud.errors import ServiceError

__all__ = [
    "activity_does_not_exist",
    "conflict",
    "execution_already_exists",
    "execution_does_not_exist",
    "invalid_arn",
    "invalid_definition",
    "invalid_execution_input",
    "invalid_name",
    "invalid_token",
    "not_supported_by_type",
    "quota_exceeded",
    "refused",
    "resource_not_found",
    "state_machine_already_exists",
    "state_machine_deleting",
    "state_machine_does_not_exist",
    "validation_failed",
]


def invalid_arn(detail: str) -> ServiceError:
    return ServiceError("InvalidArn", f"Invalid Arn: '{detail}'")


def invalid_name(name: str) -> ServiceError:
    return ServiceError("InvalidName", f"Invalid Name: '{name}'")


def invalid_token() -> ServiceError:
    """A page token, or a task token, that this service never gave out."""
    return ServiceError("InvalidToken", "Invalid Token: 'Invalid token'")


def invalid_definition(detail: str) -> ServiceError:
    return ServiceError("InvalidDefinition", f"Invalid State Machine Definition: '{detail}'")


def invalid_execution_input(detail: str) -> ServiceError:
    return ServiceError("InvalidExecutionInput", f"Invalid State Machine Execution Input: '{detail}'")


def state_machine_does_not_exist(arn: str) -> ServiceError:
    return ServiceError("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{arn}'")


def state_machine_already_exists(arn: str) -> ServiceError:
    return ServiceError("StateMachineAlreadyExists", f"State Machine Already Exists: '{arn}'")


def state_machine_deleting(arn: str) -> ServiceError:
    return ServiceError("StateMachineDeleting", f"State Machine is being deleted: '{arn}'")


def activity_does_not_exist(arn: str) -> ServiceError:
    return ServiceError("ActivityDoesNotExist", f"Activity Does Not Exist: '{arn}'")


def execution_does_not_exist(arn: str) -> ServiceError:
    return ServiceError("ExecutionDoesNotExist", f"Execution Does Not Exist: '{arn}'")


def execution_already_exists(arn: str) -> ServiceError:
    return ServiceError("ExecutionAlreadyExists", f"Execution Already Exists: '{arn}'")


def not_supported_by_type() -> ServiceError:
    return ServiceError(
        "StateMachineTypeNotSupported", "This operation is not supported by this type of state machine"
    )


def resource_not_found(arn: str) -> ServiceError:
    return ServiceError("ResourceNotFound", f"Resource not found: '{arn}'", fields={"resourceName": arn})


def conflict(message: str) -> ServiceError:
    return ServiceError("ConflictException", message)


def quota_exceeded(message: str) -> ServiceError:
    return ServiceError("ServiceQuotaExceededException", message)


def validation_failed(message: str, reason: str | None = None) -> ServiceError:
    return ServiceError("ValidationException", message, fields={"reason": reason} if reason else None)


def refused(what: str, instead: str) -> ServiceError:
    """Something AWS has and this local cloud does not: said by name instead of being ignored."""
    return validation_failed(f"{what} is not supported by the local Step Functions: {instead}")
