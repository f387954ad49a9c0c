"""Whether what was expected of a run is what happened. Pure: observations in, verdicts out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.scenarios.matchers import Matcher, shown
from harness.scenarios.model import ANY_STATES, CallFault, Expect, JobRule
from harness.scenarios.record import Answer, ExecutionRecord, Verdict

__all__ = ["evaluate", "match_path"]


def evaluate(
    expect: Expect,
    executions: Sequence[ExecutionRecord],
    *,
    answers: Sequence[Answer] = (),
    endpoints: Sequence[str] = (),
    objects: Mapping[str, int] | None = None,
    unused: Sequence[tuple[CallFault | JobRule, int]] = (),
) -> list[Verdict]:
    """Compare a run with what was expected of it.

    Args:
        expect: The expectations.
        executions: The executions; each must meet those about an execution.
        answers: What the endpoints answered.
        endpoints: Names of the endpoints that the run left behind.
        objects: Number of objects the run wrote, by the expectation's address.
        unused: Faults that never fired, with how often they matched; each fails the run.

    Returns:
        One verdict an expectation, in the order in which they are worth reading.
    """
    verdicts = []
    for number, execution in enumerate(executions, 1):
        label = f"execution {number}: " if len(executions) > 1 else ""
        verdicts += _execution(expect, execution, label)
    verdicts += _endpoints(expect, answers, endpoints)
    for wanted in expect.objects:
        found = (objects or {}).get(wanted.uri, 0)
        verdicts.append(_matched(f"objects {wanted.uri}", wanted.count, found))
    verdicts += [_unused(rule, matched) for rule, matched in unused]
    return verdicts


def _execution(expect: Expect, execution: ExecutionRecord, label: str) -> list[Verdict]:
    verdicts = [_status(expect, execution, label)]
    if expect.error is not None:
        verdicts.append(_matched(f"{label}error", expect.error, execution.error))
    if expect.cause is not None:
        verdicts.append(_matched(f"{label}cause", expect.cause, execution.cause))
    if expect.path is not None:
        verdicts.append(_path(expect.path, execution.path, label))
    if expect.output is not None:
        verdicts.append(_matched(f"{label}output", expect.output, execution.output))
    for state, wanted in expect.retries.items():
        found = execution.retries.get(state, 0)
        message = "" if found == wanted else f"{state} was retried {_times(found)}, not {_times(wanted)}"
        verdicts.append(
            Verdict(f"{label}retries of {state}", found == wanted, str(wanted), str(found), message)
        )
    return verdicts


def _status(expect: Expect, execution: ExecutionRecord, label: str) -> Verdict:
    passed = execution.status == expect.status
    message = ""
    if not passed:
        message = f"expected {expect.status}, got {execution.status}"
        if execution.error or execution.cause:
            message += f" ({execution.error or 'no error name'}: {execution.cause or 'no cause'})"
    return Verdict(f"{label}status", passed, expect.status, execution.status, message)


def _matched(expectation: str, matcher: Matcher, actual: Any) -> Verdict:
    differences = matcher.differences(actual)
    message = "; ".join(map(str, differences))
    return Verdict(expectation, not differences, matcher.words, shown(actual), message)


def _endpoints(expect: Expect, answers: Sequence[Answer], endpoints: Sequence[str]) -> list[Verdict]:
    verdicts = []
    if expect.endpoints is not None:
        differences = expect.endpoints.differences(len(endpoints))
        names = ", ".join(endpoints) or "none"
        message = f"expected {expect.endpoints.words} endpoints, got {names}" if differences else ""
        verdicts.append(Verdict("endpoints", not differences, expect.endpoints.words, names, message))
    if expect.endpoint is None:
        return verdicts
    response = expect.endpoint.response
    if not answers:
        verdicts.append(
            Verdict("endpoint", False, response.words, "no endpoint", "the run created no endpoint")
        )
    for answer in answers:
        name = f"endpoint {answer.endpoint}"
        if answer.error is not None:
            verdicts.append(Verdict(name, False, response.words, "no answer", answer.error))
        else:
            verdicts.append(_matched(name, response, answer.body))
    return verdicts


def _unused(rule: CallFault | JobRule, matched: int) -> Verdict:
    what = "calls" if isinstance(rule, CallFault) else "jobs"
    found = f"{matched} such {what}" if matched else f"no such {what.removesuffix('s')}"
    return Verdict(
        f"fault at {rule.at!r}",
        False,
        "to happen",
        found,
        f"this fault never happened: there was {found}, so the run is not the one the scenario tells of",
    )


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


# Paths -----------------------------------------------------------------------------------------------


def match_path(pattern: Sequence[str], path: Sequence[str]) -> tuple[int, bool]:
    """Match the states a run entered with an expected path.

    Returns:
        The length of the longest beginning of `pattern` that matches a beginning of `path`; and whether all
        of `pattern` matches all of `path`.
    """
    # ends[j]: the pattern's elements so far match path[:j]
    ends = [True] + [False] * len(path)
    for index, wanted in enumerate(pattern):
        if wanted == ANY_STATES:
            first = ends.index(True)
            ends = [j >= first for j in range(len(path) + 1)]
        else:
            ends = [j > 0 and ends[j - 1] and path[j - 1] == wanted for j in range(len(path) + 1)]
        if not any(ends):
            return index, False
    return len(pattern), ends[-1]


def _path(pattern: Sequence[str], path: Sequence[str], label: str) -> Verdict:
    matched, complete = match_path(pattern, path)
    message = ""
    if matched < len(pattern):
        after = f"after {_arrows(pattern[:matched])}" if matched else "at its start"
        message = f"{after} the run did not enter {pattern[matched]!r}; it went {_arrows(path)}"
    elif not complete:
        message = f"the run did not end at {pattern[-1]!r}; it went {_arrows(path)}"
    return Verdict(f"{label}path", complete, _arrows(pattern), _arrows(path), message)


def _arrows(states: Sequence[str]) -> str:
    return " → ".join(states) or "nowhere"
