"""Say how a job or an endpoint is doing.

Event, one of::

    {"training_job": NAME}
    {"transform_job": NAME}
    {"endpoint": NAME, "endpoint_config": NAME}    # the config that the endpoint is to serve

Returns::

    {
      "status": "Completed",        # SageMaker's own word: InProgress, Stopping, Failed, InService, ...
      "error": "",                  # an error name such as TrainingJobFailed, when it did not end well
      "reason": "",                 # and why
      "model_artifact": "s3://..."  # training jobs; null until there is one
    }

Environment: none.
"""

import logging

import boto3
from botocore.config import Config

logger = logging.getLogger()
logger.setLevel(logging.INFO)

sagemaker = boto3.client("sagemaker", config=Config(retries={"mode": "standard", "total_max_attempts": 3}))

WELL = {"InProgress", "Stopping", "Completed", "Creating", "Updating", "SystemUpdating", "InService"}
"""Statuses that mean success, or that it is too early to tell."""


class InvalidEvent(Exception):
    """The event names nothing to look at."""


def handler(event, context):
    """Describe what the event names."""
    if "training_job" in event:
        answer = training_job(event["training_job"])
    elif "transform_job" in event:
        answer = transform_job(event["transform_job"])
    elif "endpoint" in event:
        answer = endpoint(event["endpoint"], event["endpoint_config"])
    else:
        raise InvalidEvent("expected training_job, transform_job or endpoint in the event")
    logger.info("%s: %s", event, answer)
    return answer


def training_job(name):
    """The state of a training job."""
    job = sagemaker.describe_training_job(TrainingJobName=name)
    status = job["TrainingJobStatus"]
    reason = job.get("FailureReason", "")
    if status == "Stopped" and not reason:
        # SageMaker gives no reason here; the secondary status tells a time limit from a stop by hand.
        reason = f"training job {name} ended with secondary status {job['SecondaryStatus']}"
    artifact = job.get("ModelArtifacts", {}).get("S3ModelArtifacts")
    return {**outcome("TrainingJob", status, reason), "model_artifact": artifact}


def transform_job(name):
    """The state of a batch transform job."""
    job = sagemaker.describe_transform_job(TransformJobName=name)
    status = job["TransformJobStatus"]
    reason = job.get("FailureReason", "")
    if status == "Stopped" and not reason:
        reason = f"transform job {name} was stopped"
    return outcome("TransformJob", status, reason)


def endpoint(name, config):
    """The state of an endpoint that is to serve `config`.

    An endpoint whose update was rolled back ends InService like any other, with its previous config.
    """
    description = sagemaker.describe_endpoint(EndpointName=name)
    status = description["EndpointStatus"]
    serving = description.get("EndpointConfigName", config)
    if status == "InService" and serving != config:
        return outcome("Endpoint", "RolledBack", f"endpoint {name} serves {serving}, not {config}")
    reason = description.get("FailureReason", "")
    return outcome("Endpoint", status, reason or ("" if status in WELL else f"endpoint {name} is {status}"))


def outcome(kind, status, reason):
    """The function's answer."""
    return {"status": status, "error": "" if status in WELL else f"{kind}{status}", "reason": reason}
