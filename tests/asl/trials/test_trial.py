"""One state, run by itself."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from harness.asl import InvalidDefinition, StatesError, TaskError, TaskRunner
from harness.asl.trials.mocks import Mock
from harness.asl.trials.trial import Setting, Verdict, try_state
from harness.asl.trials.under_test import load_state
from harness.asl.values import MISSING
from harness.clock import SkippingClock, run
from tests.asl.helpers import CONTEXT, INVOKE, LAMBDA, START, answering, chain, sleeping

TASK = {"Type": "Task", "Resource": LAMBDA, "End": True}
BROKEN = Mock(error=StatesError("Broken", "it broke"))


def trial(
    definition: dict[str, Any],
    input: Any = None,  # noqa: A002
    *,
    name: str | None = None,
    tasks: TaskRunner | None = None,
    mock: Mock | None = None,
    clock: SkippingClock | None = None,
    **setting: Any,
) -> Verdict:
    """Try a state by itself, or with `name` a state of a machine."""
    subject = load_state(json.dumps(definition), name)
    assert subject is not None

    async def main() -> Verdict:
        return await try_state(
            subject,
            Setting({} if input is None else input, CONTEXT, **setting),
            clock=clock or SkippingClock(START),
            tasks=tasks or answering(TaskError("NoWork", "no task was expected")),
            entropy=random.Random(0),
            region="us-east-1",
            mock=mock,
        )

    return run(main())


def error_of(verdict: Verdict) -> tuple[str | None, str | None]:
    assert verdict.error is not None
    return verdict.error.error, verdict.error.cause


class TestDataFlow:
    def test_steps_of_a_pass_state_are_those_of_the_developer_guide(self) -> None:
        state = {
            "Type": "Pass",
            "InputPath": "$.payload",
            "Parameters": {"data": 1},
            "ResultPath": "$.result",
            "OutputPath": "$.result.data",
            "Next": "Another State",
        }

        verdict = trial(state, {"payload": {"foo": "bar"}})

        assert (verdict.status, verdict.output, verdict.next) == ("SUCCEEDED", 1, "Another State")
        assert verdict.seen == {
            "afterInputPath": {"foo": "bar"},
            "afterParameters": {"data": 1},
            "afterResultSelector": {"data": 1},
            "afterResultPath": {"payload": {"foo": "bar"}, "result": {"data": 1}},
        }

    def test_a_task_shows_every_step_whether_it_has_the_field_or_not(self) -> None:
        verdict = trial(TASK, {"n": 1}, tasks=answering({"answer": 42}))

        assert verdict.output == {"answer": 42}
        assert verdict.seen == {
            "afterInputPath": {"n": 1},
            "afterParameters": {"n": 1},
            "result": {"answer": 42},
            "afterResultSelector": {"answer": 42},
            "afterResultPath": {"answer": 42},
        }

    def test_result_path_null_discards_the_result_after_it_was_seen(self) -> None:
        verdict = trial({**TASK, "ResultPath": None}, {"n": 1}, tasks=answering("gone"))

        assert (verdict.output, verdict.seen["result"], verdict.seen["afterResultPath"]) == (
            {"n": 1},
            "gone",
            {"n": 1},
        )

    def test_selects_from_the_result(self) -> None:
        state = {**TASK, "ResultSelector": {"only.$": "$.a"}, "ResultPath": "$.r"}

        verdict = trial(state, {"n": 1}, tasks=answering({"a": 1, "b": 2}))

        assert verdict.seen["result"] == {"a": 1, "b": 2}
        assert verdict.seen["afterResultSelector"] == {"only": 1}
        assert verdict.output == {"n": 1, "r": {"only": 1}}

    def test_a_jsonata_task_shows_arguments_and_result(self) -> None:
        state = {
            **TASK,
            "QueryLanguage": "JSONata",
            "Arguments": {"twice": "{% $states.input.n * 2 %}"},
            "Output": "{% $states.result.answer %}",
        }

        verdict = trial(state, {"n": 2}, tasks=answering({"answer": 42}))

        assert verdict.output == 42
        assert verdict.seen == {"afterArguments": {"twice": 4}, "result": {"answer": 42}}

    def test_a_jsonata_task_without_fields_hands_input_and_result_through(self) -> None:
        verdict = trial({**TASK, "QueryLanguage": "JSONata"}, {"n": 2}, tasks=answering([1]))

        assert verdict.output == [1]
        assert verdict.seen == {"afterArguments": {"n": 2}, "result": [1]}

    def test_result_of_a_pass_state_is_seen(self) -> None:
        verdict = trial({"Type": "Pass", "Result": {"r": 1}, "ResultPath": "$.here", "End": True}, {"a": 1})

        assert verdict.output == {"a": 1, "here": {"r": 1}}
        assert verdict.seen["result"] == {"r": 1}

    def test_a_choice_shows_its_input_and_goes_where_its_rule_says(self) -> None:
        state = {
            "Type": "Choice",
            "InputPath": "$.part",
            "Choices": [
                {"Variable": "$.number", "NumericEquals": 1, "Next": "Equals 1"},
                {"Variable": "$.number", "NumericEquals": 2, "Next": "Equals 2"},
            ],
            "Default": "No Match",
        }

        verdict = trial(state, {"part": {"number": 2}})

        assert (verdict.status, verdict.next, verdict.output) == ("SUCCEEDED", "Equals 2", {"number": 2})
        assert verdict.seen == {"afterInputPath": {"number": 2}}
        assert trial(state, {"part": {"number": 3}}).next == "No Match"

    def test_a_state_that_ends_has_no_next(self) -> None:
        assert trial({"Type": "Succeed"}, {"a": 1}).next is None
        assert trial({"Type": "Succeed", "OutputPath": "$.a"}, {"a": 1}).output == 1

    def test_steps_are_shown_up_to_the_one_that_failed(self) -> None:
        state = {**TASK, "Parameters": {"x.$": "$.x"}, "OutputPath": "$.missing"}

        verdict = trial(state, {"x": 1}, tasks=answering({"y": 2}))

        assert verdict.status == "FAILED"
        assert verdict.seen["afterResultPath"] == {"y": 2}
        assert verdict.output is MISSING

    def test_variables_are_read_and_assigned(self) -> None:
        state = {"Type": "Pass", "Parameters": {"v.$": "$v"}, "Assign": {"w.$": "$.v"}, "End": True}

        verdict = trial(state, variables={"v": 7})

        assert verdict.output == {"v": 7}
        assert verdict.variables == {"v": 7, "w": 7}


class TestErrors:
    def test_a_cause_names_the_state_as_aws_does_when_it_has_no_name(self) -> None:
        verdict = trial({"Type": "Pass", "InputPath": "$.missing", "End": True})

        error, cause = error_of(verdict)
        assert error == "States.Runtime"
        assert cause is not None
        assert cause.startswith(
            "An error occurred while executing the state 'StateName' (entered at the event id #2)."
        )

    def test_a_fail_state_fails(self) -> None:
        verdict = trial({"Type": "Fail", "Error": "Own", "CausePath": "$.why"}, {"why": "because"})

        assert (verdict.status, error_of(verdict), verdict.next) == ("FAILED", ("Own", "because"), None)

    def test_there_is_one_attempt_and_the_retrier_says_what_would_follow(self) -> None:
        state = {
            **TASK,
            "Retry": [
                {"ErrorEquals": ["Other"]},
                {"ErrorEquals": ["Broken"], "IntervalSeconds": 2, "MaxAttempts": 3, "BackoffRate": 2.0},
            ],
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}],
        }
        clock = SkippingClock(START)
        tasks = answering(TaskError("Broken", "it broke"))

        verdict = trial(state, tasks=tasks, clock=clock)

        assert (verdict.status, verdict.retrier, verdict.delay) == ("RETRIABLE", 1, 2)
        assert (verdict.output, verdict.next) == (MISSING, None)
        assert error_of(verdict) == ("Broken", "it broke")
        assert (len(tasks.requests), clock.now()) == (1, START)
        assert trial(state, mock=BROKEN, retries=1).delay == 4
        assert trial(state, mock=BROKEN, retries=2).delay == 8
        exhausted = trial(state, mock=BROKEN, retries=3)
        assert (exhausted.status, exhausted.next) == ("CAUGHT_ERROR", "Caught")

    def test_an_error_is_caught_by_the_first_catcher_that_matches(self) -> None:
        state = {
            **TASK,
            "Catch": [
                {"ErrorEquals": ["Other"], "Next": "A"},
                {
                    "ErrorEquals": ["Broken"],
                    "ResultPath": "$.error",
                    "Assign": {"e.$": "$.Error"},
                    "Next": "B",
                },
            ],
        }

        verdict = trial(state, {"data": "value"}, mock=BROKEN)

        assert (verdict.status, verdict.catcher, verdict.next) == ("CAUGHT_ERROR", 1, "B")
        assert verdict.output == {"data": "value", "error": {"Error": "Broken", "Cause": "it broke"}}
        assert error_of(verdict) == ("Broken", "it broke")
        assert verdict.variables == {"e": "Broken"}

    def test_an_error_that_nothing_catches_fails_the_state(self) -> None:
        verdict = trial({**TASK, "Catch": [{"ErrorEquals": ["Other"], "Next": "A"}]}, mock=BROKEN)

        assert (verdict.status, error_of(verdict), verdict.catcher) == (
            "FAILED",
            ("Broken", "it broke"),
            None,
        )

    def test_runtime_errors_are_not_caught_even_when_they_are_mocked(self) -> None:
        state = {**TASK, "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "A"}]}

        verdict = trial(state, mock=Mock(error=StatesError("States.Runtime", "as told")))

        assert (verdict.status, error_of(verdict)) == ("FAILED", ("States.Runtime", "as told"))

    def test_a_catcher_that_cannot_be_evaluated_fails_the_state(self) -> None:
        catcher = {"ErrorEquals": ["Broken"], "ResultPath": "$.a.b", "Next": "A"}

        verdict = trial({**TASK, "Catch": [catcher]}, {"a": 1}, mock=BROKEN)

        assert (verdict.status, verdict.catcher) == ("FAILED", None)
        assert error_of(verdict)[0] == "States.ResultPathMatchFailure"


class TestTime:
    def test_a_wait_waits_on_the_clock(self) -> None:
        clock = SkippingClock(START)

        verdict = trial({"Type": "Wait", "Seconds": 299, "End": True}, {"a": 1}, clock=clock)

        assert (verdict.status, verdict.output, clock.now()) == ("SUCCEEDED", {"a": 1}, START + 299)

    def test_nothing_takes_longer_than_five_minutes(self) -> None:
        clock = SkippingClock(START)

        verdict = trial({"Type": "Wait", "Seconds": 3600, "End": True}, clock=clock)

        assert (verdict.status, error_of(verdict)[0]) == ("FAILED", "States.Timeout")
        assert clock.now() == START + 300

    def test_a_task_that_is_under_way_is_cancelled_and_its_own_limit_is_its_own(self) -> None:
        clock = SkippingClock(START)
        state = {**TASK, "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}]}

        verdict = trial(state, tasks=sleeping(clock, {"StateName": 1000}), clock=clock)

        assert (verdict.status, error_of(verdict)[0]) == ("FAILED", "States.Timeout")
        clock = SkippingClock(START)
        own = trial({**state, "TimeoutSeconds": 5}, tasks=sleeping(clock, {"StateName": 1000}), clock=clock)
        assert (own.status, own.next, clock.now()) == ("CAUGHT_ERROR", "Caught", START + 5)


class TestContext:
    def test_a_context_object_that_is_given_is_all_there_is(self) -> None:
        state = {**TASK, "Parameters": {"id.$": "$$.Execution.Id", "state.$": "$$.State.Name"}}
        context = {"Execution": {"Id": "exec-1"}, "State": {"Name": "Other"}}

        verdict = trial(state, mock=Mock("ok"), whole_context=context)

        assert verdict.seen["afterParameters"] == {"id": "exec-1", "state": "Other"}
        missing = trial(
            {**TASK, "Parameters": {"n.$": "$$.Execution.Name"}}, mock=Mock(), whole_context=context
        )
        assert missing.status == "FAILED"

    def test_otherwise_it_is_the_interpreters_own(self) -> None:
        verdict = trial(
            {"Type": "Pass", "Parameters": {"c.$": "$$"}, "End": True}, {"a": 1}, item={"Item": {"Index": 0}}
        )

        context = verdict.output["c"]
        assert context["Execution"]["Id"] == CONTEXT["Execution"]["Id"]
        assert context["State"]["Name"] == "StateName"
        assert context["Map"] == {"Item": {"Index": 0}}

    def test_it_says_how_often_the_state_was_retried(self) -> None:
        state = {**TASK, "Parameters": {"n.$": "$$.State.RetryCount"}}

        assert trial(state, mock=Mock(1)).seen["afterParameters"] == {"n": 0}
        assert trial(state, mock=Mock(1), retries=2).seen["afterParameters"] == {"n": 2}


class TestMocks:
    def test_a_mocked_task_makes_its_arguments_but_no_call(self) -> None:
        tasks = answering(TaskError("NoWork", "no call was expected"))
        state = {"Type": "Task", "Resource": INVOKE, "Parameters": {"FunctionName.$": "$.f"}, "End": True}

        verdict = trial(state, {"f": "name"}, tasks=tasks, mock=Mock({"Payload": 1}))

        assert (verdict.output, tasks.requests) == ({"Payload": 1}, [])
        assert verdict.seen["afterParameters"] == {"FunctionName": "name"}

    def test_the_time_limits_of_a_mocked_task_are_still_evaluated(self) -> None:
        verdict = trial({**TASK, "TimeoutSecondsPath": "$.limit"}, {"limit": "soon"}, mock=Mock(1))

        assert (verdict.status, error_of(verdict)[0]) == ("FAILED", "States.Runtime")

    def test_a_mocked_parallel_joins_the_outputs_of_its_branches(self) -> None:
        branch = {"StartAt": "T", "States": {"T": TASK}}
        other = {"StartAt": "U", "States": {"U": TASK}}
        state = {
            "Type": "Parallel",
            "Branches": [branch, other],
            "ResultSelector": {"first.$": "$[0]"},
            "Next": "After",
        }

        verdict = trial(state, {"n": 1}, mock=Mock([{"a": 1}, 2]))

        assert (verdict.status, verdict.output, verdict.next) == ("SUCCEEDED", {"first": {"a": 1}}, "After")
        assert verdict.seen["result"] == [{"a": 1}, 2]
        failed = trial({**state, "Catch": [{"ErrorEquals": ["Broken"], "Next": "C"}]}, mock=BROKEN)
        assert (failed.status, failed.next) == ("CAUGHT_ERROR", "C")


class TestNested:
    """A state of a machine, whose errors go on to the states around it."""

    PARALLEL = chain(
        (
            "Both",
            {
                "Type": "Parallel",
                "Branches": [{"StartAt": "Inner", "States": {"Inner": TASK}}],
                "Retry": [{"ErrorEquals": ["Flaky"], "IntervalSeconds": 7}],
                "Catch": [{"ErrorEquals": ["Broken"], "ResultPath": "$.e", "Next": "Last"}],
            },
        ),
        ("Last", {"Type": "Succeed"}),
    )

    def test_a_state_inside_a_branch_is_found(self) -> None:
        verdict = trial(self.PARALLEL, {"a": 1}, name="Inner", mock=Mock(5))

        assert (verdict.status, verdict.output, verdict.next) == ("SUCCEEDED", 5, None)

    def test_the_query_language_of_the_machine_holds(self) -> None:
        machine = chain(("A", {"Type": "Pass", "Output": "{% 1 + 1 %}"}), QueryLanguage="JSONata")

        assert trial(machine, name="A").output == 2

    def test_an_uncaught_error_is_caught_by_the_state_around(self) -> None:
        verdict = trial(self.PARALLEL, {"a": 1}, name="Inner", mock=BROKEN)

        assert (verdict.status, verdict.next, verdict.catcher) == ("CAUGHT_ERROR", "Last", 0)
        assert verdict.output == {"a": 1, "e": {"Error": "Broken", "Cause": "it broke"}}

    def test_or_makes_it_retry(self) -> None:
        verdict = trial(self.PARALLEL, name="Inner", mock=Mock(error=StatesError("Flaky")))

        assert (verdict.status, verdict.retrier, verdict.delay) == ("RETRIABLE", 0, 7)

    def test_or_fails_it(self) -> None:
        verdict = trial(self.PARALLEL, name="Inner", mock=Mock(error=StatesError("Other", "why")))

        assert (verdict.status, error_of(verdict)) == ("FAILED", ("Other", "why"))

    def test_a_state_that_is_not_there_is_none(self) -> None:
        assert load_state(json.dumps(self.PARALLEL), "Nowhere") is None


class TestDefinitions:
    @pytest.mark.parametrize(
        ("text", "code", "location"),
        [
            ("{", "INVALID_JSON_DESCRIPTION", None),
            ("[]", "INVALID_JSON_DESCRIPTION", None),
            ('{"Type": "Nothing"}', "SCHEMA_VALIDATION_FAILED", "/Type"),
            ('{"End": true}', "SCHEMA_VALIDATION_FAILED", "/"),
            ('{"Type": "Pass", "InputPath": "no", "End": true}', "SCHEMA_VALIDATION_FAILED", "/InputPath"),
            ('{"Type": "Pass"}', "SCHEMA_VALIDATION_FAILED", "/"),
            ('{"StartAt": "A", "States": {}}', "SCHEMA_VALIDATION_FAILED", "/"),
        ],
    )
    def test_what_is_no_state_is_refused(self, text: str, code: str, location: str | None) -> None:
        with pytest.raises(InvalidDefinition) as caught:
            load_state(text)

        finding = caught.value.diagnostics[0]
        assert (finding.code, finding.location) == (code, location)

    def test_with_a_name_the_whole_machine_must_be_well_formed(self) -> None:
        with pytest.raises(InvalidDefinition, match="Missing 'Next' target"):
            load_state('{"StartAt":"A","States":{"A":{"Type":"Pass","Next":"B"}}}', "A")
