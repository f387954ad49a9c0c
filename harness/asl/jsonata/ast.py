"""The syntax tree, in the form that is evaluated.

The parser's tree has a node for every operator. Here chains of ``.`` become paths of steps, predicates and
groups hang on the step they belong to, calls in tail position become thunks, and every ``%`` gets a slot: the
name of the variable in which the step that it is about keeps the value it came from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from harness.asl.jsonata.errors import JsonataError
from harness.asl.jsonata.signature import Signature

__all__ = ["Node", "Slot", "process"]


@dataclass(slots=True)
class Slot:
    """Where a step keeps the value that a ``%`` refers to.

    Attributes:
        label: Name of the variable.
        level: How many steps up it still has to go.
    """

    label: str
    level: int = 1


@dataclass(slots=True, eq=False)
class Node:
    """A node; which attributes it uses depends on its type."""

    type: str
    value: Any = None
    left: Node | None = None
    right: Node | None = None
    parts: list[Node] = field(default_factory=list)
    """Steps of a path, elements, arguments, expressions of a block, parameters of a lambda."""
    pairs: list[tuple[Node, Node]] | None = None
    """Members of an object: (name, value)."""
    terms: list[tuple[Node, bool]] = field(default_factory=list)
    """Of a sort: (expression, whether descending)."""
    condition: Node | None = None
    """Condition of ``? :`` and pattern of a transformation; `left` and `right` are its two branches, its
    update and deletion."""
    predicates: list[Node] = field(default_factory=list)
    stages: list[Node] = field(default_factory=list)
    """What follows a step of a path: nodes of type ``filter`` (`left`) and ``index`` (`value`)."""
    group: Node | None = None
    signature: Signature | None = None
    keep_array: bool = False
    keep_singleton: bool = False
    is_cons: bool = False
    is_tuple: bool = False
    is_thunk: bool = False
    focus: str | None = None
    index: str | None = None
    ancestor: Slot | None = None
    slot: Slot | None = None
    seeking: list[Slot] | None = None

    def children(self) -> Iterator[tuple[Node, bool]]:
        """(node that hangs on this one, whether it is evaluated with the same context value)."""
        if self.condition is not None:
            yield self.condition, self.type != "transform"
        for node in (self.left, self.right):
            if node is not None:
                yield node, self.type not in ("transform", "filter")
        for index, node in enumerate(self.parts):
            yield node, self.type != "path" or index == 0
        for name, value in self.pairs or ():
            yield name, self.type != "group"
            yield value, self.type != "group"
        for node, _ in self.terms:
            yield node, False
        for node in (*self.predicates, *self.stages):
            yield node, False
        if self.group is not None:
            yield self.group, False


def process(tree: Node) -> Node:
    """The form of a parsed expression that is evaluated.

    Raises:
        JsonataError: Its parts do not go together.
    """
    node = _Processor().process(tree)
    if node.type == "parent" or node.seeking is not None:
        raise JsonataError("S0217")
    return node


class _Processor:
    def __init__(self) -> None:
        self._slots = 0

    def process(self, node: Node) -> Node:
        method = getattr(self, f"_{node.type}", None)
        result: Node = node if method is None else method(node)
        if node.keep_array:
            result.keep_array = True
        return result

    # Operators -----------------------------------------------------------------------------------------

    def _binary(self, node: Node) -> Node:
        method = _OPERATORS.get(node.value)
        if method is not None:
            return method(self, node)
        assert node.left is not None
        assert node.right is not None
        result = Node("binary", node.value, self.process(node.left), self.process(node.right))
        _inherit(result, result.left)
        _inherit(result, result.right)
        return result

    def _map(self, node: Node) -> Node:
        assert node.left is not None
        assert node.right is not None
        left = self.process(node.left)
        path = left if left.type == "path" else Node("path", parts=[left])
        if left.type == "parent":
            assert left.slot is not None
            path.seeking = [left.slot]
        right = self.process(node.right)
        if right.type == "path":
            path.parts += right.parts
        else:
            right.stages += right.predicates
            right.predicates = []
            path.parts.append(right)
        for step in path.parts:
            if step.type in ("number", "value"):
                raise JsonataError("S0213", value=step.value)
            if step.type == "string":
                step.type = "name"
            if step.keep_array:
                path.keep_singleton = True
        for step in (path.parts[0], path.parts[-1]):
            if step.type == "array":
                step.is_cons = True
        _resolve(path)
        return path

    def _predicate(self, node: Node) -> Node:
        assert node.left is not None
        assert node.right is not None
        result = self.process(node.left)
        step = result.parts[-1] if result.type == "path" else result
        if step.group is not None:
            raise JsonataError("S0209")
        predicate = self.process(node.right)
        if predicate.seeking is not None:
            for slot in predicate.seeking:
                if slot.level == 1:
                    _seek(step, slot)
                else:
                    slot.level -= 1
            _inherit(step, predicate)
        stages = step.stages if result.type == "path" else step.predicates
        stages.append(Node("filter", left=predicate))
        return result

    def _group(self, node: Node) -> Node:
        assert node.left is not None
        assert node.pairs is not None
        result = self.process(node.left)
        if result.group is not None:
            raise JsonataError("S0210")
        pairs = [(self.process(name), self.process(value)) for name, value in node.pairs]
        result.group = Node("group", pairs=pairs)
        return result

    def _order(self, node: Node) -> Node:
        assert node.left is not None
        result = self.process(node.left)
        if result.type != "path":
            result = Node("path", parts=[result])
        step = Node("sort")
        for expression, descending in node.terms:
            term = self.process(expression)
            _inherit(step, term)
            step.terms.append((term, descending))
        result.parts.append(step)
        _resolve(result)
        return result

    def _bind(self, node: Node) -> Node:
        assert node.left is not None
        assert node.right is not None
        result = Node("bind", node.left.value, right=self.process(node.right))
        _inherit(result, result.right)
        return result

    def _focus(self, node: Node) -> Node:
        assert node.left is not None
        assert node.right is not None
        result = self.process(node.left)
        step = result.parts[-1] if result.type == "path" else result
        if step.stages or step.predicates:
            raise JsonataError("S0215")
        if step.type == "sort":
            raise JsonataError("S0216")
        if node.keep_array:
            step.keep_array = True
        step.focus = node.right.value
        step.is_tuple = True
        return result

    def _index(self, node: Node) -> Node:
        assert node.left is not None
        assert node.right is not None
        result = self.process(node.left)
        if result.type == "path":
            step = result.parts[-1]
        else:
            step = result
            step.stages += step.predicates
            step.predicates = []
            result = Node("path", parts=[step])
        if step.stages:
            step.stages.append(Node("index", node.right.value))
        else:
            step.index = node.right.value
        step.is_tuple = True
        return result

    def _apply(self, node: Node) -> Node:
        assert node.left is not None
        assert node.right is not None
        result = Node("apply", left=self.process(node.left), right=self.process(node.right))
        assert result.left is not None
        assert result.right is not None
        result.keep_array = result.left.keep_array or result.right.keep_array
        return result

    # Everything else -----------------------------------------------------------------------------------

    def _array(self, node: Node) -> Node:
        result = Node("array")
        for element in node.parts:
            result.parts.append(self.process(element))
            _inherit(result, result.parts[-1])
        return result

    def _object(self, node: Node) -> Node:
        result = Node("object", pairs=[])
        for name, value in node.pairs or ():
            pair = self.process(name), self.process(value)
            _inherit(result, pair[0])
            _inherit(result, pair[1])
            assert result.pairs is not None
            result.pairs.append(pair)
        return result

    def _negate(self, node: Node) -> Node:
        assert node.left is not None
        operand = self.process(node.left)
        if operand.type == "number":
            operand.value = -operand.value
            return operand
        result = Node("negate", left=operand)
        _inherit(result, operand)
        return result

    def _function(self, node: Node) -> Node:
        assert node.left is not None
        result = Node(node.type)
        for argument in node.parts:
            result.parts.append(self.process(argument))
            _inherit(result, result.parts[-1])
        result.left = self.process(node.left)
        return result

    _partial = _function

    def _lambda(self, node: Node) -> Node:
        assert node.left is not None
        body = _in_tail_position(self.process(node.left))
        return Node("lambda", left=body, parts=node.parts, signature=node.signature)

    def _condition(self, node: Node) -> Node:
        assert node.condition is not None
        assert node.left is not None
        result = Node("condition", condition=self.process(node.condition), left=self.process(node.left))
        if node.right is not None:
            result.right = self.process(node.right)
        for part in (result.condition, result.left, result.right):
            _inherit(result, part)
        return result

    def _transform(self, node: Node) -> Node:
        assert node.condition is not None
        assert node.left is not None
        result = Node("transform", condition=self.process(node.condition), left=self.process(node.left))
        result.right = self.process(node.right) if node.right is not None else None
        return result

    def _block(self, node: Node) -> Node:
        result = Node("block")
        for expression in node.parts:
            part = self.process(expression)
            _inherit(result, part)
            if part.is_cons or (part.type == "path" and part.parts[0].is_cons):
                result.is_cons = True
            result.parts.append(part)
        return result

    def _name(self, node: Node) -> Node:
        return Node("path", parts=[node], keep_singleton=node.keep_array)

    def _parent(self, node: Node) -> Node:
        self._slots += 1
        return Node("parent", slot=Slot(f"!{self._slots}"))

    def _operator(self, node: Node) -> Node:
        if node.value in ("and", "or", "in"):
            node.type = "name"
            return self.process(node)
        if node.value == "?":
            return node
        raise JsonataError("S0201", token=node.value)

    def _end(self, node: Node) -> Node:
        raise JsonataError("S0207")


_OPERATORS = {
    ".": _Processor._map,
    "[": _Processor._predicate,
    "{": _Processor._group,
    "^": _Processor._order,
    ":=": _Processor._bind,
    "@": _Processor._focus,
    "#": _Processor._index,
    "~>": _Processor._apply,
}


def _in_tail_position(node: Node) -> Node:
    """Put off calls that are the last thing a function does, so that recursion through them is a loop."""
    if node.type == "function" and not node.predicates:
        return Node("lambda", left=node, is_thunk=True)
    if node.type == "condition":
        assert node.left is not None
        node.left = _in_tail_position(node.left)
        node.right = _in_tail_position(node.right) if node.right is not None else None
    elif node.type == "block" and node.parts:
        node.parts[-1] = _in_tail_position(node.parts[-1])
    return node


# Parents ---------------------------------------------------------------------------------------------------


def _inherit(node: Node, part: Node | None) -> None:
    """Make a node seek the parents that a part of it seeks."""
    if part is None or (part.seeking is None and part.type != "parent"):
        return
    slots = part.seeking if part.seeking is not None else []
    if part.type == "parent":
        assert part.slot is not None
        slots.append(part.slot)
    if node.seeking is None:
        node.seeking = slots
    else:
        node.seeking += slots


def _resolve(path: Node) -> None:
    """Find the steps of a path that are the parents which its last step seeks."""
    last = path.parts[-1]
    slots = last.seeking if last.seeking is not None else []
    if last.type == "parent":
        assert last.slot is not None
        slots.append(last.slot)
    for slot in list(slots):
        index = len(path.parts) - 2
        while slot.level > 0:
            if index < 0:
                path.seeking = [*(path.seeking or ()), slot]
                break
            step = path.parts[index]
            index -= 1
            while index >= 0 and step.focus and path.parts[index].focus:
                step = path.parts[index]
                index -= 1
            slot = _seek(step, slot)


def _seek(node: Node, slot: Slot) -> Slot:
    """Go one step up.

    Raises:
        JsonataError: The step is of a kind that has no parent.
    """
    if node.type in ("name", "wildcard"):
        slot.level -= 1
        if slot.level == 0:
            if node.ancestor is not None:
                slot.label = node.ancestor.label
            node.ancestor = slot
            node.is_tuple = True
    elif node.type == "parent":
        slot.level += 1
    elif node.type == "block":
        if node.parts:
            node.is_tuple = True
            slot = _seek(node.parts[-1], slot)
    elif node.type == "path":
        node.is_tuple = True
        index = len(node.parts) - 1
        slot = _seek(node.parts[index], slot)
        while slot.level > 0 and index > 0:
            index -= 1
            slot = _seek(node.parts[index], slot)
    else:
        raise JsonataError("S0217")
    return slot
