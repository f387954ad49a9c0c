"""Signatures of functions, such as ``<s-nn?:s>``: which types the arguments must be of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from harness.asl.jsonata.errors import JsonataError
from harness.asl.jsonata.values import MISSING, Array, Function

__all__ = ["Signature"]

_ARRAYS: Final = {
    "a": "arrays",
    "b": "booleans",
    "f": "functions",
    "n": "numbers",
    "o": "objects",
    "s": "strings",
}
_ACCEPTS: Final = {
    **{symbol: f"[{symbol}m]" for symbol in "snblo"},
    "a": "[asnblfom]",
    "f": "f",
    "j": "[asnblom]",
    "x": "[asnblfom]",
}


@dataclass(slots=True)
class _Parameter:
    """A parameter.

    Attributes:
        type: The symbol of its type.
        pattern: What symbols of arguments it takes, as a regular expression.
        context: What symbols the context value may have to stand in for it; None if it cannot.
        element: The symbol of the type that its elements must be of.
    """

    type: str
    pattern: str
    context: str | None = None
    element: str | None = None


def _symbol(value: Any) -> str:
    """The symbol of a value's type; ``m`` for undefined."""
    if isinstance(value, str):
        return "s"
    if isinstance(value, bool):
        return "b"
    if isinstance(value, int | float):
        return "n"
    if isinstance(value, list):
        return "a"
    if isinstance(value, dict):
        return "o"
    if isinstance(value, Function):
        return "f"
    return "l" if value is None else "m"


class Signature:
    """A function's signature.

    Args:
        text: As written: ``<`` parameters ``:`` result ``>``. The result is not checked.

    Raises:
        JsonataError: It is malformed.
    """

    def __init__(self, text: str) -> None:
        self._parameters = _parse(text)
        try:
            self._pattern = re.compile("".join(f"({p.pattern})" for p in self._parameters))
        except re.error:
            raise JsonataError("S0401") from None

    @property
    def length(self) -> int:
        """How many parameters there are."""
        return len(self._parameters)

    def validate(self, arguments: Sequence[Any], context: Any) -> list[Any]:
        """The arguments as the function takes them: the context value where one is left out, arrays of one
        element where an array is due.

        Raises:
            JsonataError: They do not fit.
        """
        supplied = "".join(map(_symbol, arguments))
        match = self._pattern.fullmatch(supplied)
        if match is None:
            raise self._mismatch(supplied)
        validated: list[Any] = []
        index = 0
        for parameter, symbols in zip(self._parameters, match.groups(), strict=True):
            if not symbols:
                if parameter.context is not None:
                    if not re.fullmatch(parameter.context, _symbol(context)):
                        raise JsonataError("T0411", index=index + 1)
                    validated.append(context)
                else:
                    validated.append(arguments[index] if index < len(arguments) else MISSING)
                    index += 1
                continue
            for symbol in symbols:
                argument = arguments[index]
                if parameter.type == "a" and symbol != "m":
                    argument = _as_array(argument, symbol, symbols, parameter, index)
                validated.append(argument)
                index += 1
        return validated

    def _mismatch(self, supplied: str) -> JsonataError:
        """The error that names the first argument that does not fit."""
        pattern = ""
        fitting = 0
        for parameter in self._parameters:
            pattern += parameter.pattern
            match = re.match(pattern, supplied)
            if match is None:
                break
            fitting = match.end()
        return JsonataError("T0410", index=fitting + 1)


def _as_array(argument: Any, symbol: str, symbols: str, parameter: _Parameter, index: int) -> Any:
    element = parameter.element
    if element is not None:
        if symbol != "a":
            fits = symbols == element
        else:
            fits = not argument or (
                _symbol(argument[0]) == element[:1] and len(set(map(_symbol, argument))) == 1
            )
        if not fits:
            details = {"type": _ARRAYS[element]} if element in _ARRAYS else {}
            raise JsonataError("T0412", index=index + 1, **details)
    return argument if symbol == "a" else Array([argument])


def _parse(text: str) -> list[_Parameter]:
    parameters: list[_Parameter] = []
    position = 1
    while position < len(text) and text[position] != ":":
        symbol = text[position]
        if symbol in _ACCEPTS:
            parameters.append(_Parameter(symbol, _ACCEPTS[symbol]))
        elif symbol == "(":
            end = _closing(text, position, "(", ")")
            choice = text[position + 1 : end]
            if "<" in choice:
                raise JsonataError("S0402")
            parameters.append(_Parameter(f"({choice})", f"[{re.escape(choice)}m]"))
            position = end
        elif symbol == "<":
            if not parameters or parameters[-1].type not in ("a", "f"):
                raise JsonataError("S0401")
            end = _closing(text, position, "<", ">")
            parameters[-1].element = text[position + 1 : end]
            position = end
        elif symbol in "-?+" and parameters:
            if symbol == "-":
                parameters[-1].context = parameters[-1].pattern
            parameters[-1].pattern += "?" if symbol == "-" else symbol
        position += 1
    return parameters


def _closing(text: str, start: int, opening: str, closing: str) -> int:
    depth = 1
    for position in range(start + 1, len(text)):
        depth += (text[position] == opening) - (text[position] == closing)
        if depth == 0:
            return position
    return len(text)
