"""Which scope assigns which workflow variables.

"A variable exists in a scope if any state in the scope assigns a value to it. [...] a variable assigned in an
inner scope cannot have the same name as one assigned in an outer scope" (AWS developer guide, "Passing data
between states with variables"). A Catch of a Parallel or Map assigns in the scope that the state stands in.
"""

from __future__ import annotations

from collections.abc import Iterator, Set

from harness.asl.diagnostics import Place
from harness.asl.tasks import JSON

__all__ = ["check_variables"]


def check_variables(definition: JSON, place: Place, outer: Set[str] = frozenset()) -> None:
    """Report every variable of an inner scope that an outer scope assigns, too.

    Args:
        definition: A machine, a branch or an item processor; may be malformed.
        place: Where it stands.
        outer: The variables of the scopes around it.
    """
    states = definition.get("States") if isinstance(definition, dict) else None
    if not isinstance(states, dict):
        return
    assigned = [
        found for name, state in states.items() for found in _assigned(state, place / "States" / name)
    ]
    for variable, where in assigned:
        if variable in outer:
            where.error(f"Variable '{variable}' is already assigned in an outer scope")
    visible = outer | {variable for variable, _ in assigned}
    for name, state in states.items():
        for inner, where in _inner(state, place / "States" / name):
            check_variables(inner, where, visible)


def _assigned(state: JSON, place: Place) -> Iterator[tuple[str, Place]]:
    """The variables that a state assigns: itself, in its choice rules, and in its catchers."""
    if not isinstance(state, dict):
        return
    assign = state.get("Assign")
    for name in assign if isinstance(assign, dict) else ():
        yield name.removesuffix(".$"), place / "Assign"
    for field in ("Choices", "Catch"):
        for rule, where in _elements(state, field, place):
            yield from _assigned(rule, where)


def _inner(state: JSON, place: Place) -> Iterator[tuple[JSON, Place]]:
    """The scopes inside a state."""
    if isinstance(state, dict):
        yield from _elements(state, "Branches", place)
        for field in ("ItemProcessor", "Iterator"):
            if field in state:
                yield state[field], place / field


def _elements(state: dict[str, JSON], field: str, place: Place) -> Iterator[tuple[JSON, Place]]:
    values = state.get(field)
    for index, value in enumerate(values if isinstance(values, list) else ()):
        yield value, (place / field).item(index)
