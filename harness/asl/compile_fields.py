"""Fields that several types of state have, compiled: paths, numbers, texts and times, in both languages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from harness.asl.diagnostics import Place
from harness.asl.errors import Fault
from harness.asl.frame import Frame
from harness.asl.jsonata import Expression, expression_in
from harness.asl.jsonpath.path import DOCUMENT, Key, Path, PathSyntaxError, parse_path
from harness.asl.jsonpath.query import compile_path, compile_query, find
from harness.asl.payload import (
    Template,
    check_marks,
    compile_expression,
    jsonata_template,
    jsonpath_template,
)
from harness.asl.schema import JSONATA, Language
from harness.asl.scope import Reader
from harness.asl.tasks import JSON
from harness.asl.values import MISSING, is_number, json_text, type_name

__all__ = ["Fields", "Limits"]

T = TypeVar("T")

JSON_TYPES: dict[str, Callable[[JSON], bool]] = {
    "ARRAY": lambda value: isinstance(value, list),
    "BOOLEAN": lambda value: isinstance(value, bool),
    "INTEGER": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "NUMBER": is_number,
    "OBJECT": lambda value: isinstance(value, dict),
    "STRING": lambda value: isinstance(value, str),
}


@dataclass(frozen=True)
class Limits:
    """What a number must be.

    Attributes:
        least: The smallest it may be.
        most: The largest.
        whole: Whether it must be an integer.
    """

    least: float = 0
    most: float = 99_999_999
    whole: bool = True

    def allow(self, value: float) -> bool:
        return self.least <= value <= self.most


SECONDS = Limits(1)


class Fields:
    """An object of the definition, read field by field. Findings are reported as they turn up.

    Args:
        values: The object.
        place: Where it stands.
        language: Query language of the state it belongs to.
        prefix: Where it stands in that state, for error texts of JSONata: ``Catch[0]/`` or empty.
    """

    def __init__(
        self, values: Mapping[str, JSON], place: Place, language: Language, prefix: str = ""
    ) -> None:
        self.values = values
        self.place = place
        self.language = language
        self.prefix = prefix

    @property
    def is_jsonata(self) -> bool:
        return self.language == JSONATA

    def __contains__(self, name: str) -> bool:
        return name in self.values

    # Plain values --------------------------------------------------------------------------------------

    def _typed(self, name: str, kind: str) -> Any:
        value = self.values.get(name, MISSING)
        if value is MISSING:
            return None
        if not JSON_TYPES[kind](value):
            (self.place / name).error(f"Expected value of type {kind}, but was {type_name(value).upper()}")
            return None
        return value

    def text(self, name: str) -> str | None:
        value: str | None = self._typed(name, "STRING")
        return value

    def flag(self, name: str) -> bool | None:
        value: bool | None = self._typed(name, "BOOLEAN")
        return value

    def array(self, name: str) -> list[JSON] | None:
        value: list[JSON] | None = self._typed(name, "ARRAY")
        return value

    def object(self, name: str) -> dict[str, JSON] | None:
        value: dict[str, JSON] | None = self._typed(name, "OBJECT")
        return value

    def number(self, name: str, limits: Limits) -> float | None:
        value: float | None = self._typed(name, "INTEGER" if limits.whole else "NUMBER")
        if value is not None and not limits.allow(value):
            (self.place / name).error(f"Value must be between {limits.least:g} and {limits.most:.10g}")
            return None
        return value

    def exclude(self, *names: str) -> None:
        """Report more than one of these fields."""
        given = [name for name in names if name in self.values]
        if len(given) > 1:
            self.place.error(f"Only one of these fields is allowed: [{', '.join(given)}]")

    # Templates -----------------------------------------------------------------------------------------

    def template(self, name: str, *, error_output: bool = False) -> Template | None:
        """A payload template; None if the field is absent."""
        if name not in self.values:
            return None
        value, place = self.values[name], self.place / name
        if self.is_jsonata:
            return jsonata_template(value, place, self.prefix + name, error_output=error_output)
        return jsonpath_template(value, place)

    def object_template(self, name: str, *, error_output: bool = False) -> Template | None:
        """A payload template that is an object, such as Assign."""
        if name in self.values and self.object(name) is None:
            return None
        return self.template(name, error_output=error_output)

    def assign(self, *, error_output: bool = False) -> Template | None:
        """Assign, with the names of its variables checked."""
        for name in self.object("Assign") or {}:
            variable = name if self.is_jsonata else name.removesuffix(".$")
            identifier = variable.isidentifier() and len(variable) <= 80
            if not identifier or variable == "states":
                (self.place / "Assign").error(f"'{variable}' is not a valid variable name")
        return self.object_template("Assign", error_output=error_output)

    def expression(self, name: str) -> Expression | None:
        """The JSONata expression of a field; None if it has none or a malformed one."""
        value = self.values.get(name)
        text = expression_in(value) if self.is_jsonata and isinstance(value, str) else None
        return None if text is None else compile_expression(text, self.place / name, self.prefix + name)

    def has_expression(self, name: str) -> bool:
        value = self.values.get(name)
        return self.is_jsonata and isinstance(value, str) and expression_in(value) is not None

    # Paths ---------------------------------------------------------------------------------------------

    def path(self, name: str) -> Path | None:
        """The path of a field; None if the field is absent or no path."""
        text = self.text(name)
        if text is None:
            return None
        try:
            return parse_path(text)
        except PathSyntaxError:
            (self.place / name).error("Value is not a valid JSONPath")
            return None

    def reference_path(self, name: str) -> Path | None:
        """The path of a field that must name one node."""
        path = self.path(name)
        if path is not None and not path.is_reference:
            (self.place / name).error("Value is not a Reference Path")
            return None
        return path

    def filter_path(self, name: str) -> Reader | None:
        """InputPath or OutputPath; None for the identity. null stands for an empty object."""
        if self.values.get(name, MISSING) is None:
            return lambda document, scope: {}
        path = self.path(name)
        return None if path is None or path.is_root else compile_path(path, name)

    def result_path(self) -> tuple[tuple[Key, ...] | None, str]:
        """ResultPath: its keys, None for null, and its text."""
        if self.values.get("ResultPath", "$") is None:
            return None, "null"
        path = self.reference_path("ResultPath")
        if path is None:
            return (), "$"
        if path.root != DOCUMENT or path.keys is None:
            (self.place / "ResultPath").error("Value is not a Reference Path")
            return (), "$"
        return path.keys, path.text

    # Values worked out at run time ---------------------------------------------------------------------

    def seconds(self, name: str, limits: Limits) -> Callable[[JSON, Frame], float] | None:
        """A number of seconds: the field itself, an expression, or its ``Path`` form; None for none."""
        self.exclude(name, f"{name}Path")
        if f"{name}Path" in self.values:
            return self._number_at(f"{name}Path", limits)
        return self.count(name, limits)

    def count(self, name: str, limits: Limits) -> Callable[[JSON, Frame], float] | None:
        """A number: the field itself or an expression; None if there is none."""
        if self.has_expression(name):
            expression = self.expression(name)
            return None if expression is None else _number_from(expression, limits)
        value = self.number(name, limits)
        if value is None:
            return None
        return lambda data, frame: value

    def _number_at(self, name: str, limits: Limits) -> Callable[[JSON, Frame], float] | None:
        """A number that a path leads to. The texts are those of the recorded cases
        ``test_base_wait_seconds_path``."""
        path = self.reference_path(name)
        if path is None:
            return None
        text, read = path.text, find(path)

        def number(data: JSON, frame: Frame) -> float:
            value = read(data, frame)
            if value is MISSING:
                raise Fault(f"The {name} parameter does not reference an input value: {text}")
            if not JSON_TYPES["INTEGER"](value):
                raise Fault(
                    f"The {name} parameter cannot be parsed as a long value: {text} == {shown(value)}"
                )
            if value < 0:
                raise Fault(f"The {name} parameter references a negative value: {text} == {value}")
            if not limits.allow(value):
                raise Fault(
                    f"The {name} parameter must be between {limits.least:g} and {limits.most:.10g}: "
                    f"{text} == {value}"
                )
            return float(value)

        return number

    def words(self, name: str) -> Callable[[Frame], str] | None:
        """Error or Cause of a Fail state: the field itself, an expression, or its ``Path`` form."""
        self.exclude(name, f"{name}Path")
        if f"{name}Path" in self.values:
            return self._words_at(f"{name}Path")
        if self.has_expression(name):
            expression = self.expression(name)
            if expression is None:
                return None
            accepts = JSON_TYPES["STRING"]
            return lambda frame: str(expression.read_as("string", accepts, {}, frame))
        value = self.text(name)
        if value is None:
            return None
        if self.is_jsonata:
            check_marks(value, self.place / name)
        return lambda frame: value

    def _words_at(self, name: str) -> Callable[[Frame], str] | None:
        text = self.text(name)
        if text is None:
            return None
        try:
            read = compile_query(text, name).read
        except PathSyntaxError:
            (self.place / name).error("Value is not a valid JSONPath or a valid intrinsic function call")
            return None

        def words(frame: Frame) -> str:
            value = read(frame.data, frame)
            if not isinstance(value, str):
                raise Fault(f"The {name} parameter does not reference a string: {text} == {shown(value)}")
            return value

        return words


def _number_from(expression: Expression, limits: Limits) -> Callable[[JSON, Frame], float]:
    def accepts(value: JSON) -> bool:
        return is_number(value) and (not limits.whole or float(value).is_integer())

    def number(data: JSON, frame: Frame) -> float:
        value = float(expression.read_as("integer" if limits.whole else "number", accepts, {}, frame))
        if not limits.allow(value):
            raise expression.fault(
                f"returned a value that is not between {limits.least:g} and {limits.most:.10g}: {value:g}"
            )
        return value

    return number


def shown(value: JSON) -> str:
    """A value in an error text: strings bare, everything else as JSON."""
    return value if isinstance(value, str) else json_text(value)
