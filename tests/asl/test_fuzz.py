"""Whatever a definition and an input look like: a definition is loaded or refused with findings, an execution
comes to an end with a States error or without one, and two executions with the same seed are the same.

Set ``HARNESS_FUZZ_EXAMPLES`` for a longer search with examples that are new every time.
"""

from __future__ import annotations

import copy
import json
import os
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.asl import Execution, InvalidDefinition, TaskError, TaskProgress, TaskRequest, load, validate
from harness.asl.history import STANDARD_LIMIT
from harness.asl.jsonpath.path import PathSyntaxError, parse_path
from harness.clock import SkippingClock, run
from tests.asl.helpers import CONTEXT, START, Tasks
from tests.asl.strategies import DOCUMENTS, JSON, MARKED, PATHS, QUERIES, broken, machines

EXAMPLES = int(os.environ.get("HARNESS_FUZZ_EXAMPLES", "0"))


def fuzz(share: float) -> settings:
    """Settings of a test that gets a share of the examples."""
    return settings(
        max_examples=max(1, int(share * (EXAMPLES or 60))),
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def working(clock: SkippingClock, seed: int) -> Tasks:
    """Tasks that take some time, give something or fail; always the same for a seed."""
    chance = random.Random(seed)

    async def work(request: TaskRequest, progress: TaskProgress) -> Any:
        choice = chance.randrange(8)
        if choice == 0:
            raise TaskError(chance.choice(["E", "States.Timeout", "Lambda.Unknown"]), "because")
        progress.started()
        if choice < 4:
            await clock.sleep(chance.choice([0, 0.5, 3, 100]))
        if choice == 1:
            raise TaskError("E", json.dumps({"a": [1]}))
        return chance.choice([None, 1, "a", request.arguments, {"a": [{"b": 1}], "b": [1]}, [1, 2, 3]])

    return Tasks(work)


def history_of(definition: Any, data: Any, kind: Any, seed: int) -> str | None:
    """The history of an execution, as text; None if the definition is refused."""

    async def main() -> Execution:
        clock = SkippingClock(START)
        execution = Execution(
            load(definition, workflow_type=kind),
            data,
            context=CONTEXT,
            clock=clock,
            tasks=working(clock, seed),
            entropy=random.Random(seed),
        )
        outcome = await execution.run()
        assert outcome.status in ("SUCCEEDED", "FAILED", "TIMED_OUT")
        assert outcome is execution.outcome
        return execution

    try:
        execution = run(main())
    except InvalidDefinition:
        return None
    assert execution.history.sealed
    assert kind == "EXPRESS" or len(execution.history) <= STANDARD_LIMIT
    return json.dumps(list(execution.history.describe()))


def check(definition: Any, data: Any, kind: Any, seed: int) -> None:
    if not isinstance(definition, dict):
        definition = json.dumps(definition)
    before = copy.deepcopy((definition, data))
    findings = validate(definition, workflow_type=kind)
    first = history_of(definition, data, kind, seed)
    assert (first is None) == any(finding.severity == "ERROR" for finding in findings)
    assert history_of(definition, data, kind, seed) == first
    assert (definition, data) == before


KINDS = st.sampled_from(["STANDARD", "STANDARD", "EXPRESS"])


@pytest.mark.slow
@fuzz(1)
@given(machines(), DOCUMENTS, KINDS, st.integers(0, 3))
def test_machines_end_and_always_the_same_way(definition: Any, data: Any, kind: Any, seed: int) -> None:
    check(definition, data, kind, seed)


@pytest.mark.slow
@fuzz(0.7)
@given(broken(machines()), DOCUMENTS, KINDS, st.integers(0, 3))
def test_broken_machines_are_refused_or_run(definition: Any, data: Any, kind: Any, seed: int) -> None:
    check(definition, data, kind, seed)


@fuzz(0.3)
@given(JSON | st.text(max_size=40))
def test_anything_is_a_definition_or_refused(definition: Any) -> None:
    validate(json.dumps(definition))
    if isinstance(definition, str | dict):
        validate(definition)


@pytest.mark.slow
@fuzz(2)
@given(MARKED, DOCUMENTS)
def test_expressions_have_a_value_or_fail(expression: str, data: Any) -> None:
    state = {"Type": "Pass", "Output": expression, "End": True}
    check({"QueryLanguage": "JSONata", "StartAt": "S", "States": {"S": state}}, data, "STANDARD", 0)


@pytest.mark.slow
@fuzz(1)
@given(QUERIES, DOCUMENTS)
def test_queries_have_a_value_or_fail(query: str, data: Any) -> None:
    state = {"Type": "Pass", "Parameters": {"r.$": query}, "End": True}
    check({"StartAt": "S", "States": {"S": state}}, data, "STANDARD", 0)


@fuzz(2)
@given(PATHS, DOCUMENTS)
def test_paths_lead_somewhere_or_nowhere(text: str, data: Any) -> None:
    try:
        path = parse_path(text)
    except PathSyntaxError:
        return
    path.select(data)
