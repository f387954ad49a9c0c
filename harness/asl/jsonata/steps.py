"""Paths and the steps they are made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.asl.jsonata.ast import Node
from harness.asl.jsonata.base import Evaluation, Frame
from harness.asl.jsonata.errors import InternalError, JsonataError
from harness.asl.jsonata.values import MISSING, Array, Object, is_number, sequence, truth

__all__ = ["Steps", "lookup", "merge_sort"]


class Steps(Evaluation):
    """Evaluates paths, predicates, orders and groups.

    A path that binds variables or looks for parents is a stream of tuples: ``{"@": value, name: value}``.
    """

    def _path(self, node: Node, context: Any, frame: Frame) -> Any:
        steps = node.parts
        items: Any = context
        if not isinstance(context, list) or steps[0].type == "variable":
            items = sequence(context)
        result: Any = MISSING
        tuples: Array | None = None
        streams = False
        for index, step in enumerate(steps):
            streams = streams or step.is_tuple
            if index == 0 and step.is_cons:
                result = self.evaluate(step, items, frame)
            elif streams:
                tuples = self._tuple_step(step, items, tuples, frame)
            else:
                result = self._step(step, items, frame, index == len(steps) - 1)
            if not streams and (result is MISSING or (isinstance(result, list) and not result)):
                break
            if step.focus is None:
                items = result
        if streams:
            assert tuples is not None
            result = tuples if node.is_tuple else sequence(*(item["@"] for item in tuples))
        if node.keep_singleton and isinstance(result, Array):
            if result.is_cons and not result.is_sequence:
                result = sequence(result)
            result.keep_singleton = True
        if node.group is not None:
            result = self._members(node.group, tuples if streams else result, frame)
        return result

    def _step(self, step: Node, items: Sequence[Any], frame: Frame, is_last: bool) -> Any:
        if step.type == "sort":
            return self._stages(step, self._sort(step, items, frame), frame)
        found = []
        size = 0
        for item in items if isinstance(items, list) else ():
            value = self.evaluate(step, item, frame)
            for stage in step.stages:
                assert stage.left is not None
                value = self._filter(stage.left, value, frame)
            if value is not MISSING:
                size = self.budget.add(size, value)
                found.append(value)
        if is_last and len(found) == 1 and isinstance(found[0], list) and not _is_sequence(found[0]):
            return found[0]
        result = sequence()
        for value in found:
            if not isinstance(value, list) or (isinstance(value, Array) and value.is_cons):
                result.append(value)
            else:
                result += value
        return self.budget.keep(result)

    def _stages(self, step: Node, result: Any, frame: Frame) -> Any:
        for stage in step.stages:
            if stage.left is not None:
                result = self._filter(stage.left, result, frame)
            else:
                for index, item in enumerate(result):
                    item[stage.value] = index
        return result

    def _tuple_step(self, step: Node, items: Sequence[Any], tuples: Array | None, frame: Frame) -> Array:
        result = sequence()
        result.is_tuples = True
        if step.type == "sort":
            if tuples is not None:
                result = self._sort(step, tuples, frame)
            else:
                for index, item in enumerate(self._sort(step, items, frame)):
                    result.append({"@": item, step.index: index})
            return self._stages(step, result, frame)  # type: ignore[no-any-return]
        if tuples is None:
            tuples = Array({"@": item} for item in items)
        size = 0
        for binding in tuples:
            value = self.evaluate(step, binding["@"], Frame(frame, binding))
            if value is MISSING:
                continue
            values = value if isinstance(value, list) else [value]
            self.budget.work(16 * len(values))
            size = self.budget.add(size, value)
            for index, element in enumerate(values):
                extended = dict(binding)
                if isinstance(value, Array) and value.is_tuples:
                    extended.update(element)
                else:
                    extended[step.focus or "@"] = element
                    if step.index is not None:
                        extended[step.index] = index
                    if step.ancestor is not None:
                        extended[step.ancestor.label] = binding["@"]
                result.append(extended)
        return self._stages(step, result, frame)  # type: ignore[no-any-return]

    def _filter(self, predicate: Node, value: Any, frame: Frame) -> Any:
        streams = isinstance(value, Array) and value.is_tuples
        items = value if isinstance(value, list) else [value]
        result = sequence()
        result.is_tuples = streams
        if predicate.type == "number":
            index = math.floor(predicate.value)
            if not -len(items) <= index < len(items) or items[index] is MISSING:
                return result
            if isinstance(items[index], list):
                return items[index]
            result.append(items[index])
            return result
        for position, item in enumerate(items):
            context, scope = (item["@"], Frame(frame, item)) if streams else (item, frame)
            answer = self.evaluate(predicate, context, scope)
            indexes = answer if isinstance(answer, list) else [answer]
            if all(map(is_number, indexes)):
                for index in indexes:
                    whole = math.floor(index)
                    if (whole + len(items) if whole < 0 else whole) == position:
                        result.append(item)
            elif truth(answer):
                result.append(item)
        return result

    def _name(self, node: Node, context: Any, frame: Frame) -> Any:
        return lookup(context, node.value)

    def _wildcard(self, node: Node, context: Any, frame: Frame) -> Any:
        result = sequence()
        members = context.values() if isinstance(context, dict) else context
        if isinstance(members, list) or isinstance(context, dict):
            for member in members:
                if isinstance(member, list):
                    result += _flat(member)
                else:
                    result.append(member)
        return self.budget.keep(result)

    def _descendant(self, node: Node, context: Any, frame: Frame) -> Any:
        result = sequence()
        pending = [] if context is MISSING else [context]
        while pending:
            item = pending.pop()
            if isinstance(item, list):
                pending.extend(reversed(item))
            else:
                result.append(item)
                if isinstance(item, dict):
                    pending.extend(reversed(item.values()))
            self.budget.work(0)
        return self.budget.keep(result)

    def _parent(self, node: Node, context: Any, frame: Frame) -> Any:
        assert node.slot is not None
        return frame.lookup(node.slot.label)

    def _sort(self, node: Node, items: Sequence[Any], frame: Frame) -> Any:
        streams = isinstance(items, Array) and items.is_tuples

        known: dict[tuple[int, int], Any] = {}

        def key(expression: Node, item: Any) -> Any:
            place = id(expression), id(item)
            if place not in known:
                context, scope = (item["@"], Frame(frame, item)) if streams else (item, frame)
                known[place] = self.evaluate(expression, context, scope)
            return known[place]

        def follows(left: Any, right: Any) -> bool:
            for expression, descending in node.terms:
                a, b = key(expression, left), key(expression, right)
                if a is MISSING or b is MISSING:
                    if a is b:
                        continue
                    return a is MISSING
                for value in (a, b):
                    if not isinstance(value, str | int | float) or isinstance(value, bool):
                        raise JsonataError("T2008", value=value)
                if isinstance(a, str) != isinstance(b, str):
                    raise JsonataError("T2007", value=a, value2=b)
                if a != b:
                    return bool(a < b if descending else a > b)
            return False

        if len(items) <= 1:
            return items
        result = Array(merge_sort(items, follows))
        result.is_tuples = streams
        return result

    def _members(self, node: Node, value: Any, frame: Frame) -> Any:
        """Make an object; values are grouped by key."""
        streams = isinstance(value, Array) and value.is_tuples
        items = value if isinstance(value, list) else [value]
        groups: dict[str, tuple[int, list[Any]]] = {}
        assert node.pairs is not None
        if streams and not items:
            raise InternalError
        for item in items or [MISSING]:
            context, scope = (item["@"], Frame(frame, item)) if streams else (item, frame)
            for index, (name, _) in enumerate(node.pairs):
                key = self.evaluate(name, context, scope)
                if key is MISSING:
                    continue
                if not isinstance(key, str):
                    raise JsonataError("T1003", value=key)
                if key not in groups:
                    groups[key] = (index, [item])
                elif groups[key][0] != index:
                    raise JsonataError("D1009", value=key)
                else:
                    groups[key][1].append(item)
        result = Object()
        size = 0
        for key, (index, data) in groups.items():
            if streams:
                bindings = _reduce(data)
                context = bindings.pop("@")
                scope = Frame(frame, bindings)
            else:
                context = data[0] if len(data) == 1 else _joined(data)
                scope = frame
            member = self.evaluate(node.pairs[index][1], context, scope)
            if member is not MISSING:
                size = self.budget.add(size, member)
                result[key] = member
        return self.budget.keep(result)


def merge_sort(items: Sequence[Any], follows: Callable[[Any, Any], bool]) -> list[Any]:
    """Sort stably.

    Args:
        items: What to sort.
        follows: Whether its first argument has to come after its second.
    """
    runs = [[item] for item in items]
    # Halves as the reference implementation makes them: comparators that contradict themselves see the same
    # pairs in the same order.
    return _merge_halves(runs, 0, len(runs), follows)


def _merge_halves(
    runs: list[list[Any]], start: int, end: int, follows: Callable[[Any, Any], bool]
) -> list[Any]:
    if end - start == 1:
        return runs[start]
    middle = start + (end - start) // 2
    left = _merge_halves(runs, start, middle, follows)
    right = _merge_halves(runs, middle, end, follows)
    merged: list[Any] = []
    i = j = 0
    while i < len(left) and j < len(right):
        if follows(left[i], right[j]):
            merged.append(right[j])
            j += 1
        else:
            merged.append(left[i])
            i += 1
    return merged + left[i:] + right[j:]


def lookup(value: Any, name: str) -> Any:
    """The member of an object, or of every object of an array."""
    if isinstance(value, dict):
        return value.get(name, MISSING)
    if not isinstance(value, list):
        return MISSING
    result = sequence()
    for element in value:
        member = lookup(element, name)
        if isinstance(member, list):
            result += member
        elif member is not MISSING:
            result.append(member)
    return result


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Array) and value.is_sequence


def _flat(value: list[Any]) -> list[Any]:
    result: list[Any] = []
    pending = value[::-1]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending.extend(reversed(item))
        else:
            result.append(item)
    return result


def _joined(items: Sequence[Any]) -> Array:
    """Values one after the other; those that are arrays contribute their elements."""
    result = Array()
    for item in items:
        if isinstance(item, list):
            result += item
        else:
            result.append(item)
    return result


def _reduce(tuples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The tuples of a group as one, whose members are all values of theirs."""
    if len(tuples) == 1:
        return dict(tuples[0])
    names = dict.fromkeys(name for item in tuples for name in item)
    return {
        name: _joined([item[name] for item in tuples if item.get(name, MISSING) is not MISSING])
        for name in names
    }
