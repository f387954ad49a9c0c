"""Histories recorded from AWS: reading, replaying and comparing them.

The file is data only and stays outside the repository: ``../shared/conformance/aws-histories.jsonl`` beside
the checkout, or wherever the environment variable HARNESS_CONFORMANCE points.
"""

from __future__ import annotations

import json
import os
import random
import re
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from harness.asl import Execution, TaskError, TaskProgress, TaskRequest, load
from harness.clock import SkippingClock, run

ROOT = Path(__file__).resolve().parents[2]
HISTORIES = Path(
    os.environ.get("HARNESS_CONFORMANCE") or ROOT.parent / "shared" / "conformance" / "aws-histories.jsonl"
)

ROLE = "snf_role_arn"
CONTEXT = {
    "Execution": {
        "Id": "arn:aws:states:us-east-1:111111111111:execution:machine:one",
        "Name": "one",
        "RoleArn": ROLE,
    },
    "StateMachine": {"Id": "arn:aws:states:us-east-1:111111111111:stateMachine:machine", "Name": "machine"},
}


@dataclass(frozen=True)
class Case:
    """One recorded execution."""

    id: str
    recorded: date
    type: str
    definition: dict[str, Any]
    input: Any
    events: list[dict[str, Any]]


def read_cases() -> list[Case]:
    """All cases, or none if the file is not there."""
    if not HISTORIES.is_file():
        return []
    cases = []
    for line in HISTORIES.read_text().splitlines():
        record = json.loads(line)
        recorded = datetime.strptime(record.pop("recorded"), "%d-%m-%Y, %H:%M:%S").date()  # noqa: DTZ007
        cases.append(Case(recorded=recorded, **record))
    return cases


class NothingThere:
    """Runs no task: the one recorded case with a task is about an activity that was deleted."""

    async def run(self, request: TaskRequest, progress: TaskProgress) -> Any:
        raise TaskError("States.Runtime", f"The activity {request.resource.arn} does not exist.", "schedule")


def replay(case: Case) -> list[dict[str, Any]]:
    """The events of our own execution of a case."""
    machine = load(json.dumps(case.definition), workflow_type=case.type)

    async def execute() -> list[dict[str, Any]]:
        execution = Execution(
            machine,
            case.input,
            context=CONTEXT,
            clock=SkippingClock(1_700_000_000.0),
            tasks=NothingThere(),
            entropy=random.Random(0),
        )
        await execution.run()
        return execution.history.describe()

    return run(execute())


# Comparing -------------------------------------------------------------------------------------------------

_PLACEHOLDER = re.compile(r"<[\w:-]+>|activity_arn")
_TIMES = frozenset({"date", "entered-time", "start-time", "timestamp"})
_JSON_TEXTS = frozenset({"input", "output", "parameters"})


class Comparison:
    """Compares our events with the recorded ones. A placeholder must stand for the same text throughout."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._meanings: dict[str, str] = {}

    def differences(self, ours: list[dict[str, Any]]) -> list[str]:
        """What differs, in words; nothing if the histories are the same."""
        recorded = [self._expected(event, ours) for event in self._case.events]
        if all(isinstance(event["id"], int) for event in recorded):
            return self._compare_lists(recorded, ours)
        return self._compare_concurrent(recorded, ours)

    def _expected(self, event: dict[str, Any], ours: list[dict[str, Any]]) -> dict[str, Any]:
        """A recorded event, brought up to date.

        Until some day in 2024 the exit of a Distributed Map followed from MapRunSucceeded; in the recordings
        since December 2024 it follows from MapRunStarted. The newest recording of a behaviour wins.
        """
        if event["type"] == "MapStateExited" and self._case.recorded < date(2024, 12, 1):
            runs = [other["id"] for other in self._case.events if other["type"] == "MapRunStarted"]
            if runs:
                return {**event, "previousEventId": runs[0]}
        return event

    def _compare_lists(self, recorded: list[dict[str, Any]], ours: list[dict[str, Any]]) -> list[str]:
        found = []
        for wanted, event in zip(recorded, ours, strict=False):
            found += self._compare(wanted, event, f"event {wanted['id']} {wanted['type']}")
        if len(recorded) != len(ours):
            types = [event["type"] for event in ours]
            found.append(f"{len(recorded)} events were recorded, ours has {len(ours)}: {types}")
        return found

    def _compare_concurrent(self, recorded: list[dict[str, Any]], ours: list[dict[str, Any]]) -> list[str]:
        """Compare a history whose concurrent events were sorted when recorded.

        Their ids and predecessors were replaced and some were left out; what they say must be found in ours,
        and everything that has an id must stand at its place.
        """
        found = []
        rest = list(ours)
        for wanted in recorded:
            label = f"event {wanted['id']} {wanted['type']}"
            if isinstance(wanted["id"], int):
                event = next((event for event in ours if event["id"] == wanted["id"]), None)
                if event is None:
                    found.append(f"{label} is missing")
                    continue
                found += self._compare(wanted, event, label)
            else:
                bare = {k: v for k, v in wanted.items() if k not in ("id", "previousEventId")}
                candidates = [
                    event
                    for event in rest
                    if event["type"] == wanted["type"]
                    and not Comparison(self._case)._compare(bare, event, "")
                ]
                if not candidates:
                    found.append(f"{label} is missing: {bare}")
                    continue
                event = candidates[0]
            rest = [other for other in rest if other is not event]
        last = max(event["id"] for event in recorded if isinstance(event["id"], int))
        if len(ours) != last:
            found.append(f"{last} events were recorded, ours has {len(ours)}")
        found += [
            f"{event['type']} was not recorded"
            for event in rest
            if event["type"] not in ("ParallelStateSucceeded", "ParallelStateExited")
        ]
        return found

    def _compare(self, wanted: Any, ours: Any, where: str) -> list[str]:
        if isinstance(wanted, dict) and isinstance(ours, dict):
            found = []
            for name in wanted.keys() | (ours.keys() - {"id", "previousEventId"}):
                place = f"{where}/{name}"
                if name not in ours:
                    found.append(f"{place} is missing")
                elif name not in wanted:
                    found.append(f"{place} was not recorded: {ours[name]!r}")
                elif name == "timestamp" and wanted[name] == "timestamp":
                    if not isinstance(ours[name], float):
                        found.append(f"{place} is {ours[name]!r}")
                elif _is_json_text(name, where):
                    found += self._compare(_parsed(wanted[name]), json.loads(ours[name]), place)
                else:
                    found += self._compare(wanted[name], ours[name], place)
            return found
        if isinstance(wanted, list) and isinstance(ours, list) and len(wanted) == len(ours):
            pairs = enumerate(zip(wanted, ours, strict=True))
            return [line for i, (a, b) in pairs for line in self._compare(a, b, f"{where}[{i}]")]
        if isinstance(wanted, str) and isinstance(ours, str) and self._stands_for(wanted, ours):
            return []
        if type(wanted) is type(ours) and wanted == ours:
            return []
        return [f"{where}: recorded {wanted!r}, ours is {ours!r}"]

    def _stands_for(self, wanted: str, ours: str) -> bool:
        if wanted == ours or wanted in _TIMES:
            return True
        names = _PLACEHOLDER.findall(wanted)
        pattern = "(.+?)".join(map(re.escape, _PLACEHOLDER.split(wanted)))
        match = re.fullmatch(pattern, ours, re.DOTALL)
        if not names or match is None:
            return False
        return all(
            self._meanings.setdefault(n, text) == text for n, text in zip(names, match.groups(), strict=True)
        )


def _is_json_text(name: str, where: str) -> bool:
    if where.endswith("EventDetails/assignedVariables"):
        return True
    return name in _JSON_TEXTS and where.endswith("EventDetails")


def _parsed(value: Any) -> Any:
    """A recorded payload: most were parsed when they were recorded, the others are JSON texts."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
