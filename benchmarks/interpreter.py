"""How fast the interpreter is, in process, and how much memory finished executions take.

    python benchmarks/interpreter.py [--quick]

Four figures, each the best of several runs, so that other load on the machine disturbs least:

* a chain of 500 Pass states, in transitions per second (a transition is the step from one state to the next);
* its ratio to a bare Python loop that makes the same two events per state and does nothing else, measured in
  the same run: how much the language costs on top of what the history costs;
* 1,000 executions of a machine of 15 states whose tasks are stubbed;
* the memory that 10,000 finished executions of that machine hold, histories and all.

The bars are in DESIGN: 50,000 transitions a second; 1,000 executions in 2 s; 300 MiB.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

from harness.asl import Event, Execution, StateMachine, TaskProgress, TaskRequest, load
from harness.asl.history import entered, exited
from harness.clock import SkippingClock, run

STATES = 500
CONTEXT = {
    "Execution": {
        "Id": "arn:aws:states:us-east-1:123456789012:execution:bench:run",
        "Name": "run",
        "RoleArn": "arn:aws:iam::123456789012:role/bench",
    },
    "StateMachine": {"Id": "arn:aws:states:us-east-1:123456789012:stateMachine:bench", "Name": "bench"},
}


class Stub:
    """Answers every task at once with what a describe call answers."""

    def __init__(self) -> None:
        self._polls = 0

    async def run(self, request: TaskRequest, progress: TaskProgress) -> Any:
        if request.state.startswith("Check"):
            self._polls += 1
            return {"status": "Completed" if self._polls % 2 == 0 else "InProgress", "job": request.arguments}
        return {"job": f"{request.state}-1", "f1score": 0.91}


def chain() -> StateMachine:
    states = {f"S{i}": {"Type": "Pass", "Next": f"S{i + 1}"} for i in range(STATES - 1)}
    states[f"S{STATES - 1}"] = {"Type": "Pass", "End": True}
    return load({"StartAt": "S0", "States": states})


def pipeline() -> StateMachine:
    """Train, poll, transform, poll, evaluate, choose, deploy, poll: the shape of the reference pipeline."""

    def task(name: str, following: str) -> dict[str, Any]:
        return {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": {"FunctionName": "f", "Payload": {"prefix.$": "$.prefix", "step": name}},
            "ResultPath": f"$.{name}",
            "Retry": [{"ErrorEquals": ["Lambda.TooManyRequestsException"], "MaxAttempts": 3}],
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Failed"}],
            "Next": following,
        }

    def poll(name: str, following: str) -> dict[str, Any]:
        choose, wait, check = f"Choose{name}", f"Wait{name}", f"Check{name}"
        return {
            wait: {"Type": "Wait", "Seconds": 60, "Next": check},
            check: task(check, choose),
            choose: {
                "Type": "Choice",
                "Choices": [
                    {"Variable": f"$.{check}.status", "StringEquals": "Completed", "Next": following},
                    {"Variable": f"$.{check}.status", "StringEquals": "Failed", "Next": "Failed"},
                ],
                "Default": wait,
            },
        }

    states = {
        "Train": task("Train", "WaitTrain"),
        **poll("Train", "Transform"),
        "Transform": task("Transform", "WaitTransform"),
        **poll("Transform", "Evaluate"),
        "Evaluate": task("Evaluate", "GoodEnough"),
        "GoodEnough": {
            "Type": "Choice",
            "Choices": [
                {"Variable": "$.Evaluate.f1score", "NumericGreaterThanEquals": 0.3, "Next": "Deploy"}
            ],
            "Default": "Rejected",
        },
        "Deploy": task("Deploy", "WaitDeploy"),
        **poll("Deploy", "Deployed"),
        "Deployed": {"Type": "Succeed"},
        "Rejected": {"Type": "Succeed"},
        "Failed": {"Type": "Fail", "Error": "PipelineFailed"},
    }
    return load({"StartAt": "Train", "States": states})


def execution(machine: StateMachine) -> Execution:
    return Execution(
        machine,
        {"prefix": "demo"},
        context=CONTEXT,
        clock=SkippingClock(1e9),
        tasks=Stub(),
        entropy=random.Random(1),
    )


def best(measure: Callable[[], float], times: int) -> float:
    return min(measure() for _ in range(times))


def time_chain(machine: StateMachine) -> float:
    async def main() -> float:
        started = time.perf_counter()
        for _ in range(20):
            outcome = await execution(machine).run()
            assert outcome.status == "SUCCEEDED"
        return (time.perf_counter() - started) / 20

    return run(main())


def time_bare_loop() -> float:
    """The two events per state, made and kept, and nothing else."""
    kinds = [(entered("Pass", f"S{i}"), exited("Pass", f"S{i}")) for i in range(STATES)]
    clock = SkippingClock(1e9)
    data = {"prefix": "demo"}
    started = time.perf_counter()
    for _ in range(20):
        events: list[Event] = []
        number = 1
        for coming, going in kinds:
            events.append(Event(number + 1, number, clock.now(), coming, data))
            events.append(Event(number + 2, number + 1, clock.now(), going, data))
            number += 2
        assert len(events) == 2 * STATES
    return (time.perf_counter() - started) / 20


def time_executions(machine: StateMachine, count: int) -> float:
    async def main() -> float:
        started = time.perf_counter()
        for _ in range(count):
            outcome = await execution(machine).run()
            assert outcome.status == "SUCCEEDED", outcome
        return time.perf_counter() - started

    return run(main())


def memory_of(machine: StateMachine, count: int) -> tuple[int, int]:
    """Bytes that finished executions hold, and their events."""

    async def main() -> tuple[int, int]:
        tracemalloc.start()
        kept: list[Execution] = []
        for _ in range(count):
            one = execution(machine)
            # What came over the wire is parsed anew for every execution.
            one.input = json.loads('{"prefix":"demo"}')
            await one.run()
            kept.append(one)
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return size, sum(len(one.history) for one in kept)

    return run(main())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer and smaller runs")
    quick = parser.parse_args().quick
    times = 2 if quick else 5
    count = 100 if quick else 1000
    finished = 500 if quick else 10_000

    asyncio.run(asyncio.sleep(0))  # so that no measurement pays for asyncio's first start
    machine = chain()
    ours = best(lambda: time_chain(machine), times)
    bare = best(time_bare_loop, times)
    print(f"chain of {STATES} Pass states: {STATES / ours:,.0f} transitions/s")
    print(f"bare loop making the events:  {STATES / bare:,.0f} transitions/s (ratio {ours / bare:.2f})")

    machine = pipeline()
    seconds = best(lambda: time_executions(machine, count), times)
    print(f"{count:,} executions, {len(machine.definition['States'])} states: {seconds:.2f} s")

    size, events = memory_of(machine, finished)
    print(
        f"{finished:,} finished executions: {size / 2**20:,.0f} MiB, {events / finished:.0f} events each, "
        f"{size / events:.0f} bytes an event"
    )


if __name__ == "__main__":
    main()
