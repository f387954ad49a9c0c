"""Running small machines with scripted tasks."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from harness.asl import Event, Execution, Outcome, TaskError, TaskProgress, TaskRequest, TaskRunner, load
from harness.asl.maps.services import ALONE, MapServices
from harness.clock import Clock, SkippingClock, run

START = 1_700_000_000.0
ROLE = "arn:aws:iam::123456789012:role/r"
CONTEXT = {
    "Execution": {
        "Id": "arn:aws:states:us-east-1:123456789012:execution:m:one",
        "Name": "one",
        "RoleArn": ROLE,
    },
    "StateMachine": {"Id": "arn:aws:states:us-east-1:123456789012:stateMachine:m", "Name": "m"},
}
LAMBDA = "arn:aws:lambda:us-east-1:123456789012:function:f"
INVOKE = "arn:aws:states:::lambda:invoke"

Work = Callable[[TaskRequest, TaskProgress], Awaitable[Any]]


class Tasks:
    """Does the work of tasks by calling one function, and remembers the requests."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self.requests: list[TaskRequest] = []

    async def run(self, request: TaskRequest, progress: TaskProgress) -> Any:
        self.requests.append(request)
        return await self._work(request, progress)


def answering(*answers: Any) -> Tasks:
    """Gives one answer after the other; an exception is raised; the last is given again and again."""
    remaining = list(answers)

    async def work(request: TaskRequest, progress: TaskProgress) -> Any:
        answer = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return Tasks(work)


def sleeping(clock: SkippingClock, seconds: Mapping[str, float]) -> Tasks:
    """Takes as long as is said per state, then returns the state's name."""

    async def work(request: TaskRequest, progress: TaskProgress) -> Any:
        progress.started()
        await clock.sleep(seconds[request.state])
        return request.state

    return Tasks(work)


async def _no_work(request: TaskRequest, progress: TaskProgress) -> Any:
    raise TaskError("NoWork", f"no task was expected, but {request.state} asks for one")


def start(
    definition: dict[str, Any],
    input: Any = None,  # noqa: A002
    *,
    tasks: TaskRunner | None = None,
    clock: Clock | None = None,
    seed: int = 0,
    workflow_type: Any = "STANDARD",
    on_event: Callable[[Event], object] | None = None,
    maps: MapServices = ALONE,
) -> Execution:
    """An execution that has not been run."""
    return Execution(
        load(definition, workflow_type=workflow_type),
        {} if input is None else input,
        context=CONTEXT,
        clock=clock or SkippingClock(START),
        tasks=tasks or Tasks(_no_work),
        entropy=random.Random(seed),
        on_event=on_event,
        maps=maps,
    )


def execute(definition: dict[str, Any], input: Any = None, **options: Any) -> tuple[Outcome, Execution]:  # noqa: A002
    """Run a machine to the end."""

    async def main() -> tuple[Outcome, Execution]:
        execution = start(definition, input, **options)
        return await execution.run(), execution

    return run(main())


def single(state: dict[str, Any], **machine: Any) -> dict[str, Any]:
    """A machine of one state, ``S``, which ends it."""
    ends = {} if state["Type"] in ("Succeed", "Fail", "Choice") else {"End": True}
    return {"StartAt": "S", "States": {"S": {**state, **ends}}, **machine}


def chain(*states: tuple[str, dict[str, Any]], **machine: Any) -> dict[str, Any]:
    """A machine of states one after the other."""
    names = [name for name, _ in states]
    linked: dict[str, Any] = {}
    for index, (name, state) in enumerate(states):
        link: dict[str, Any] = {}
        if state["Type"] not in ("Succeed", "Fail", "Choice"):
            link = {"Next": names[index + 1]} if index + 1 < len(names) else {"End": True}
        linked[name] = {**state, **link}
    return {"StartAt": names[0], "States": linked, **machine}


def output_of(state: dict[str, Any], input: Any = None, **options: Any) -> Any:  # noqa: A002
    """The output of a machine of one state, which must succeed."""
    outcome, _ = execute(single(state), input, **options)
    assert outcome.status == "SUCCEEDED", outcome
    return outcome.output


def failure_of(state: dict[str, Any], input: Any = None, **options: Any) -> tuple[str | None, str | None]:  # noqa: A002
    """(error, cause) of a machine of one state, which must fail."""
    outcome, _ = execute(single(state), input, **options)
    assert outcome.status == "FAILED", outcome
    return outcome.error, outcome.cause


def shape(execution: Execution) -> list[str]:
    """The history, an event a line: ``2->3 PassStateExited``."""
    return [f"{event.previous}->{event.id} {event.type}" for event in execution.history]


def types(execution: Execution) -> list[str]:
    return [event.type for event in execution.history]


def details(execution: Execution, event_type: str) -> list[dict[str, Any]]:
    """The details of all events of a type; an empty dict for events without."""
    return [
        next((event[key] for key in event if key.endswith("EventDetails")), {})
        for event in execution.history.describe()
        if event["type"] == event_type
    ]
