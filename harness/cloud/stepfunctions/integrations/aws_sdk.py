"""``aws-sdk:<service>:<action>``: any operation of any service botocore knows."""

from __future__ import annotations

from functools import cache

from harness.asl.tasks import JSON, TaskRequest
from harness.cloud.errors import ServiceError
from harness.cloud.models import load_model, service_names
from harness.cloud.service import CloudContext
from harness.cloud.stepfunctions.integrations.base import CALLBACK, Params, ServiceCall, java_error
from harness.cloud.stepfunctions.integrations.shapes import SDK_V2, pascal_case

__all__ = ["SdkCall", "find_operation", "find_service"]


def _sdk_name(service: str) -> str:
    """The service's name in the AWS SDK for Java, version 2: DynamoDb, CloudWatchLogs, Sfn."""
    name = pascal_case(load_model(service).service_id)
    for prefix in ("Amazon", "Aws"):
        name = name.removeprefix(prefix)
    return name.removesuffix("Service") or name


# The services whose name in the SDK for Java is not botocore's name without its hyphens.
_RENAMED = {
    "applicationdiscovery": "discovery",
    "cloudwatchlogs": "logs",
    "cognitoidentityprovider": "cognito-idp",
    "costandusagereport": "cur",
    "costexplorer": "ce",
    "databasemigration": "dms",
    "directory": "ds",
    "directoryservicedata": "ds-data",
    "elasticloadbalancing": "elb",
    "elasticloadbalancingv2": "elbv2",
    "elasticsearch": "es",
    "eventbridge": "events",
    "iotdataplane": "iot-data",
    "iotjobsdataplane": "iot-jobs-data",
    "lexmodelbuilding": "lex-models",
    "lexmodelsv2": "lexv2-models",
    "lexruntimev2": "lexv2-runtime",
    "marketplacemetering": "meteringmarketplace",
    "migrationhub": "mgh",
    "serverlessapplicationrepository": "serverlessrepo",
    "sfn": "stepfunctions",
    "simpledb": "sdb",
}


@cache
def find_service(name: str) -> str | None:
    """botocore's name of the service that Step Functions calls `name` (``sfn``, ``cloudwatchlogs``, ``s3``).

    Step Functions uses the SDK's name in small letters.
    """
    service = _RENAMED.get(name, name)
    if service in service_names():
        # A name of botocore's that the SDK spells otherwise (logs, events) is none here.
        return service if _sdk_name(service).lower() == name else None
    for service in service_names():
        if service.replace("-", "") == name and _sdk_name(service).lower() == name:
            return service
    return None


def find_operation(service: str, action: str) -> str | None:
    """The API operation behind an action's name, which is the operation's with a small first letter."""
    operation = action[:1].upper() + action[1:]
    return operation if action[:1].islower() and operation in load_model(service).operations else None


class SdkCall(ServiceCall):
    """A plain API call; the result is the response and nothing else."""

    dialect = SDK_V2
    patterns = CALLBACK

    def __init__(self, cloud: CloudContext, service: str, operation: str) -> None:
        super().__init__(cloud, service, operation)
        self._name = _sdk_name(service)

    async def submit(self, request: TaskRequest, params: Params) -> JSON:
        return self.dialect.to_json(self.api, await self.call(request, params))

    def describe_error(self, error: ServiceError, request_id: str) -> tuple[str, str]:
        name = self.api.exception(error.code) or f"{self._name}Exception"
        return f"{self._name}.{name}", java_error(self._name, error, request_id, version=2)
