"""What a scenario says: how a run starts, what goes wrong in it, and what must be true at its end.

`harness.scenarios.load` makes these from a file. Everything in them is checked as far as it can be without a
deployed pipeline; `place` is where in the file a thing stands (``line:column``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.scenarios.matchers import Matcher

__all__ = [
    "ANY_STATES",
    "CallFault",
    "ContainerChoice",
    "Data",
    "Endpoint",
    "Expect",
    "JobKind",
    "JobRule",
    "Objects",
    "Scenario",
    "Status",
]

Status = Literal["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"]
ContainerChoice = Literal["auto", "docker", "process"]
JobKind = Literal["training", "transform", "processing", "endpoint"]

ANY_STATES = "..."
"""In an expected path: any run of states, also none."""


@dataclass(frozen=True)
class Data:
    """Files that are in S3 before the run starts.

    Attributes:
        uri: ``s3://bucket/prefix/`` or ``s3://bucket/key``; ``{Name}`` stands for an output, parameter or
            resource of the deployment.
        source: The folder or file.
        place: Where the scenario says so.
    """

    uri: str
    source: Path
    place: str


@dataclass(frozen=True)
class CallFault:
    """A service call that is answered with an error.

    Attributes:
        at: As written.
        place: Where the scenario says so.
        service: botocore's service name.
        operation: e.g. ``CreateTransformJob``.
        function: The function's name or logical id, for ``lambda Invoke``.
        nth: Which matching call, counted from 1; every one when None.
        code: The error code clients see.
        message: Its text.
        status: HTTP status.
    """

    at: str
    place: str
    service: str
    operation: str
    function: str | None
    nth: int | None
    code: str
    message: str
    status: int


@dataclass(frozen=True)
class JobRule:
    """A job that does not end as its container would have it.

    Attributes:
        at: As written.
        place: Where the scenario says so.
        kind: Which sort of job.
        name: Its name, with ``*`` for any text; every name when None.
        nth: Which matching job, counted from 1; every one when None.
        failure: The reason it fails for.
        exit_code: What its container's exit code is taken to be.
        takes: Virtual seconds from its start to its end; None when the scenario does not say.
        interruptions: How often the spot instances of a training job are taken away.
    """

    at: str
    place: str
    kind: JobKind
    name: str | None
    nth: int | None
    failure: str | None
    exit_code: int | None
    takes: float | None
    interruptions: int = 0


@dataclass(frozen=True)
class Endpoint:
    """What an endpoint that the run created or updated answers.

    Attributes:
        send: The file that is sent.
        content_type: Its content type.
        response: What the answer must be; JSON answers are compared as JSON, others as text.
        place: Where the scenario says so.
    """

    send: Path
    content_type: str
    response: Matcher
    place: str


@dataclass(frozen=True)
class Objects:
    """How many objects the run wrote.

    Attributes:
        uri: ``s3://bucket/key``, or ``s3://bucket/prefix/`` for everything below; ``*`` matches any text and
            ``{Name}`` is as in `Data`.
        count: What their number must be.
        place: Where the scenario says so.
    """

    uri: str
    count: Matcher
    place: str


@dataclass(frozen=True)
class Expect:
    """What must be true at the end; None or empty where the scenario does not say."""

    status: Status = "SUCCEEDED"
    error: Matcher | None = None
    cause: Matcher | None = None
    path: tuple[str, ...] | None = None
    output: Matcher | None = None
    endpoint: Endpoint | None = None
    endpoints: Matcher | None = None
    objects: tuple[Objects, ...] = ()
    retries: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Scenario:
    """One replayable story.

    Attributes:
        name: What it is called.
        file: The file it comes from.
        machine: Logical id of the state machine; the template's only one when None.
        input: The execution's input.
        data: What is in S3 first.
        containers: How containers are to run.
        faults: What goes wrong.
        expect: What must be true at the end.
        executions: How many executions start at the same moment; each must meet the expectations.
        places: Where in the file ``machine``, ``expect.path`` and the like stand.
    """

    name: str
    file: Path
    machine: str | None = None
    input: Any = field(default_factory=dict)
    data: tuple[Data, ...] = ()
    containers: ContainerChoice = "auto"
    faults: tuple[CallFault | JobRule, ...] = ()
    expect: Expect = field(default_factory=Expect)
    executions: int = 1
    places: Mapping[str, str] = field(default_factory=dict)
