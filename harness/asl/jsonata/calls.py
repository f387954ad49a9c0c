"""Functions, and calls of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from harness.asl.jsonata.ast import Node
from harness.asl.jsonata.base import Evaluation, Frame
from harness.asl.jsonata.errors import JsonataError
from harness.asl.jsonata.signature import Signature
from harness.asl.jsonata.values import MISSING, Array, Function, Object, is_number
from harness.asl.regex import Regex

__all__ = ["Calls", "Matcher", "Native"]


class Native(Function):
    """A function that is not written in the language.

    Args:
        run: The implementation: takes the evaluator, then the arguments.
        signature: Which arguments it takes.
        arity: How many arguments a higher-order function gives it; None for all of its parameters.
    """

    def __init__(self, run: Callable[..., Any], signature: str, arity: int | None = None) -> None:
        self.run = run
        self.signature = Signature(signature)
        self.arity = self.signature.length if arity is None else arity


class Lambda(Function):
    """A function that is written in the language, with the scope it was made in. A *thunk* is a call that has
    been put off: it is made by whoever gets it as a result."""

    def __init__(self, node: Node, context: Any, frame: Frame) -> None:
        assert node.left is not None
        self.body = node.left
        self.parameters = [parameter.value for parameter in node.parts]
        self.signature = node.signature
        self.is_thunk = node.is_thunk
        self.context = context
        self.frame = frame
        self.arity = len(self.parameters)


class Partial(Function):
    """A function some of whose arguments are given: ``$f(?, 2)``.

    Args:
        function: The function.
        arguments: Its arguments; `HOLE` for those that are still to come.
    """

    def __init__(self, function: Function, arguments: Sequence[Any]) -> None:
        self.function = function
        missing = [MISSING] * (function.arity - len(arguments))
        self.arguments = [*arguments[: function.arity], *missing]
        self.arity = sum(argument is HOLE for argument in self.arguments)


HOLE: Final = object()


class Matcher(Function):
    """A regular expression; invoked with a text it gives the first match: ``{match, start, end, groups,
    next}``, of which the last is a function that gives the next one."""

    arity = 2
    is_object = False

    def __init__(self, regex: Regex) -> None:
        self.regex = regex


class NextMatch(Function):
    """Finds the match after another one."""

    is_object = False

    def __init__(self, regex: Regex, text: str, start: int) -> None:
        self.regex = regex
        self.text = text
        self.start = start


class Chain(Function):
    """Two functions, one after the other: ``$f ~> $g``."""

    arity = 1

    def __init__(self, first: Function, second: Function) -> None:
        self.first = first
        self.second = second


class Calls(Evaluation):
    """Evaluates what makes and calls functions."""

    def _lambda(self, node: Node, context: Any, frame: Frame) -> Any:
        return Lambda(node, context, frame)

    def _function(self, node: Node, context: Any, frame: Frame) -> Any:
        return self._invoke(node, context, frame, [])

    def _invoke(self, node: Node, context: Any, frame: Frame, first: list[Any]) -> Any:
        """Make a call.

        Args:
            node: The call.
            context: The context value.
            frame: The scope.
            first: Arguments that go before those of the call.
        """
        function, name = self._procedure(node, context, frame, "T1005")
        arguments = first + [self.evaluate(argument, context, frame) for argument in node.parts]
        try:
            return self.apply(function, arguments, context)
        except JsonataError as error:
            if name is not None:
                error.details.setdefault("token", name)
            raise

    def _procedure(self, node: Node, context: Any, frame: Frame, hint: str) -> tuple[Any, Any]:
        """(what is called, the name it is called by).

        Raises:
            JsonataError: The call names a function that exists, but without the dollar sign.
        """
        procedure = node.left
        assert procedure is not None
        function = self.evaluate(procedure, context, frame)
        name = procedure.parts[0].value if procedure.type == "path" else procedure.value
        if (
            function is MISSING
            and procedure.type == "path"
            and isinstance(name, str)
            and frame.lookup(name) not in (MISSING, None, False, 0, "")
        ):
            raise JsonataError(hint, token=name)
        return function, name

    def _apply(self, node: Node, context: Any, frame: Frame) -> Any:
        assert node.left is not None
        assert node.right is not None
        left = self.evaluate(node.left, context, frame)
        if node.right.type == "function":
            return self._invoke(node.right, context, frame, [left])
        function = self.evaluate(node.right, context, frame)
        if not isinstance(function, Function):
            raise JsonataError("T2006", value=function)
        if isinstance(left, Function):
            return Chain(left, function)
        try:
            return self.apply(function, [left])
        except JsonataError as error:
            if node.right.type == "variable":
                error.details.setdefault("token", node.right.value)
            raise

    def _partial(self, node: Node, context: Any, frame: Frame) -> Any:
        arguments = [
            HOLE if part.type == "operator" else self.evaluate(part, context, frame) for part in node.parts
        ]
        function, name = self._procedure(node, context, frame, "T1007")
        if not isinstance(function, Function):
            raise JsonataError("T1008", token=name)
        return Partial(function, arguments)

    def apply(self, function: Any, arguments: Sequence[Any], context: Any = None) -> Any:
        """The result of a call.

        Raises:
            JsonataError: It is no function, the arguments do not fit, or it fails.
        """
        result = self._call(function, arguments, context)
        while isinstance(result, Lambda) and result.is_thunk:
            call = result.body
            assert call.left is not None
            following = self.evaluate(call.left, result.context, result.frame)
            arguments = [self.evaluate(part, result.context, result.frame) for part in call.parts]
            try:
                result = self._call(following, arguments, context)
            except JsonataError as error:
                if call.left.type == "variable":
                    error.details.setdefault("token", call.left.value)
                raise
        return result

    def _call(self, function: Any, arguments: Sequence[Any], context: Any) -> Any:
        if isinstance(function, Native):
            return function.run(self, *function.signature.validate(arguments, context))
        if isinstance(function, Lambda):
            if function.signature is not None:
                arguments = function.signature.validate(arguments, context)
            return self._run(function, arguments)
        if isinstance(function, Partial):
            given = iter(arguments)
            filled = [next(given, MISSING) if part is HOLE else part for part in function.arguments]
            return self._bare(function.function, filled)
        if isinstance(function, Matcher):
            text, start = [*arguments, MISSING, MISSING][:2]
            return self.match(function.regex, text, start if is_number(start) else 0)
        if isinstance(function, NextMatch):
            if function.start >= len(function.text):
                return MISSING
            found = self.match(function.regex, function.text, function.start)
            if found is not MISSING and found["match"] == "":
                raise JsonataError("D1004", value=function.regex.source)
            return found
        if isinstance(function, Chain):
            return self.apply(function.second, [self.apply(function.first, arguments)])
        raise JsonataError("T1006")

    def _bare(self, function: Function, arguments: Sequence[Any]) -> Any:
        """A call of a function without regard to its signature."""
        if isinstance(function, Native):
            return function.run(self, *arguments)
        if isinstance(function, Lambda):
            return self._run(function, arguments)
        return self.apply(function, arguments)

    def _run(self, function: Lambda, arguments: Sequence[Any]) -> Any:
        frame = Frame(function.frame)
        for index, name in enumerate(function.parameters):
            frame.bindings[name] = arguments[index] if index < len(arguments) else MISSING
        return self.evaluate(function.body, function.context, frame)

    def match(self, regex: Regex, text: Any, start: float) -> Any:
        """The first match of a regular expression in a text at or after `start`: see `Matcher`."""
        if not isinstance(text, str):
            raise JsonataError("T1010")
        found = regex.search(text, int(start), self.budget)
        if found is None:
            return MISSING
        first, last = found.span
        groups = Array(MISSING if group is None else text[group[0] : group[1]] for group in found.groups)
        following = NextMatch(regex, text, last)
        return Object(
            {"match": text[first:last], "start": first, "end": last, "groups": groups, "next": following}
        )
