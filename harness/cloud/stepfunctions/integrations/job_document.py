"""What ``sagemaker:*.sync`` answers: the document of a job that has ended.

It is what SageMaker sends in its EventBridge event, and differs from the Describe response:

* times are milliseconds since the epoch;
* flags, counters, empty texts and the billed time are left out, and a tuning job tells of its best training
  job only the name;
* enum values that were in the request are in UPPER_SNAKE_CASE for training and processing jobs, and as in the
  request for tuning jobs; those that tell a state are never changed.

A training and a tuning job are recorded on AWS (2020). For processing jobs the developer guide has an example
("Events that Amazon SageMaker AI sends to Amazon EventBridge"). Its example of a transform job only names the
members: their values are taken to be as in the request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from harness.cloud.stepfunctions.integrations.shapes import Api

__all__ = ["job_document"]

Spelling = Callable[[str, str], str]
"""How the document spells the value of an enum, given the member's name and the request's spelling."""

# The Describe responses have these, the recorded documents have not.
_LEFT_OUT = frozenset(
    {
        "BillableTimeInSeconds",
        "ConsumedResources",
        "EnableSageMakerMetricsTimeSeries",
        "ObjectiveStatusCounters",
        "ResponseMetadata",
        "TrainingJobStatusCounters",
        "TrainingTimeInSeconds",
        "TuningJobCompletionDetails",
    }
)
# Members that the document has only a part of.
_PARTS = {"BestTrainingJob": ("TrainingJobName",), "OverallBestTrainingJob": ("TrainingJobName",)}
# Enums that keep their spelling: states of the job, and what is a name rather than a constant.
_AS_IS = re.compile(r"Status$|^InstanceType$|Region")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def _training(name: str, value: str) -> str:
    return value if _AS_IS.search(name) else _HUMP.sub("_", value).upper()


def _processing(name: str, value: str) -> str:
    return value.upper() if name == "S3DataDistributionType" else _training(name, value)


def _as_in_the_request(name: str, value: str) -> str:
    return value


_SPELLINGS: Mapping[str, Spelling] = {"TrainingJob": _training, "ProcessingJob": _processing}


def job_document(noun: str, api: Api, description: Mapping[str, Any]) -> dict[str, Any]:
    """The document of a finished job.

    Args:
        noun: What the API calls such a job: ``TrainingJob``.
        api: The Describe operation; the order of its members is the document's.
        description: The Describe response in botocore's form.
    """
    assert api.output is not None
    spell = _SPELLINGS.get(noun, _as_in_the_request)
    document = {
        name: _value(api, member["shape"], name, description[name], spell)
        for name, member in api.shapes[api.output]["members"].items()
        if description.get(name) is not None and name not in _LEFT_OUT and not name.startswith("Enable")
    }
    for name, members in _PARTS.items():
        if name in document:
            document[name] = {member: document[name][member] for member in members}
    for channel in document.get("InputDataConfig", ()):
        channel.setdefault("CompressionType", "NONE")
        channel.setdefault("RecordWrapperType", "NONE")
    return document


def _value(api: Api, of: str, name: str, value: Any, spell: Spelling) -> Any:
    shape = api.shapes[of]
    match shape["type"]:
        case "structure":
            members = shape["members"]
            return {
                key: _value(api, members[key]["shape"], key, item, spell)
                for key, item in value.items()
                if item not in (None, "") and key in members and key not in _LEFT_OUT
            }
        case "list":
            return [_value(api, shape["member"]["shape"], name, item, spell) for item in value]
        case "timestamp" if isinstance(value, datetime):
            return round(value.timestamp() * 1000)
        case "string" if "enum" in shape:
            return spell(name, value)
        case _:
            return value
