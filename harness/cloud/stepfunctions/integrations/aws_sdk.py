"""``aws-sdk:<service>:<action>``: any operation of any service botocore knows.

Names are those of the AWS SDK for Java, version 2: the service's in small letters in the resource and as it
is in error names (``sfn``, ``Sfn.ExecutionDoesNotExistException``), members in its spelling. Which services
and operations AWS leaves out is in its developer guide ("Learning to use AWS service SDK integrations").
"""

from __future__ import annotations

import base64
from functools import cache

from harness.asl.tasks import JSON, Resource, TaskRequest
from harness.cloud.errors import ServiceError
from harness.cloud.models import load_model, service_names
from harness.cloud.service import CloudContext
from harness.cloud.stepfunctions.integrations.base import CALLBACK, Params, ServiceCall, java_error
from harness.cloud.stepfunctions.integrations.catalogue import unrecognized, unsupported
from harness.cloud.stepfunctions.integrations.emulated import emulates
from harness.cloud.stepfunctions.integrations.shapes import SDK_V2, pascal_case

__all__ = ["SdkCall", "find_operation", "find_service", "sdk_call"]


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

# Services of botocore's that AWS does not list, and had when it wrote its list. Most need an endpoint of the
# customer's own (the first one is recorded as refused).
_NOT_INTEGRATED = frozenset(
    {
        "apigatewaymanagementapi",
        "cloudsearchdomain",
        "importexport",
        "iot-data",
        "machinelearning",
        "mediastore-data",
        "neptunedata",
        "sdb",
        "signin",
    }
)

# Operations that AWS lists as unsupported, besides those that stream events.
_NOT_CALLABLE = {
    "codedeploy": {
        "BatchGetDeploymentInstances",
        "GetDeploymentInstance",
        "ListDeploymentInstances",
        "SkipWaitTimeForInstanceTermination",
    },
    "comprehendmedical": {"DetectEntities"},
    "dataexchange": {"SendApiAsset"},
    "directconnect": {
        "AllocateConnectionOnInterconnect",
        "DescribeConnectionLoa",
        "DescribeConnectionsOnInterconnect",
        "DescribeInterconnectLoa",
    },
    "discovery": {"DescribeExportConfigurations", "ExportConfigurations"},
    "efs": {"CreateTags"},
    "emr": {"DescribeJobFlows"},
    "iot": {
        "AttachPrincipalPolicy",
        "DetachPrincipalPolicy",
        "ListPolicyPrincipals",
        "ListPrincipalPolicies",
    },
    "iotdeviceadvisor": {"ListTestCases"},
    "lambda": {"InvokeAsync"},
    "mediapackage": {"RotateChannelCredentials"},
    "rds-data": {"ExecuteSql"},
    "shield": {"DeleteSubscription"},
    "sts": {"AssumeRole", "AssumeRoleWithSAML", "AssumeRoleWithWebIdentity"},
}


@cache
def find_service(name: str) -> str | None:
    """botocore's name of the service that Step Functions calls `name` (``sfn``, ``cloudwatchlogs``, ``s3``).

    Step Functions uses the SDK's name in small letters.
    """
    service = _find(name)
    return None if service in _NOT_INTEGRATED else service


def _find(name: str) -> str | None:
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
    if not action[:1].islower() or operation not in load_model(service).operations:
        return None
    if operation in _NOT_CALLABLE.get(service, ()) or _streams(service, operation):
        return None
    return operation


def _streams(service: str, operation: str) -> bool:
    """Whether an operation's request or response is a stream of events, which no state can hold."""
    model = load_model(service)
    described = model.operations[operation]
    members = (
        model.shapes[member["shape"]]
        for side in (described.input, described.output)
        if side is not None
        for member in model.shapes[side]["members"].values()
    )
    return any(shape.get("eventstream") for shape in members)


# The answer to a HEAD request has no body, so neither code nor message; the SDK knows what it means.
_HEAD = {"HeadObject": "NoSuchKey", "HeadBucket": "NoSuchBucket"}


def sdk_call(cloud: CloudContext, resource: Resource, name: str) -> SdkCall:
    """The integration behind a resource, `name` being its service.

    Raises:
        Refused: AWS does not have it, or the local cloud does not.
    """
    service = find_service(name)
    operation = find_operation(service, resource.action) if service else None
    if service is None or operation is None or resource.pattern not in SdkCall.patterns:
        raise unrecognized(resource)
    try:
        ours = cloud.service(service)
    except KeyError:
        here, known = emulates(service), emulates(service, operation)
    else:
        methods = {method.replace("_", "") for method in dir(ours) if not method.startswith("_")}
        here, known = True, operation.lower() in methods
    if not here:
        raise unsupported(resource, f"there is no local {service}", "do without the call")
    if not known:
        raise unsupported(
            resource, f"the local {service} does not have the operation {operation}", "do without the call"
        )
    return SdkCall(cloud, service, operation)


class SdkCall(ServiceCall):
    """A plain API call; the result is the response and nothing else."""

    dialect = SDK_V2
    patterns = CALLBACK

    def __init__(self, cloud: CloudContext, service: str, operation: str) -> None:
        super().__init__(cloud, service, operation)
        self.label = _sdk_name(service)

    async def submit(self, request: TaskRequest, params: Params) -> JSON:
        return self.dialect.to_json(self.api, await self.call(request, params))

    def describe_error(self, error: ServiceError, request_id: str) -> tuple[str, str]:
        if self.service == "s3" and self.operation in _HEAD:
            code = _HEAD[self.operation] if error.status == 404 else error.code
            error = ServiceError(code, "null", status=error.status)
        exception = self.api.exception(error.code)
        name = f"{self.label}Exception" if exception is None else pascal_case(exception)
        extended = None
        if self.service in ("s3", "s3control"):  # S3 has a second id, in the header x-amz-id-2
            extended = base64.b64encode(self.cloud.entropy.randbytes(56)).decode()
        return f"{self.label}.{name}", java_error(
            self.label, error, request_id, version=2, extended_request_id=extended
        )
