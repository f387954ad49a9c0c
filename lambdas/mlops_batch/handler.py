"""Make a model of the trained artifact and start a batch transform job over the held-back images.

Event::

    {"run": "...", "training_job": "...", "model_artifact": "s3://bucket/.../model.tar.gz"}

Returns the event, with::

    {"model": NAME, "transform_job": NAME, "images": "s3://bucket/test/", "predictions": "s3://bucket/runs/<run>/..."}

The predictions go under a prefix of this run's own, so that those of an earlier run cannot be taken for them.

Environment: DATA_BUCKET, TEST_PREFIX, RUNS_PREFIX, INFERENCE_IMAGE, ROLE_ARN, INSTANCE_TYPE, CONTENT_TYPE.
"""

import logging
import os

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

logger = logging.getLogger()
logger.setLevel(logging.INFO)

sagemaker = boto3.client("sagemaker", config=Config(retries={"mode": "standard", "total_max_attempts": 3}))


def handler(event, context):
    """Create the model and the transform job; harmless when this run has already created either."""
    run = event["run"]
    bucket = os.environ["DATA_BUCKET"]
    images = f"s3://{bucket}/{os.environ['TEST_PREFIX']}"
    predictions = f"s3://{bucket}/{os.environ['RUNS_PREFIX']}{run}/predictions/"
    create(
        sagemaker.create_model,
        ModelName=run,
        ExecutionRoleArn=os.environ["ROLE_ARN"],
        PrimaryContainer={
            "Image": os.environ["INFERENCE_IMAGE"],
            "ModelDataUrl": event["model_artifact"],
        },
        EnableNetworkIsolation=True,  # all it needs is in the model
    )
    create(
        sagemaker.create_transform_job,
        TransformJobName=run,
        ModelName=run,
        MaxConcurrentTransforms=4,
        TransformInput={
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": images}},
            "ContentType": os.environ["CONTENT_TYPE"],
        },
        TransformOutput={"S3OutputPath": predictions, "Accept": "application/json"},
        TransformResources={"InstanceType": os.environ["INSTANCE_TYPE"], "InstanceCount": 1},
    )
    return {**event, "model": run, "transform_job": run, "images": images, "predictions": predictions}


def create(operation, **request):
    """Call a Create operation; a resource of that name is an earlier attempt's at this state.

    SageMaker says in two ways that a name is taken: ResourceInUse for jobs, ValidationException for models.
    """
    try:
        operation(**request)
        logger.info("%s: %s", operation.__name__, request)
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        if code != "ResourceInUse" and "already exist" not in message:
            raise
        logger.info("%s: had already been done", operation.__name__)
