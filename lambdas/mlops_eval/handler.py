"""Score a model by what it predicted for the held-back images.

Event: what mlops_batch returned, with the execution's input::

    {
      "run": "...", "model": "...", "model_artifact": "s3://...",
      "images": "s3://bucket/test/",              # what was sent: <label>/<name>.png below the prefix
      "predictions": "s3://bucket/runs/<run>/...", # what came back: <label>/<name>.png.out
      "input": {"threshold": 0.5}                  # optional
    }

Returns::

    {
      "run": "...", "model": "...", "model_artifact": "s3://...",
      "f1score": 0.95,                  # unweighted mean over the labels
      "threshold": 0.3,                 # the least that is good enough
      "images": 200,
      "f1_by_label": {"0": 1.0, ...}
    }

Environment: THRESHOLD (of a run whose input names none).
"""

import json
import logging
import os
from concurrent.futures import ThreadPoolExecutor

import boto3
import numpy as np
from botocore.config import Config

logger = logging.getLogger()
logger.setLevel(logging.INFO)

READERS = 8

s3 = boto3.client(
    "s3",
    config=Config(retries={"mode": "standard", "total_max_attempts": 3}, max_pool_connections=READERS),
)


class InvalidInput(Exception):
    """The execution's input is not what the module's docstring says."""


class MissingPredictions(Exception):
    """The transform job was given images for which there is no output, or no images at all."""


class InvalidPrediction(Exception):
    """An output of the transform job is not {"predictions": {"class": "<label>"}}."""


def handler(event, context):
    """Compare the predictions with the labels."""
    bucket, images_prefix = split_uri(event["images"])
    predictions_bucket, predictions_prefix = split_uri(event["predictions"])
    images = list_keys(bucket, images_prefix)
    outputs = list_keys(predictions_bucket, predictions_prefix)
    missing = sorted(name for name in images if f"{name}.out" not in outputs)
    if missing:
        raise MissingPredictions(
            f"{len(missing)} of {len(images)} images have no output under {event['predictions']}: "
            + ", ".join(missing[:5])
        )
    if not images:
        raise MissingPredictions(f"there are no images under {event['images']}")

    names = sorted(images)
    with ThreadPoolExecutor(READERS) as readers:
        predicted = list(
            readers.map(lambda name: read_class(predictions_bucket, f"{predictions_prefix}{name}.out"), names)
        )
    by_label = f1_by_label([label_of(name) for name in names], predicted)
    result = {
        "run": event["run"],
        "model": event["model"],
        "model_artifact": event["model_artifact"],
        "f1score": float(np.mean(list(by_label.values()))),
        "threshold": threshold(event.get("input")),
        "images": len(names),
        "f1_by_label": by_label,
    }
    logger.info("%s", result)
    return result


def f1_by_label(truth, predicted):
    """F1 score of each label, with 0 for one that was never predicted, or predicted but never true.

    Args:
        truth: The true labels.
        predicted: The predicted ones, in the same order.

    Returns:
        {label: score} over every label that occurs in either.
    """
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    scores = {}
    for label in np.union1d(truth, predicted):
        hits = np.count_nonzero((truth == label) & (predicted == label))
        # The label occurs at least once in either list, so this is never zero.
        occurrences = np.count_nonzero(truth == label) + np.count_nonzero(predicted == label)
        scores[str(label)] = float(2 * hits / occurrences)
    return scores


def threshold(request):
    """The threshold of this run: its own, else the environment's."""
    value = request.get("threshold") if isinstance(request, dict) else None
    if value is None:
        value = float(os.environ["THRESHOLD"])
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(f"threshold must be a number, not {json.dumps(value)}")
    return value


def label_of(name):
    """``3/0001.png`` is a 3."""
    folder, slash, _ = name.rpartition("/")
    if not slash:
        raise InvalidInput(f"image {name!r} is in no folder that would name its label")
    return folder.rpartition("/")[2]


def split_uri(uri):
    """``s3://bucket/prefix/`` -> (bucket, prefix)."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    return bucket, prefix


def list_keys(bucket, prefix):
    """The keys below a prefix, without it; folder markers left out."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = (item["Key"] for page in pages for item in page.get("Contents", ()))
    return {key.removeprefix(prefix) for key in keys if not key.endswith("/")}


def read_class(bucket, key):
    """The label that an output of the transform job names."""
    body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    try:
        return str(json.loads(body)["predictions"]["class"])
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidPrediction(f"s3://{bucket}/{key}: {body[:200]!r}") from error
