"""A state taken out of its machine, to be tried by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from harness.asl.compiler import Compiler
from harness.asl.definition import load, parse
from harness.asl.diagnostics import InvalidDefinition, Place
from harness.asl.retry import RetryingState
from harness.asl.schema import JSONATA, JSONPATH, Language
from harness.asl.state import State
from harness.asl.tasks import JSON

__all__ = ["StateUnderTest", "load_state"]

NAME: Final = "StateName"
"""What AWS calls a state whose definition came without its machine."""


@dataclass(frozen=True)
class StateUnderTest:
    """A state, and what of its machine has a say in what becomes of it.

    Attributes:
        definition: As written. Not to be changed.
        location: Where it stands, such as ``/States/Train``; empty for a state without a machine.
        state: Compiled for one trial, which changes it.
        jsonata: Whether its query language is JSONata.
        parents: The Map and Parallel states it is nested in, the innermost first.
    """

    definition: Mapping[str, JSON]
    location: str
    state: State
    jsonata: bool
    parents: tuple[RetryingState, ...] = ()

    def inner_names(self) -> set[str]:
        """The names of the states inside a Map or Parallel state."""
        return {name for scope, _ in _scopes(self.definition) for name in _every_name(scope)}


def load_state(text: str, name: str | None = None) -> StateUnderTest | None:
    """Compile one state.

    Args:
        text: The state as JSON text, or with `name` the state machine that it is part of.
        name: Its name; it may be nested in Map and Parallel states.

    Returns:
        None if the machine has no state of this name.

    Raises:
        InvalidDefinition: The state, or anything in its machine, is malformed or not supported.
    """
    if name is None:
        return _compile([_Found(NAME, parse(text), "")], JSONPATH)
    machine = load(text)
    found = _find(machine.definition, name, "")
    return None if found is None else _compile(found, machine.query_language)


@dataclass(frozen=True)
class _Found:
    name: str
    definition: dict[str, JSON]
    location: str

    def compile(self, language: Language) -> State:
        place = Place(self.location)
        compiler = Compiler(express=False)
        compiler.language = language
        try:
            state = compiler.compile_state(self.name, self.definition, place)
        except RecursionError:
            place.error("The definition is nested too deeply")
            state = None
        if state is None or any(finding.severity == "ERROR" for finding in place.findings):
            raise InvalidDefinition(place.findings)
        return state


def _compile(lineage: Sequence[_Found], language: Language) -> StateUnderTest:
    """Compile the first of a lineage; the others are the states around it."""
    found, *around = lineage
    state = found.compile(language)
    parents = [parent.compile(language) for parent in around]
    return StateUnderTest(
        found.definition,
        found.location,
        state,
        found.definition.get("QueryLanguage", language) == JSONATA,
        tuple(parent for parent in parents if isinstance(parent, RetryingState)),
    )


def _find(scope: Mapping[str, JSON], name: str, prefix: str) -> list[_Found] | None:
    """The state of a name with those around it, the innermost first."""
    for key, definition in scope["States"].items():
        here = _Found(key, definition, f"{prefix}/States/{key}")
        if key == name:
            return [here]
        for inner, place in _scopes(definition):
            found = _find(inner, name, here.location + place)
            if found is not None:
                return [*found, here]
    return None


def _scopes(state: Mapping[str, JSON]) -> Iterator[tuple[Mapping[str, JSON], str]]:
    """The branches or the item processor of a state, each with its place in it."""
    for index, branch in enumerate(state.get("Branches", ())):
        yield branch, f"/Branches[{index}]"
    for processor in ("ItemProcessor", "Iterator"):
        if processor in state:
            yield state[processor], f"/{processor}"


def _every_name(scope: Mapping[str, JSON]) -> Iterator[str]:
    for name, state in scope["States"].items():
        yield name
        for inner, _ in _scopes(state):
            yield from _every_name(inner)
