"""Start the training job of a run.

Event::

    {
      "execution": {"id": ARN, "name": "...", "started": "2026-01-01T00:00:00Z"},   # of the state machine
      "input": {                            # the execution's input
        "prefix": "demo",                   # optional; part of every name this run makes
        "hyperparameters": {"epochs": 20}   # optional; added to those of the environment
      }
    }

Returns::

    {"run": "mlops-demo-nightly-4f1d0c8e2a77", "training_job": "mlops-demo-nightly-4f1d0c8e2a77"}

Environment: NAME_PREFIX, DATA_BUCKET, TRAIN_PREFIX, VALIDATION_PREFIX, RUNS_PREFIX, TRAINING_IMAGE, ROLE_ARN,
INSTANCE_TYPE, VOLUME_SIZE_IN_GB, MAX_RUNTIME_IN_SECONDS, HYPERPARAMETERS (a JSON object).
"""

import hashlib
import json
import logging
import os
import re

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

logger = logging.getLogger()
logger.setLevel(logging.INFO)

sagemaker = boto3.client("sagemaker", config=Config(retries={"mode": "standard", "total_max_attempts": 3}))


class InvalidInput(Exception):
    """The execution's input is not what the module's docstring says."""


def handler(event, context):
    """Start the training job; harmless when this execution has already started it."""
    request = event["input"]
    if not isinstance(request, dict):
        raise InvalidInput(f"the input must be an object, not {json.dumps(request)}")
    run = run_name(os.environ["NAME_PREFIX"], request.get("prefix", ""), event["execution"])
    bucket = os.environ["DATA_BUCKET"]
    try:
        sagemaker.create_training_job(
            TrainingJobName=run,
            RoleArn=os.environ["ROLE_ARN"],
            AlgorithmSpecification={
                "TrainingImage": os.environ["TRAINING_IMAGE"],
                "TrainingInputMode": "File",
                "MetricDefinitions": [
                    {"Name": "train:loss", "Regex": r"train_loss=(\S+)"},
                    {"Name": "validation:f1", "Regex": r"validation_f1=(\S+)"},
                ],
            },
            HyperParameters=hyperparameters(
                json.loads(os.environ["HYPERPARAMETERS"]), request.get("hyperparameters", {})
            ),
            InputDataConfig=[
                channel("train", f"s3://{bucket}/{os.environ['TRAIN_PREFIX']}"),
                channel("validation", f"s3://{bucket}/{os.environ['VALIDATION_PREFIX']}"),
            ],
            OutputDataConfig={"S3OutputPath": f"s3://{bucket}/{os.environ['RUNS_PREFIX'].rstrip('/')}"},
            ResourceConfig={
                "InstanceType": os.environ["INSTANCE_TYPE"],
                "InstanceCount": 1,
                "VolumeSizeInGB": int(os.environ["VOLUME_SIZE_IN_GB"]),
            },
            StoppingCondition={"MaxRuntimeInSeconds": int(os.environ["MAX_RUNTIME_IN_SECONDS"])},
            EnableNetworkIsolation=True,  # all it needs is in its channels
        )
        logger.info("started training job %s", run)
    except ClientError as error:
        # The name belongs to this execution alone, so such a job is an earlier attempt's at this state.
        if error.response["Error"]["Code"] != "ResourceInUse":
            raise
        logger.info("training job %s had already been started", run)
    return {"run": run, "training_job": run}


def run_name(name_prefix, prefix, execution):
    """A name for everything this execution makes: the same on every attempt, shared with no other execution.

    Readable parts come first, cut to fit SageMaker's 63 characters. What makes the name unique is the digest:
    execution ARNs are unique in themselves, but can be used again after 90 days, hence the start time.
    """
    digest = hashlib.sha256(f"{execution['id']} {execution['started']}".encode()).hexdigest()[:12]
    readable = [name_prefix, str(prefix), execution["name"]]
    words = [re.sub(r"[^a-zA-Z0-9]+", "-", part)[:16].strip("-") for part in readable]
    return "-".join([word for word in words if word] + [digest])


def hyperparameters(defaults, overrides):
    """Merge, and turn every value into the string that CreateTrainingJob takes."""
    if not isinstance(overrides, dict):
        raise InvalidInput(f"hyperparameters must be an object, not {json.dumps(overrides)}")
    merged = {**defaults, **overrides}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in merged.items()}


def channel(name, uri):
    """An input channel with all objects under a prefix."""
    return {
        "ChannelName": name,
        "ContentType": "application/x-image",
        "DataSource": {
            "S3DataSource": {
                "S3DataType": "S3Prefix",
                "S3Uri": uri,
                "S3DataDistributionType": "FullyReplicated",
            }
        },
    }
