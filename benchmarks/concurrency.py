"""Ten thousand executions at once in one local cloud: what memory they take, and whether any of them starves.

    python -m benchmarks.concurrency [--count N]

All are started through StartExecution before the first one can end, on the real clock. Their machine has
ten states, among them a Wait of a second and three tasks that call a function, for which a stub answers.
While they run, another caller asks DescribeExecution again and again. Printed are

* the peak memory of the process, and how much of it came with the executions;
* when the first, the median and the last of them ended, in seconds from the first StartExecution: were they
  served one after another and not in turn, the last would take twice the median's time;
* the longest that a DescribeExecution took: how long the cloud is deaf to others.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import re
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import clock
from harness.cloud import Cloud, Request, Service

COUNT = 10_000
ROLE = "arn:aws:iam::123456789012:role/benchmark"


class StubLambda(Service):
    """Answers every invocation at once."""

    name = "lambda"

    async def invoke(self, request: Request) -> dict[str, Any]:
        return {"StatusCode": 200, "Payload": b'{"status": "Completed"}'}


def definition() -> dict[str, Any]:
    """Start a job, wait, check, choose, evaluate, deploy: ten states on the way."""

    def task(name: str, following: str) -> dict[str, Any]:
        return {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": {"FunctionName": name, "Payload.$": "$"},
            "ResultSelector": {"status.$": "$.Payload.status"},
            "ResultPath": f"$.{name}",
            "Retry": [{"ErrorEquals": ["Lambda.TooManyRequestsException"], "MaxAttempts": 3}],
            "Next": following,
        }

    def note(name: str, following: str) -> dict[str, Any]:
        return {"Type": "Pass", "Result": name, "ResultPath": f"$.{name}", "Next": following}

    return {
        "StartAt": "Begin",
        "States": {
            "Begin": note("begin", "Train"),
            "Train": task("train", "WaitForIt"),
            "WaitForIt": {"Type": "Wait", "Seconds": 1, "Next": "Check"},
            "Check": task("check", "Choose"),
            "Choose": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.check.status", "StringEquals": "Completed", "Next": "Evaluate"}],
                "Default": "WaitForIt",
            },
            "Evaluate": note("evaluate", "Deploy"),
            "Deploy": task("deploy", "Note"),
            "Note": note("note", "Last"),
            "Last": note("last", "Done"),
            "Done": {"Type": "Succeed"},
        },
    }


@dataclass(frozen=True)
class Result:
    """What was measured.

    Attributes:
        peak: Bytes of memory, at most.
        before: Bytes of memory before the first execution.
        started: Seconds until all had been started.
        ended: Seconds until each had ended, in order.
        deaf: Seconds that the slowest DescribeExecution took.
    """

    peak: int
    before: int
    started: float
    ended: list[float]
    deaf: float


def measure(count: int) -> Result:
    """To be called in a process of its own."""
    return clock.run(_measure(count))


async def _measure(count: int) -> Result:
    from harness.cloud.stepfunctions import StepFunctions

    cloud = Cloud(services=[StepFunctions, StubLambda])
    await cloud.start(None)
    try:
        params = {"name": "machine", "definition": json.dumps(definition()), "roleArn": ROLE}
        machine = (await cloud.call("stepfunctions", "CreateStateMachine", params))["stateMachineArn"]
        before = _memory("VmRSS")
        began = time.perf_counter()
        epoch = cloud.clock.now()
        arns = []
        for number in range(count):
            params = {"stateMachineArn": machine, "input": json.dumps({"number": number})}
            arns.append((await cloud.call("stepfunctions", "StartExecution", params))["executionArn"])
        started = time.perf_counter() - began
        asking = asyncio.create_task(_ask(cloud, arns[0]))
        service = cloud.service("stepfunctions")
        assert isinstance(service, StepFunctions)
        for arn in arns:
            await service.wait_for_execution(arn)
        asking.cancel()
        (slowest,) = await asyncio.gather(asking)
        records = [service.executions.get(arn) for arn in arns]
        assert all(record.status == "SUCCEEDED" for record in records)
        ended = sorted(record.stopped - epoch for record in records if record.stopped is not None)
        return Result(_memory("VmHWM"), before, started, ended, slowest)
    finally:
        await cloud.stop()


async def _ask(cloud: Cloud, arn: str) -> float:
    """Ask until cancelled; the seconds that the slowest answer took."""
    slowest = 0.0
    try:
        while True:
            asked = time.perf_counter()
            await asyncio.sleep(0)  # as a request from a socket, it waits for its turn
            await cloud.call("stepfunctions", "DescribeExecution", {"executionArn": arn})
            slowest = max(slowest, time.perf_counter() - asked)
            await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        return slowest


def _memory(field: str) -> int:
    found = re.search(rf"{field}:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=COUNT, help=f"(default: {COUNT:,})")
    count = parser.parse_args().count

    from benchmarks import concurrency  # by its name, under which the other process finds it

    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        result = process.submit(concurrency.measure, count).result()
    first, median, last = result.ended[0], statistics.median(result.ended), result.ended[-1]
    own = (result.peak - result.before) / 2**20
    print(f"{count:,} executions of 10 states, all started within {result.started:.2f} s, all succeeded")
    print(f"peak memory {result.peak / 2**20:,.0f} MiB, of which the executions {own:,.0f} MiB")
    print(
        f"ended: first after {first:.2f} s, median {median:.2f} s, last {last:.2f} s "
        f"(last to median: {last / median:.2f})"
    )
    print(f"slowest DescribeExecution in between: {result.deaf * 1000:.0f} ms")


if __name__ == "__main__":
    main()
