"""What CreateTransformJob checks of a request and its model beyond botocore's model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.cloud.sagemaker.images import require_model_image
from harness.cloud.sagemaker.models.models import Model
from harness.cloud.sagemaker.quotas import require_quota
from harness.cloud.sagemaker.transform.filters import DataProcessing
from harness.cloud.sagemaker.validation import invalid, no_nul, only, parse_s3, unsupported
from harness.cloud.service import CloudContext

__all__ = ["check", "check_model"]

MAX_PAYLOAD_MB = 100
"""The limit of MaxPayloadInMB, and of it times MaxConcurrentTransforms."""

SUPPORTED = (
    "TransformJobName",
    "ModelName",
    "MaxConcurrentTransforms",
    "ModelClientConfig.InvocationsTimeoutInSeconds",
    "ModelClientConfig.InvocationsMaxRetries",
    "MaxPayloadInMB",
    "BatchStrategy",
    "Environment",
    "TransformInput.DataSource.S3DataSource.S3DataType",
    "TransformInput.DataSource.S3DataSource.S3Uri",
    "TransformInput.ContentType",
    "TransformInput.CompressionType",
    "TransformInput.SplitType",
    "TransformOutput.S3OutputPath",
    "TransformOutput.Accept",
    "TransformOutput.AssembleWith",
    "DataCaptureConfig.DestinationS3Uri",
    "TransformResources.InstanceType",
    "TransformResources.InstanceCount",
    "DataProcessing.InputFilter",
    "DataProcessing.OutputFilter",
    "DataProcessing.JoinSource",
    "Tags",
)


def check(params: Mapping[str, Any]) -> None:
    """Refuse what is contradictory or not supported.

    A BatchStrategy without a SplitType is none of it: AWS takes it, and it has no effect.

    Raises:
        ServiceError: ValidationException.
    """
    only(params, SUPPORTED)
    no_nul(params, ("Environment",))
    source, output = params["TransformInput"], params["TransformOutput"]
    place = source["DataSource"]["S3DataSource"]
    if place["S3DataType"] == "AugmentedManifestFile":
        raise invalid("S3DataType AugmentedManifestFile is not supported for a transform job.")
    parse_s3(place["S3Uri"])
    parse_s3(output["S3OutputPath"])
    if "DataCaptureConfig" in params:
        parse_s3(params["DataCaptureConfig"]["DestinationS3Uri"])
    for header, value in (("ContentType", source.get("ContentType")), ("Accept", output.get("Accept"))):
        if value is not None and ("\r" in value or "\n" in value):
            raise invalid(f"{header} must not contain a line break.")
    DataProcessing.of(params)
    resources = params["TransformResources"]
    require_quota("transform job", resources["InstanceType"], resources["InstanceCount"])
    payload = params.get("MaxPayloadInMB", 6)
    if payload > MAX_PAYLOAD_MB:
        raise invalid(f"MaxPayloadInMB must not be greater than {MAX_PAYLOAD_MB}.")
    if params.get("MaxConcurrentTransforms", 1) * payload > MAX_PAYLOAD_MB:
        raise invalid(
            f"MaxConcurrentTransforms times MaxPayloadInMB must not be greater than {MAX_PAYLOAD_MB} MB."
        )


def check_model(cloud: CloudContext, model: Model) -> None:
    """Refuse a model that batch transform cannot serve.

    Raises:
        ServiceError: ValidationException.
    """
    if any(container.multi_model for container in model.containers):
        raise invalid("A model in MultiModel mode cannot be used in a transform job.")
    if len(model.containers) > 1 and model.mode == "Direct":
        raise unsupported("a transform job with a model whose InferenceExecutionConfig is Direct")
    for container in model.containers:
        require_model_image(cloud.images, container.image)
        if container.source is not None and container.source.form != "archive":
            raise invalid(
                "SageMaker Batch currently doesn't support Model entity with container definitions which use "
                "ModelDataSource attribute."
            )
