"""Which service a request is for, and who sends it.

A client that knows nothing but an endpoint URL says what it wants in several ways; in order of trust: the
signature's credential scope, X-Amz-Target, the host, the API version of a form, the path. What is left is S3,
the one service whose requests may carry no mark at all.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qs

from harness.cloud.messages import HttpRequest

_CREDENTIAL = re.compile(
    r"Credential=(?P<key>[^/,\s]+)/\d{8}/(?:(?P<region>[^/,\s]+)/)?(?P<service>[^/,\s]+)/aws4_request"
)
_SIGNATURE_2 = re.compile(r"AWS (?P<key>[^:\s]+):")
_REGION = r"[a-z]{2}(?:-[a-z]+)+-\d"
_AWS_HOST = re.compile(r"(?P<name>.+?)\.(?:amazonaws\.com(?:\.cn)?|localhost)")
_REGION_LABEL = re.compile(rf"[.-]({_REGION})$")
_BUCKET_HOST = re.compile(rf"(?P<bucket>.+)\.s3(?:[.-](?:dualstack\.|fips\.)?(?:{_REGION}))?")

_SIGNING_NAMES = {"states": "stepfunctions"}
"""Where botocore's service name differs from the name requests are signed with; ours only."""

_ENDPOINTS = {
    "sync-states": "stepfunctions",
    "api.sagemaker": "sagemaker",
    "runtime.sagemaker": "sagemaker-runtime",
    "email": "ses",
    "monitoring": "monitoring",
    "api.ecr": "ecr",
}
"""Where an endpoint's host name differs from the name requests are signed with."""

_TARGETS = {
    "AWSStepFunctions": "stepfunctions",
    "SageMaker": "sagemaker",
    "AmazonEC2ContainerRegistry_V20150921": "ecr",
    "AmazonSQS": "sqs",
    "AmazonSSM": "ssm",
    "AWSCognitoIdentityProviderService": "cognito-idp",
    "AWSCognitoIdentityService": "cognito-identity",
    "AWSEvents": "events",
    "AWSGlue": "glue",
    "DynamoDB_20120810": "dynamodb",
    "DynamoDBStreams_20120810": "dynamodb",
    "Firehose_20150804": "firehose",
    "GraniteServiceVersion20100801": "monitoring",
    "Kinesis_20131202": "kinesis",
    "Logs_20140328": "logs",
    "ResourceGroupsTaggingAPI_20170126": "tagging",
    "TrentService": "kms",
    "secretsmanager": "secretsmanager",
}
"""X-Amz-Target prefix -> service, for requests that are not signed."""

_VERSIONS = {
    "2010-03-31": "sns",
    "2010-05-08": "iam",
    "2010-05-15": "cloudformation",
    "2010-08-01": "monitoring",
    "2010-12-01": "ses",
    "2011-06-15": "sts",
    "2012-11-05": "sqs",
    "2016-11-15": "ec2",
}
"""API version of a form (``Action=...&Version=...``) -> service, for requests that are not signed."""

_INFERENCE_PATH = re.compile(r"/endpoints/[^/]+/(?:async-)?invocations(?:-response-stream)?/?$")
_LAMBDA_PATH = re.compile(
    r"/20\d\d-\d\d-\d\d/(?:functions|layers|event-source-mappings|tags|account-settings)\b"
)


@dataclass(frozen=True)
class Address:
    """Where a request goes.

    Attributes:
        service: botocore's name for a service of ours, otherwise the name requests are signed with.
        region: As the request says; None when it does not.
        access_key: Access key id of the sender; None when the request is not signed.
        bucket: The bucket, when the host names it rather than the path.
    """

    service: str
    region: str | None
    access_key: str | None
    bucket: str | None = None


def locate(request: HttpRequest) -> Address:
    """Find the service of a request."""
    host = host_name(request)
    bucket = None
    if match := _AWS_HOST.fullmatch(host):
        named = _BUCKET_HOST.fullmatch(match["name"])
        bucket = named["bucket"] if named else None
    service, region, key = _signed(request)
    if service == "s3" and bucket is None and host.endswith(".localhost"):
        label = host.removesuffix(".localhost")
        bucket = None if _service_of_label(label) == "s3" else label
    if service is None:
        service = "s3" if bucket else _unsigned(request, match["name"] if match else "")
    return Address(service, region, key, bucket)


def host_name(request: HttpRequest) -> str:
    """The host a request is addressed to, in lower case, without the port."""
    host = request.headers.get("host", "").lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


@lru_cache(maxsize=256)
def is_local(host: str) -> bool:
    """A host name that a client of the local cloud may use.

    A web page whose own name was made to point at 127.0.0.1 (DNS rebinding) sends that name, and is refused.
    """
    host = host.removeprefix("sync-")  # StartSyncExecution puts this before the endpoint's host
    return (
        host in ("", "localhost", "[::1]")
        or re.fullmatch(r"127\.\d+\.\d+\.\d+", host) is not None
        or host.endswith((".localhost", ".amazonaws.com", ".amazonaws.com.cn"))
    )


@lru_cache(maxsize=256)
def is_relay(host: str) -> bool:
    """A host at which a container may find the local cloud: a private address of this machine, or the name
    that Docker Desktop has for it. A number cannot be made to point elsewhere, as a web page's name can.
    """
    if host == "host.docker.internal":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_private
    except ValueError:
        return False


def _signed(request: HttpRequest) -> tuple[str | None, str | None, str | None]:
    """(service, region, access key) of the signature, wherever it is."""
    authorization = request.headers.get("authorization")
    if authorization is None and "X-Amz-Credential=" in request.query:
        authorization = "Credential=" + _query(request, "X-Amz-Credential")
    if authorization:
        if match := _CREDENTIAL.search(authorization):
            return _of_signing_name(match["service"], request), match["region"], match["key"]
        if match := _SIGNATURE_2.match(authorization):
            return "s3", None, match["key"]
    elif "AWSAccessKeyId=" in request.query:
        return "s3", None, _query(request, "AWSAccessKeyId")
    return None, None, None


def _query(request: HttpRequest, name: str) -> str:
    return parse_qs(request.query).get(name, [""])[0]


def _of_signing_name(name: str, request: HttpRequest) -> str:
    if name == "sagemaker":
        return _sagemaker(request)
    return _SIGNING_NAMES.get(name, name)


def _sagemaker(request: HttpRequest) -> str:
    """The services that share the signing name ``sagemaker``."""
    if request.headers.get("x-amz-target", "").startswith("SageMaker."):
        return "sagemaker"
    if _INFERENCE_PATH.match(request.path):
        return "sagemaker-runtime"
    if request.path.endswith("/BatchPutMetrics"):
        return "sagemaker-metrics"
    return "sagemaker" if request.path == "/" else "sagemaker-featurestore-runtime"


def _unsigned(request: HttpRequest, host: str) -> str:
    target = request.headers.get("x-amz-target", "").rpartition(".")[0]
    if target in _TARGETS:
        return _TARGETS[target]
    if host:
        return _of_signing_name(_service_of_label(host), request)
    form = request.query
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        form = request.body.decode("latin-1")
    if "Version=" in form:
        version = parse_qs(form).get("Version", [""])[0]
        if version in _VERSIONS:
            return _VERSIONS[version]
    if _INFERENCE_PATH.match(request.path):
        return "sagemaker-runtime"
    if _LAMBDA_PATH.match(request.path):
        return "lambda"
    return "s3"


def _service_of_label(host: str) -> str:
    """The service of ``states.us-east-1`` and the like."""
    name = _REGION_LABEL.sub("", host)
    return _ENDPOINTS.get(name, name)
