"""CloudFormation's intrinsic functions, evaluated."""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

__all__ = ["NO_VALUE", "EvaluationError", "Evaluator", "Scope", "references"]

SUB = re.compile(r"\$\{(!?)([^${}]*)\}")
"""A variable of Fn::Sub; ``${!Name}`` stands for the text ``${Name}``."""


class _NoValue:
    """What ``Ref: AWS::NoValue`` yields: the property or list item it stands for is left out."""


NO_VALUE = _NoValue()


class EvaluationError(Exception):
    """An intrinsic function cannot be evaluated.

    Attributes:
        message: Why.
        unsupported: It is valid, but not supported here.
    """

    def __init__(self, message: str, *, unsupported: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.unsupported = unsupported


class Scope(Protocol):
    """What names stand for."""

    def ref(self, name: str) -> Any:
        """The value of a parameter, a pseudo parameter or a resource's physical id."""

    def attribute(self, logical_id: str, name: str) -> Any:
        """A resource's attribute."""

    def condition(self, name: str) -> bool:
        """Whether a condition holds."""

    def mapping(self, *keys: str) -> Any:
        """A value of the Mappings section."""

    def zones(self, region: str) -> list[str]:
        """A region's availability zones."""


class Evaluator:
    """Replaces intrinsic functions by their values.

    Args:
        scope: What names stand for.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Condition": self._condition,
            "Fn::And": lambda value: all(self._boolean(item) for item in self._items("Fn::And", value)),
            "Fn::Base64": lambda value: base64.b64encode(self._text("Fn::Base64", value).encode()).decode(),
            "Fn::Cidr": self._cidr,
            "Fn::Equals": self._equals,
            "Fn::FindInMap": self._find_in_map,
            "Fn::GetAZs": lambda value: scope.zones(self._text("Fn::GetAZs", value)),
            "Fn::GetAtt": self._get_att,
            "Fn::If": self._if,
            "Fn::Join": self._join,
            "Fn::Length": lambda value: len(self._list("Fn::Length", value)),
            "Fn::Not": lambda value: not self._boolean(self._arguments("Fn::Not", value, 1)[0]),
            "Fn::Or": lambda value: any(self._boolean(item) for item in self._items("Fn::Or", value)),
            "Fn::Select": self._select,
            "Fn::Split": self._split,
            "Fn::Sub": self._sub,
            "Fn::ToJsonString": lambda value: json.dumps(self.evaluate(value), separators=(",", ":")),
        }

    def evaluate(self, value: Any) -> Any:
        """The value with every intrinsic function in it replaced.

        Raises:
            EvaluationError: One of them cannot be evaluated.
        """
        if isinstance(value, dict):
            function = _function_name(value)
            if function is not None:
                return self._call(function, value[function])
            evaluated = ((key, self.evaluate(item)) for key, item in value.items())
            return {key: item for key, item in evaluated if item is not NO_VALUE}
        if isinstance(value, list):
            return [item for item in map(self.evaluate, value) if item is not NO_VALUE]
        return value

    def _call(self, function: str, argument: Any) -> Any:
        implementation = self._functions.get(function)
        if implementation is None:
            raise EvaluationError(f"{function} is not supported", unsupported=True)
        return implementation(argument)

    # The functions -----------------------------------------------------------------------------------

    def _ref(self, name: Any) -> Any:
        if not isinstance(name, str):
            raise EvaluationError("Ref takes a name")
        return NO_VALUE if name == "AWS::NoValue" else self._scope.ref(name)

    def _condition(self, name: Any) -> bool:
        if not isinstance(name, str):
            raise EvaluationError("Condition takes a name")
        return bool(self._scope.condition(name))

    def _equals(self, value: Any) -> bool:
        left, right = (self.evaluate(item) for item in self._arguments("Fn::Equals", value, 2))
        return bool(_plain(left) == _plain(right))

    def _if(self, value: Any) -> Any:
        condition, yes, no = self._arguments("Fn::If", value, 3)
        return self.evaluate(yes if self._condition(condition) else no)

    def _get_att(self, value: Any) -> Any:
        parts = value.split(".", 1) if isinstance(value, str) else value
        if not (isinstance(parts, list) and len(parts) == 2 and isinstance(parts[0], str)):
            raise EvaluationError("Fn::GetAtt takes a logical id and an attribute")
        return self._scope.attribute(parts[0], self._text("Fn::GetAtt", parts[1]))

    def _find_in_map(self, value: Any) -> Any:
        keys = self._arguments("Fn::FindInMap", value, 3)
        return self._scope.mapping(*(self._text("Fn::FindInMap", key) for key in keys))

    def _join(self, value: Any) -> str:
        separator, items = self._arguments("Fn::Join", value, 2)
        if not isinstance(separator, str):
            raise EvaluationError("Fn::Join takes a text and a list")
        return separator.join(_plain_text("Fn::Join", item) for item in self._list("Fn::Join", items))

    def _select(self, value: Any) -> Any:
        index, items = self._arguments("Fn::Select", value, 2)
        number = self._text("Fn::Select", index)
        choices = self._list("Fn::Select", items)
        if not number.isdecimal() or int(number) >= len(choices):
            raise EvaluationError(f"Fn::Select: there is no item {number} in a list of {len(choices)}")
        return choices[int(number)]

    def _split(self, value: Any) -> list[str]:
        separator, text = self._arguments("Fn::Split", value, 2)
        if not isinstance(separator, str) or not separator:
            raise EvaluationError("Fn::Split takes a separator and a text")
        return self._text("Fn::Split", text).split(separator)

    def _sub(self, value: Any) -> str:
        if isinstance(value, str):
            text, variables = value, {}
        else:
            text, variables = self._arguments("Fn::Sub", value, 2)
        if not isinstance(text, str) or not isinstance(variables, dict):
            raise EvaluationError("Fn::Sub takes a text, or a text and a mapping")

        def replace(match: re.Match[str]) -> str:
            literal, name = match[1], match[2].strip()
            if literal:
                return f"${{{match[2]}}}"
            if name in variables:
                return self._text("Fn::Sub", variables[name])
            if "." in name:
                return _plain_text("Fn::Sub", self._get_att(name))
            return _plain_text("Fn::Sub", self._ref(name))

        return SUB.sub(replace, text)

    def _cidr(self, value: Any) -> list[str]:
        if not isinstance(value, list) or len(value) not in (2, 3):
            raise EvaluationError("Fn::Cidr takes a block, a count and the bits of a subnet")
        block, count, *bits = (self._text("Fn::Cidr", item) for item in value)
        try:
            network = ipaddress.ip_network(block)
            subnets = network.subnets(new_prefix=network.max_prefixlen - int(bits[0] if bits else 8))
            return [str(subnet) for subnet, _ in zip(subnets, range(int(count)), strict=False)]
        except ValueError as error:
            raise EvaluationError(f"Fn::Cidr: {error}") from error

    # Arguments ---------------------------------------------------------------------------------------

    def _arguments(self, function: str, value: Any, count: int) -> list[Any]:
        if not isinstance(value, list) or len(value) != count:
            raise EvaluationError(f"{function} takes a list of {count}")
        return value

    def _items(self, function: str, value: Any) -> list[Any]:
        if not isinstance(value, list) or not 2 <= len(value) <= 10:
            raise EvaluationError(f"{function} takes a list of 2 to 10 conditions")
        return value

    def _boolean(self, value: Any) -> bool:
        result = self.evaluate(value)
        if not isinstance(result, bool):
            raise EvaluationError(f"expected a condition, not {json.dumps(result)}")
        return result

    def _text(self, function: str, value: Any) -> str:
        return _plain_text(function, self.evaluate(value))

    def _list(self, function: str, value: Any) -> list[Any]:
        result = self.evaluate(value)
        if not isinstance(result, list):
            raise EvaluationError(f"{function} takes a list, not {json.dumps(result)}")
        return result


def references(value: Any) -> Iterator[str]:
    """Names of resources and parameters that a value refers to by Ref, Fn::GetAtt and Fn::Sub."""
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    if not isinstance(value, dict):
        return
    function = _function_name(value)
    argument = value[function] if function else None
    if function == "Ref" and isinstance(argument, str):
        yield argument
        return
    if function == "Fn::GetAtt":
        target = (
            argument.partition(".")[0] if isinstance(argument, str) else argument[0] if argument else None
        )
        if isinstance(target, str):
            yield target
        return
    if function == "Fn::Sub":
        text, variables = argument if isinstance(argument, list) and len(argument) == 2 else (argument, {})
        if isinstance(text, str):
            for literal, name in SUB.findall(text):
                if not literal and name.strip() not in variables:
                    yield name.strip().partition(".")[0]
        yield from references(variables)
        return
    for item in value.values():
        yield from references(item)


def _function_name(value: Mapping[str, Any]) -> str | None:
    if len(value) == 1:
        name = next(iter(value))
        if name == "Ref" or name.startswith("Fn::"):
            return name
        # IAM policies have a key Condition, too; the function's argument is a name, theirs a mapping.
        if name == "Condition" and isinstance(value[name], str):
            return name
    return None


def _plain(value: Any) -> Any:
    """Parameters are texts, literals may be numbers or booleans; CloudFormation compares them as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _plain_text(function: str, value: Any) -> str:
    plain = _plain(value)
    if not isinstance(plain, str):
        kind = "nothing" if value is NO_VALUE or value is None else type(value).__name__
        raise EvaluationError(f"{function} takes texts, not {kind}")
    return plain
