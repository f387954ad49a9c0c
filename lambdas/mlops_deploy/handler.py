"""Put a model behind an endpoint.

Event: what mlops_eval returned; this needs its ``run`` and ``model``.

Returns the event, with::

    {"endpoint": NAME, "endpoint_config": NAME}

Each run makes an endpoint config of its own. The endpoint is the run's own too, unless ENDPOINT_NAME names
one to keep: then it is created the first time and updated, without downtime, after that.

Environment: INSTANCE_TYPE, INSTANCE_COUNT, ENDPOINT_NAME (may be empty).
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
    """Create the endpoint, or update it; harmless when this run has already done so."""
    config = event["run"]
    endpoint = os.environ["ENDPOINT_NAME"] or event["run"]
    create(
        sagemaker.create_endpoint_config,
        EndpointConfigName=config,
        ProductionVariants=[
            {
                "VariantName": "AllTraffic",
                "ModelName": event["model"],
                "InstanceType": os.environ["INSTANCE_TYPE"],
                "InitialInstanceCount": int(os.environ["INSTANCE_COUNT"]),
            }
        ],
    )
    created = create(sagemaker.create_endpoint, EndpointName=endpoint, EndpointConfigName=config)
    if not created:
        current = sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"]
        if current != config:
            sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=config)
            logger.info("endpoint %s goes from %s to %s", endpoint, current, config)
    return {**event, "endpoint": endpoint, "endpoint_config": config}


def create(operation, **request):
    """Call a Create operation.

    Returns:
        False when a resource of that name exists (which SageMaker reports as a ValidationException).
    """
    try:
        operation(**request)
    except ClientError as error:
        if "already exist" not in error.response["Error"].get("Message", ""):
            raise
        logger.info("%s: had already been done", operation.__name__)
        return False
    logger.info("%s: %s", operation.__name__, request)
    return True
