"""What a compiled state is, and how data flows through it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from harness.asl import history as events
from harness.asl.errors import RESULT_PATH_MATCH_FAILURE, Fault
from harness.asl.frame import Frame
from harness.asl.history import EventType
from harness.asl.jsonpath.path import Key
from harness.asl.payload import Template
from harness.asl.scope import Reader
from harness.asl.tasks import JSON
from harness.asl.values import json_text

__all__ = ["Flow", "JSONPathFlow", "JSONataFlow", "State", "insert"]


class State:
    """A compiled state.

    Attributes:
        name: Its name.
        next: The state after it; None at the end. Linked after all states of a machine are compiled.
        immediate: Whether `step` runs it; otherwise `run` does.
        entered: Type of the event that records its entry.
        exited: Type of the event that records its exit.
        exited_assigning: The same when variables are assigned.
        aborted: Type of the event that records that it was cancelled; None where there is none.
        first_retry: What ``State.RetryCount`` of the context object starts with; None for states that have
            no Retry.
    """

    kind: str
    immediate = True
    aborted: EventType | None = None
    first_retry: int | None = None

    def __init__(self, name: str) -> None:
        self.name = name
        self.next: State | None = None
        self.entered = events.entered(self.kind, name)
        self.exited = events.exited(self.kind, name)
        self.exited_assigning = events.exited_assigning(self.kind, name)

    def step(self, frame: Frame) -> State | None:
        """Run the state without waiting for anything; the state after it.

        Raises:
            Fault: Something in it cannot be evaluated.
            StatesError: It fails.
        """
        raise NotImplementedError

    async def run(self, frame: Frame) -> State | None:
        """Run the state; the state after it.

        Raises:
            Fault: Something in it cannot be evaluated.
            StatesError: It fails.
        """
        raise NotImplementedError


class Flow:
    """How data goes into a state's work and comes out of it. This one hands it through."""

    def arguments(self, frame: Frame) -> JSON:
        """The effective input: what the state works on."""
        return frame.data

    def leave(self, frame: Frame, state: State, result: JSON, bound: int) -> None:
        """Exit a state with the result of its work.

        Args:
            frame: The thread.
            state: The state.
            result: The result.
            bound: A bound of the result's size in bytes.
        """
        frame.leave(state, result, bound)


@dataclass(frozen=True)
class JSONPathFlow(Flow):
    """InputPath, Parameters, ResultSelector, Assign, ResultPath and OutputPath, in this order.

    Attributes:
        input_path: None for the identity.
        parameters: None if there are none.
        result_selector: None if there is none.
        assign: None if there is none.
        result_path: Where the result is put into the input: ``()`` in its place, None discards it.
        result_path_text: As written.
        output_path: None for the identity.
    """

    input_path: Reader | None = None
    parameters: Template | None = None
    result_selector: Template | None = None
    assign: Template | None = None
    result_path: tuple[Key, ...] | None = ()
    result_path_text: str = "$"
    output_path: Reader | None = None

    def select_input(self, frame: Frame) -> JSON:
        """The input after InputPath."""
        return frame.data if self.input_path is None else self.input_path(frame.data, frame)

    def arguments(self, frame: Frame) -> JSON:
        data = self.select_input(frame)
        return data if self.parameters is None else frame.fill(self.parameters, data)[0]

    def leave(self, frame: Frame, state: State, result: JSON, bound: int) -> None:
        if self.result_selector is not None:
            result, bound = frame.fill(self.result_selector, result)
        assigned = frame.assignment(self.assign, result)
        if self.result_path is None:
            output, bound = frame.data, frame.room
        elif self.result_path:
            output = insert(frame.data, self.result_path, result, self.result_path_text)
            bound += frame.room + len(self.result_path_text) + 8
        else:
            output = result
        if self.output_path is not None:
            output = self.output_path(output, frame)
            bound = max(bound, frame.room)  # it may lead into the context object or a variable
        frame.leave(state, output, frame.admit(output, bound), assigned)


@dataclass(frozen=True)
class JSONataFlow(Flow):
    """Arguments, Assign and Output.

    Attributes:
        arguments_template: None if there is none.
        assign: None if there is none.
        output: None if there is none.
        has_result: Whether the state has a result of its own, which ``$states.result`` is then.
    """

    arguments_template: Template | None = None
    assign: Template | None = None
    output: Template | None = None
    has_result: bool = False

    def arguments(self, frame: Frame) -> JSON:
        template = self.arguments_template
        return frame.data if template is None else frame.fill(template, _NOTHING)[0]

    def leave(self, frame: Frame, state: State, result: JSON, bound: int) -> None:
        extra = {"result": result} if self.has_result else _NOTHING
        output = result
        if self.output is not None:
            output, bound = frame.fill(self.output, extra)
        frame.leave(state, output, bound, frame.assignment(self.assign, extra))


_NOTHING: Final[dict[str, JSON]] = {}


def insert(document: JSON, keys: tuple[Key, ...], value: JSON, path: str) -> JSON:
    """A document with a value put where a path leads; only what lies on the path is copied.

    Objects that are missing on the way are created.

    Raises:
        Fault: States.ResultPathMatchFailure: the path leads through something that is no object or array, or
            past the end of an array.
    """
    if not keys:
        return value
    key, rest = keys[0], keys[1:]
    if isinstance(key, str) and isinstance(document, dict):
        return {**document, key: insert(document.get(key, _NOTHING), rest, value, path)}
    if isinstance(key, int) and isinstance(document, list) and 0 <= key < len(document):
        return [*document[:key], insert(document[key], rest, value, path), *document[key + 1 :]]
    raise Fault(
        f"Unable to apply ReferencePath {path} to input {json_text(document)}", RESULT_PATH_MATCH_FAILURE
    )
