"""Evaluating syntax trees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from harness.asl.jsonata.ast import Node
from harness.asl.jsonata.base import Frame
from harness.asl.jsonata.budget import MAX_DEPTH
from harness.asl.jsonata.calls import Calls, Matcher, Native
from harness.asl.jsonata.errors import InternalError, JsonataError
from harness.asl.jsonata.operators import OPERATORS
from harness.asl.jsonata.steps import Steps
from harness.asl.jsonata.values import MISSING, Array, Function, is_number, number, truth

__all__ = ["Evaluator"]


class Evaluator(Steps, Calls):
    """Evaluates all types of nodes."""

    def evaluate(self, node: Node, context: Any, frame: Frame) -> Any:
        budget = self.budget
        budget.depth += 1
        if budget.depth > MAX_DEPTH:
            raise budget.too_deep()
        budget.steps -= 1
        if budget.steps < 0:
            budget.work(0)
        result = _NODES[node.type](self, node, context, frame)
        for predicate in node.predicates:
            assert predicate.left is not None
            result = self._filter(predicate.left, result, frame)
        if node.group is not None and node.type != "path":
            result = self._members(node.group, result, frame)
        budget.depth -= 1
        if type(result) is Array and result.is_sequence and not result.is_tuples:
            if node.keep_array:
                result.keep_singleton = True
            if not result:
                return MISSING
            if len(result) == 1 and not result.keep_singleton:
                return result[0]
        return result

    # Operators -----------------------------------------------------------------------------------------

    def _binary(self, node: Node, context: Any, frame: Frame) -> Any:
        assert node.left is not None
        assert node.right is not None
        left = self.evaluate(node.left, context, frame)
        try:
            if node.value == "and":
                return truth(left) and truth(self.evaluate(node.right, context, frame))
            if node.value == "or":
                return truth(left) or truth(self.evaluate(node.right, context, frame))
        except JsonataError as error:
            error.details["token"] = node.value
            raise
        right = self.evaluate(node.right, context, frame)
        try:
            return OPERATORS[node.value](self.budget, left, right)
        except JsonataError as error:
            error.details["token"] = node.value
            raise

    def _negate(self, node: Node, context: Any, frame: Frame) -> Any:
        assert node.left is not None
        value = self.evaluate(node.left, context, frame)
        if value is MISSING:
            return MISSING
        if not is_number(value):
            raise JsonataError("D1002", token="-", value=value)
        return number(-value)

    def _array(self, node: Node, context: Any, frame: Frame) -> Any:
        result = Array()
        size = 0
        for part in node.parts:
            value = self.evaluate(part, context, frame)
            if value is MISSING:
                continue
            size = self.budget.add(size, value)
            if part.type == "array" or not isinstance(value, list):
                result.append(value)
            else:
                result += value
        result.is_cons = node.is_cons
        return self.budget.keep(result)

    def _condition(self, node: Node, context: Any, frame: Frame) -> Any:
        assert node.condition is not None
        branch = node.left if truth(self.evaluate(node.condition, context, frame)) else node.right
        return MISSING if branch is None else self.evaluate(branch, context, frame)

    def _block(self, node: Node, context: Any, frame: Frame) -> Any:
        scope = Frame(frame)
        result: Any = MISSING
        for expression in node.parts:
            result = self.evaluate(expression, context, scope)
        return result

    def _bind(self, node: Node, context: Any, frame: Frame) -> Any:
        assert node.right is not None
        value = self.evaluate(node.right, context, frame)
        frame.bindings[node.value] = value
        return value

    def _literal(self, node: Node, context: Any, frame: Frame) -> Any:
        return node.value

    def _variable(self, node: Node, context: Any, frame: Frame) -> Any:
        return frame.lookup(node.value) if node.value else context

    def _regex(self, node: Node, context: Any, frame: Frame) -> Any:
        return Matcher(node.value)

    def _transform(self, node: Node, context: Any, frame: Frame) -> Any:
        return Native(lambda _, value: self._transformed(node, value, frame), "<(oa):o>")

    def _transformed(self, node: Node, value: Any, frame: Frame) -> Any:
        assert node.condition is not None
        assert node.left is not None
        if value is MISSING:
            return MISSING
        clone = frame.lookup("clone")
        if not isinstance(clone, Function):
            raise JsonataError("T2013")
        result = self.apply(clone, [value])
        matches = self.evaluate(node.condition, result, frame)
        if matches is MISSING:
            return result
        for match in matches if isinstance(matches, list) else [matches]:
            update = self.evaluate(node.left, match, frame)
            if update is not MISSING:
                if not isinstance(update, dict):
                    raise JsonataError("T2011", value=update)
                if isinstance(match, dict):
                    match.update(update)
                    self.budget.keep(update)
                elif update:
                    raise InternalError
            if node.right is None:
                continue
            names = self.evaluate(node.right, match, frame)
            if names is MISSING:
                continue
            listed = names if isinstance(names, list) else [names]
            if not all(isinstance(name, str) for name in listed):
                raise JsonataError("T2012", value=names)
            if isinstance(match, dict):
                for name in listed:
                    match.pop(name, None)
        return result


_NODES: Final[dict[str, Callable[[Evaluator, Node, Any, Frame], Any]]] = {
    "apply": Evaluator._apply,
    "array": Evaluator._array,
    "binary": Evaluator._binary,
    "bind": Evaluator._bind,
    "block": Evaluator._block,
    "condition": Evaluator._condition,
    "descendant": Evaluator._descendant,
    "function": Evaluator._function,
    "lambda": Evaluator._lambda,
    "name": Evaluator._name,
    "negate": Evaluator._negate,
    "number": Evaluator._literal,
    "object": Evaluator._members,
    "parent": Evaluator._parent,
    "partial": Evaluator._partial,
    "path": Evaluator._path,
    "regex": Evaluator._regex,
    "string": Evaluator._literal,
    "transform": Evaluator._transform,
    "value": Evaluator._literal,
    "variable": Evaluator._variable,
    "wildcard": Evaluator._wildcard,
}
