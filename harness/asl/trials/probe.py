"""What goes through a state, seen from inside.

A compiled state is made of closures. A probe puts its own around those whose values TestState shows; nothing
of the interpreter is written twice for it, and states that nobody looks at pay nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from harness.asl.choice import Choice
from harness.asl.maps.map import MapState
from harness.asl.payload import Template
from harness.asl.retry import RetryingState
from harness.asl.scope import Reader, Scope
from harness.asl.simple import Pass, Wait
from harness.asl.state import Flow, JSONataFlow, JSONPathFlow, State
from harness.asl.tasks import JSON

__all__ = ["Probe"]


def _same(document: JSON, scope: Scope) -> JSON:
    return document


def _result(extra: JSON, scope: Scope) -> JSON:
    """What a JSONata state's work has yielded."""
    return extra["result"]


_UNCHANGED: Final = Template(_same, 1, 0)
_INPUT: Final = Template(lambda extra, scope: scope.data, 1, 0)
_RESULT: Final = Template(_result, 1, 0)


class Probe:
    """Notes what goes through the closures of a state.

    Attributes:
        seen: By the names of TestState's InspectionData.
    """

    def __init__(self) -> None:
        self.seen: dict[str, JSON] = {}

    def watch(self, state: State, *, jsonata: bool) -> None:
        """Put closures that note what goes through them around those of a state."""
        match state:
            case Choice():
                if state.flow is not None:
                    state.flow = replace(state.flow, input_path=self._input(state.flow))
            case Pass():
                state.flow = self._watched(state.flow or (JSONataFlow() if jsonata else JSONPathFlow()))
                if state.result is not None:
                    state.result = self._filled("result", state.result)
            case Wait():
                state.flow = self._watched(state.flow)
            case RetryingState():
                state.flow = self._watched(state.flow, arguments=not isinstance(state, MapState), result=True)

    def _watched(self, flow: Flow, *, arguments: bool = True, result: bool = False) -> Flow:
        """A flow that does the same.

        Args:
            flow: The flow.
            arguments: Whether it can have Parameters or Arguments. Those of a Map are about its items.
            result: Whether the state has a result of its own.
        """
        match flow:
            case JSONPathFlow():
                parameters = flow.parameters or _UNCHANGED
                selector = self._filled("afterResultSelector", flow.result_selector or _UNCHANGED)
                if result:
                    selector = replace(selector, read=self._given("result", _same, selector.read))
                return replace(
                    flow,
                    input_path=self._input(flow),
                    parameters=self._filled("afterParameters", parameters) if arguments else None,
                    result_selector=selector,
                    output_path=self._given("afterResultPath", _same, flow.output_path or _same),
                )
            case JSONataFlow() if result:
                given, output = flow.arguments_template or _INPUT, flow.output or _RESULT
                return replace(
                    flow,
                    arguments_template=self._filled("afterArguments", given) if arguments else None,
                    output=replace(output, read=self._given("result", _result, output.read)),
                )
            case _:
                return flow

    def _input(self, flow: JSONPathFlow) -> Reader:
        return self._made("afterInputPath", flow.input_path or _same)

    def _filled(self, name: str, template: Template) -> Template:
        """A template that notes what it is filled in to."""
        return replace(template, read=self._made(name, template.read))

    def _made(self, name: str, read: Reader) -> Reader:
        """`read`, noting what it makes."""

        def reader(document: JSON, scope: Scope) -> JSON:
            value = self.seen[name] = read(document, scope)
            return value

        return reader

    def _given(self, name: str, pick: Reader, read: Reader) -> Reader:
        """`read`, noting first what `pick` takes of what it is given."""
        note = self._made(name, pick)

        def reader(document: JSON, scope: Scope) -> JSON:
            note(document, scope)
            return read(document, scope)

        return reader
