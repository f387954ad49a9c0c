"""What every engine is given to do, by the same client."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
import botocore.config

__all__ = ["DEADLINE", "FIRST", "WORKLOADS", "Client", "Workload", "WrongResult", "pause"]

ROLE = "arn:aws:iam::123456789012:role/benchmark"

DEADLINE = 60.0
"""Seconds a workload may take."""


@dataclass(frozen=True)
class Workload:
    """Executions of one state machine.

    Attributes:
        name: Also the state machine's.
        title: For the table.
        definition: The state machine.
        input: Of each execution.
        output: What each must come to.
        executions: How many are started before the first is asked after.
    """

    name: str
    title: str
    definition: dict[str, Any]
    input: Any
    output: Any
    executions: int = 1


def _chain(length: int) -> dict[str, Any]:
    """Pass states in a row; the last one leaves a mark, so that the output shows that it was reached."""
    last = length - 1
    states: dict[str, Any] = {f"State{i}": {"Type": "Pass", "Next": f"State{i + 1}"} for i in range(last)}
    states[f"State{last}"] = {"Type": "Pass", "Result": length, "ResultPath": "$.passed", "End": True}
    return {"StartAt": "State0", "States": states}


_EACH = {"Type": "Pass", "Parameters": {"number.$": "$"}, "End": True}
_MAP = {
    "StartAt": "Each",
    "States": {
        "Each": {
            "Type": "Map",
            "ItemsPath": "$.items",
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "INLINE"},
                "StartAt": "One",
                "States": {"One": _EACH},
            },
            "End": True,
        }
    },
}

WORKLOADS = (
    Workload("chain", "a chain of 500 Pass states", _chain(500), {"n": 1}, {"n": 1, "passed": 500}),
    Workload(
        "many", "100 executions of 10 states", _chain(10), {"n": 1}, {"n": 1, "passed": 10}, executions=100
    ),
    Workload(
        "map",
        "a Map over 500 items",
        _MAP,
        {"items": list(range(500))},
        [{"number": number} for number in range(500)],
    ),
)

FIRST = Workload(
    "first", "cold start, to the first execution's end", _chain(1), {"n": 1}, {"n": 1, "passed": 1}
)


class Client:
    """boto3 against one engine.

    Args:
        endpoint: The engine's URL.
    """

    def __init__(self, endpoint: str) -> None:
        self._api = boto3.client(
            "stepfunctions",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=botocore.config.Config(
                retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=DEADLINE
            ),
        )

    def create(self, workload: Workload) -> str:
        """Create the workload's state machine; its ARN."""
        answer = self._api.create_state_machine(
            name=workload.name, definition=json.dumps(workload.definition), roleArn=ROLE
        )
        arn: str = answer["stateMachineArn"]
        return arn

    def run(self, workload: Workload, machine: str) -> float:
        """Start the workload's executions one after another, then wait for each.

        Returns:
            Seconds from the first call to the last answer.

        Raises:
            WrongResult: An execution did not succeed, or its output is not the right one.
            TimeoutError: It took longer than `DEADLINE`.
        """
        text = json.dumps(workload.input)
        run = uuid.uuid4().hex
        began = time.perf_counter()
        executions = [
            self._api.start_execution(stateMachineArn=machine, name=f"{run}-{number}", input=text)[
                "executionArn"
            ]
            for number in range(workload.executions)
        ]
        answers = [self._wait_for(arn, began) for arn in executions]
        seconds = time.perf_counter() - began
        for answer in answers:
            _check(workload, answer)
        return seconds

    def _wait_for(self, arn: str, began: float) -> dict[str, Any]:
        """Ask until the execution has ended.

        A pause is a twentieth of the time since the start: a slow engine is asked seldom, so that asking does
        not slow it down further, and a fast one is kept waiting by 5 % at most.
        """
        while True:
            answer: dict[str, Any] = self._api.describe_execution(executionArn=arn)
            if answer["status"] != "RUNNING":
                return answer
            waited = time.perf_counter() - began
            if waited > DEADLINE:
                raise TimeoutError(f"still running after {DEADLINE:.0f} s")
            pause(waited / 20)


class WrongResult(Exception):
    """An execution came to something else than it should."""


def _check(workload: Workload, answer: dict[str, Any]) -> None:
    if answer["status"] != "SUCCEEDED":
        raise WrongResult(f"{answer['status']}: {answer.get('error')}: {answer.get('cause')}")
    if json.loads(answer["output"]) != workload.output:
        raise WrongResult(f"wrong output: {answer['output'][:100]}")


pause: Callable[[float], object] = threading.Event().wait
"""Wait so many seconds."""
