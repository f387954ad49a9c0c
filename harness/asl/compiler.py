"""A definition, compiled.

JSON is taken apart once, every mistake in it is reported, and what is left are states that refer to each
other directly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from harness.asl.compile_choice import compile_choice
from harness.asl.compile_errors import compile_policy
from harness.asl.compile_fields import SECONDS, Fields
from harness.asl.compile_wait import wait_until
from harness.asl.diagnostics import (
    DUPLICATE_STATE_NAME,
    MISSING_END_STATE,
    MISSING_TRANSITION_TARGET,
    Place,
)
from harness.asl.maps.compile import compile_map
from harness.asl.parallel import Parallel
from harness.asl.payload import Template, constant
from harness.asl.schema import (
    JSONATA,
    JSONPATH,
    STATE_FIELDS,
    Language,
    check_fields,
    check_state_fields,
    require,
)
from harness.asl.simple import Fail, Pass, Succeed, Wait
from harness.asl.state import Flow, JSONataFlow, JSONPathFlow, State
from harness.asl.task import Task, parse_resource
from harness.asl.tasks import JSON, Resource
from harness.asl.variables import check_variables

__all__ = ["Compiler"]

_MACHINE: Final = {"Comment", "QueryLanguage", "StartAt", "States", "TimeoutSeconds", "Version"}
_BRANCH: Final = {"Comment", "StartAt", "States"}
_MAX_NAME: Final = 80


class _Scope:
    """The states that can be reached from each other: those of the machine, a branch or an item processor."""

    def __init__(self) -> None:
        self.links: list[tuple[str, str | None, Place, Callable[[State], None]]] = []
        self.current: str | None = None

    def link(self, target: str, place: Place, use: Callable[[State], None]) -> None:
        """`Link`: note a reference from the state that is being compiled."""
        self.links.append((target, self.current, place, use))


class Compiler:
    """Compiles one definition.

    Args:
        express: Whether it is for an EXPRESS state machine.

    Attributes:
        timeout: TimeoutSeconds of the machine.
        language: Query language of the machine.
    """

    def __init__(self, *, express: bool) -> None:
        self._express = express
        self.timeout: float | None = None
        self.language: Language = JSONPATH
        self._names: set[str] = set()
        self._labels: set[str] = set()
        self._compilers: Final[dict[str, Callable[[str, Fields, _Scope], State | None]]] = {
            "Choice": self._choice,
            "Fail": self._fail,
            "Map": self._map,
            "Parallel": self._parallel,
            "Pass": self._pass,
            "Succeed": self._succeed,
            "Task": self._task,
            "Wait": self._wait,
        }

    def compile(self, definition: dict[str, JSON], place: Place) -> State | None:
        """Compile a state machine; its first state, None if there is none."""
        check_fields(_MACHINE, definition, place)
        fields = Fields(definition, place, JSONPATH)
        self.language = self._language(fields, JSONPATH)
        if fields.text("Version") not in (None, "1.0"):
            (place / "Version").error("Value must be one of [1.0]")
        self.timeout = fields.number("TimeoutSeconds", SECONDS)
        first = self._compile_scope(definition, place)
        check_variables(definition, place)
        return first

    def compile_state(self, name: str, definition: dict[str, JSON], place: Place) -> State | None:
        """Compile one state by itself, in the query language `language` unless it names its own.

        The states that it can go on to need not be there; empty ones of their names stand in for them.
        """
        scope = _Scope()
        scope.current = name
        state = self._compile_state(name, definition, place, scope)
        for target, _, _, use in scope.links:
            use(Pass(target, None))
        return state

    # Scopes --------------------------------------------------------------------------------------------

    def _compile_scope(self, definition: dict[str, JSON], place: Place) -> State | None:
        """Compile the states of a machine, a branch or an item processor."""
        require(["StartAt", "States"], definition, place)
        fields = Fields(definition, place, self.language)
        definitions = fields.object("States")
        start = fields.text("StartAt")
        if definitions is None:
            return None
        if not definitions:
            (place / "States").error("At least one state is required")
            return None
        scope = _Scope()
        states = dict(self._compile_states(definitions, place / "States", scope))
        first: list[State] = []
        if start is not None:
            scope.current = None
            scope.link(start, place / "StartAt", first.append)
        for target, _, where, use in scope.links:
            if target not in definitions:
                where.error(f"Missing 'Next' target: {target}", MISSING_TRANSITION_TARGET)
            elif target in states:
                use(states[target])
        if not any(_ends(state) for state in definitions.values()):
            place.error_without_place("Workflow has no terminal state", MISSING_END_STATE)
        else:
            self._check_reachable(definitions, scope, place)
        return first[0] if first else None

    def _compile_states(
        self, definitions: dict[str, JSON], place: Place, scope: _Scope
    ) -> Iterator[tuple[str, State]]:
        for name, definition in definitions.items():
            where = place / name
            if not 0 < len(name) <= _MAX_NAME:
                where.error(f"State names must have 1 to {_MAX_NAME} characters")
            if name in self._names:
                where.error(f"Duplicate State name: {name}", DUPLICATE_STATE_NAME)
            self._names.add(name)
            if not isinstance(definition, dict):
                where.error("Expected value of type OBJECT")
                continue
            scope.current = name
            state = self._compile_state(name, definition, where, scope)
            if state is not None:
                yield name, state

    def _check_reachable(self, definitions: dict[str, JSON], scope: _Scope, place: Place) -> None:
        targets: dict[str | None, list[str]] = {}
        for target, source, _, _ in scope.links:
            targets.setdefault(source, []).append(target)
        reached: set[str] = set()
        pending = list(targets.get(None, []))
        while pending:
            name = pending.pop()
            if name not in reached:
                reached.add(name)
                pending.extend(targets.get(name, []))
        for name in definitions:
            if name not in reached:
                (place / "States" / name).error(
                    f'State "{name}" is not reachable.', MISSING_TRANSITION_TARGET
                )

    # States --------------------------------------------------------------------------------------------

    def _language(self, fields: Fields, inherited: Language) -> Language:
        if "QueryLanguage" not in fields:
            return inherited
        text = fields.text("QueryLanguage")
        if text not in (None, JSONPATH, JSONATA):
            (fields.place / "QueryLanguage").error(f"Value must be one of [{JSONPATH}, {JSONATA}]")
        if text == JSONPATH and inherited == JSONATA:
            fields.place.error(
                f"'QueryLanguage' can not be '{JSONPATH}' if set to '{JSONATA}' for whole state machine"
            )
        return JSONPATH if text == JSONPATH else JSONATA

    def _compile_state(
        self, name: str, definition: dict[str, JSON], place: Place, scope: _Scope
    ) -> State | None:
        require(["Type"], definition, place)
        fields = Fields(definition, place, self.language)
        fields.language = self._language(fields, self.language)
        kind = fields.text("Type")
        if kind is None:
            return None
        if kind not in STATE_FIELDS:
            (place / "Type").error(f"Value must be one of [{', '.join(sorted(STATE_FIELDS))}]")
            return None
        check_state_fields(kind, fields.language, definition, place)
        state = self._compilers[kind](name, fields, scope)
        if "Next" in STATE_FIELDS[kind][fields.language]:
            self._transition(fields, state, scope)
        return state

    def _transition(self, fields: Fields, state: State | None, scope: _Scope) -> None:
        """Next and End."""
        end = fields.flag("End")
        if ("Next" in fields) == (end is True):
            fields.place.error("Exactly one of these fields is required: [Next, End]")
        target = fields.text("Next")
        if target is None:
            return

        def set_next(following: State) -> None:
            if state is not None:
                state.next = following

        scope.link(target, fields.place / "Next", set_next)

    def _flow(self, fields: Fields, *, has_result: bool) -> Flow:
        """The data flow of a state, from the fields it has."""
        if fields.is_jsonata:
            return JSONataFlow(
                fields.template("Arguments"), fields.assign(), fields.template("Output"), has_result
            )
        return self._jsonpath_flow(fields)

    def _jsonpath_flow(self, fields: Fields, *, parameters: bool = True) -> JSONPathFlow:
        result_path, result_path_text = fields.result_path()
        return JSONPathFlow(
            fields.filter_path("InputPath"),
            fields.template("Parameters") if parameters else None,
            fields.template("ResultSelector"),
            fields.assign(),
            result_path,
            result_path_text,
            fields.filter_path("OutputPath"),
        )

    def _pass(self, name: str, fields: Fields, scope: _Scope) -> State:
        result: Template | None = None
        if not fields.is_jsonata and "Result" in fields:
            result = constant(fields.values["Result"])
        flow = self._flow(fields, has_result=False)
        return Pass(name, None if _changes_nothing(flow) and result is None else flow, result)

    def _succeed(self, name: str, fields: Fields, scope: _Scope) -> State:
        flow = self._flow(fields, has_result=False)
        return Succeed(name, None if _changes_nothing(flow) else flow)

    def _fail(self, name: str, fields: Fields, scope: _Scope) -> State:
        return Fail(name, fields.words("Error"), fields.words("Cause"))

    def _choice(self, name: str, fields: Fields, scope: _Scope) -> State:
        flow = None if fields.is_jsonata else self._jsonpath_flow(fields)
        return compile_choice(name, fields, flow, scope.link)

    def _wait(self, name: str, fields: Fields, scope: _Scope) -> State | None:
        flow = self._flow(fields, has_result=False)
        until = wait_until(fields)
        return None if until is None else Wait(name, flow, until)

    def _task(self, name: str, fields: Fields, scope: _Scope) -> State | None:
        require(["Resource"], fields.values, fields.place)
        credentials = self._credentials(fields)
        arn = fields.text("Resource")
        resource = None if arn is None else parse_resource(arn)
        if arn is not None and resource is None:
            (fields.place / "Resource").error("Value is not a valid resource ARN")
        timeout = fields.seconds("TimeoutSeconds", SECONDS)
        heartbeat = fields.seconds("HeartbeatSeconds", SECONDS)
        flow = self._flow(fields, has_result=True)
        policy = compile_policy(fields, scope.link)
        limit, beat = fields.values.get("TimeoutSeconds"), fields.values.get("HeartbeatSeconds")
        if isinstance(limit, int) and isinstance(beat, int) and beat >= limit:
            (fields.place / "HeartbeatSeconds").error(
                "'HeartbeatSeconds' must be smaller than 'TimeoutSeconds'"
            )
        if resource is None:
            return None
        if self._express:
            self._check_express(resource, fields.place / "Resource")
        return Task(name, flow, policy, resource, timeout, heartbeat, credentials)

    def _credentials(self, fields: Fields) -> Template | None:
        """Credentials: the role to call in the name of."""
        value = fields.object("Credentials")
        if value is None:
            return None
        names = {"RoleArn"} if fields.is_jsonata else {"RoleArn", "RoleArn.$"}
        check_fields(names, value, fields.place / "Credentials")
        if not names & value.keys():
            require(["RoleArn"], value, fields.place / "Credentials")
        return fields.template("Credentials")

    def _check_express(self, resource: Resource, place: Place) -> None:
        """Report what EXPRESS state machines cannot do (AWS developer guide, "Choosing workflow type")."""
        if resource.kind == "activity":
            place.error("Express state machine does not support activities")
        elif resource.pattern != "request_response":
            place.error(f"Express state machine does not support '.{resource.pattern}' service integration")

    def _parallel(self, name: str, fields: Fields, scope: _Scope) -> State | None:
        require(["Branches"], fields.values, fields.place)
        branches = fields.array("Branches")
        if branches is not None and not branches:
            (fields.place / "Branches").error("At least one branch is required")
        first: list[State] = []
        for index, branch in enumerate(branches or []):
            place = (fields.place / "Branches").item(index)
            if not isinstance(branch, dict):
                place.error("Expected value of type OBJECT")
                continue
            check_fields(_BRANCH, branch, place)
            state = self._compile_scope(branch, place)
            if state is not None:
                first.append(state)
        flow = self._flow(fields, has_result=True)
        return Parallel(name, flow, compile_policy(fields, scope.link), first)

    def _map(self, name: str, fields: Fields, scope: _Scope) -> State | None:
        if fields.is_jsonata:
            flow: Flow = JSONataFlow(None, fields.assign(), fields.template("Output"), True)
        else:
            flow = self._jsonpath_flow(fields, parameters=False)
        policy = compile_policy(fields, scope.link)
        return compile_map(
            name,
            fields,
            flow,
            policy,
            self._compile_processor,
            express=self._express,
            labels=self._labels,
        )

    def _compile_processor(self, definition: dict[str, JSON], place: Place, express: bool) -> State | None:
        """Compile the states of an item processor."""
        outside = self._express
        self._express = outside or express
        try:
            return self._compile_scope(definition, place)
        finally:
            self._express = outside


def _changes_nothing(flow: Flow) -> bool:
    return flow in (JSONPathFlow(), JSONataFlow())


def _ends(state: JSON) -> bool:
    """Whether a thread can end with this state."""
    return isinstance(state, dict) and (
        state.get("End") is True or state.get("Type") in ("Succeed", "Fail") or "Type" not in state
    )
