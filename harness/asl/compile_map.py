"""Map states, compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from harness.asl.compile_fields import JSON_TYPES, Fields, Limits, shown
from harness.asl.diagnostics import UNSUPPORTED_FEATURE, Place
from harness.asl.distributed import DistributedMap
from harness.asl.errors import Fault, QueryFault
from harness.asl.frame import Frame
from harness.asl.jsonata import Expression
from harness.asl.map import InlineMap, Items, MapFields, MapState, Number
from harness.asl.paths import find
from harness.asl.retry import Policy
from harness.asl.schema import check_fields
from harness.asl.scope import Scope
from harness.asl.state import Flow, State
from harness.asl.tasks import JSON
from harness.asl.values import MISSING, is_number, json_text

__all__ = ["compile_map"]

CompileScope = Callable[[dict[str, JSON], Place, bool], State | None]
"""Compile the states of an item processor, which runs as EXPRESS executions or not; its first state, None if
there is none."""

_UNSUPPORTED: Final = ("ItemReader", "ItemBatcher", "ResultWriter")
_PROCESSOR: Final = {"Comment", "ProcessorConfig", "StartAt", "States"}
_DISTRIBUTED_ONLY: Final = (
    "Label",
    "ToleratedFailureCount",
    "ToleratedFailureCountPath",
    "ToleratedFailurePercentage",
    "ToleratedFailurePercentagePath",
)


def compile_map(
    name: str, fields: Fields, flow: Flow, policy: Policy, compile_scope: CompileScope
) -> MapState | None:
    """Compile a Map state; None, and findings, if it cannot be."""
    for field in _UNSUPPORTED:
        if field in fields:
            (fields.place / field).error(
                f"'{field}' of the Map state '{name}' is not supported yet", UNSUPPORTED_FEATURE
            )
    fields.exclude("ItemProcessor", "Iterator")
    key = "Iterator" if "Iterator" in fields else "ItemProcessor"
    if key not in fields:
        fields.place.error("These fields are required: [ItemProcessor]")
    processor = fields.object(key)
    if processor is None:
        return None
    place = fields.place / key
    check_fields(_PROCESSOR, processor, place)
    mode, express = _processor_config(Fields(processor, place, fields.language))
    first = compile_scope(processor, place, express)
    own = _own_fields(fields, first)
    if own is None:
        return None
    count, percentage = _tolerated(fields)
    if mode == "INLINE":
        for field in _DISTRIBUTED_ONLY:
            if field in fields:
                (fields.place / field).warn(f"'{field}' has no effect in a Map of mode INLINE")
        return InlineMap(name, flow, policy, own)
    label = fields.text("Label")
    if label is not None and not 0 < len(label) <= 40:
        (fields.place / "Label").error("Value must have 1 to 40 characters")
    return DistributedMap(
        name,
        flow,
        policy,
        own,
        label=label,
        express=express,
        tolerated_count=count,
        tolerated_percentage=percentage,
    )


def _processor_config(processor: Fields) -> tuple[str, bool]:
    """Mode, and whether child executions are EXPRESS."""
    config = processor.object("ProcessorConfig")
    if config is None:
        return "INLINE", False
    fields = Fields(config, processor.place / "ProcessorConfig", processor.language)
    check_fields({"Mode", "ExecutionType"}, config, fields.place)
    mode = fields.text("Mode") or "INLINE"
    if mode not in ("INLINE", "DISTRIBUTED"):
        (fields.place / "Mode").error("Value must be one of [INLINE, DISTRIBUTED]")
    kind = fields.text("ExecutionType")
    if kind not in (None, "STANDARD", "EXPRESS"):
        (fields.place / "ExecutionType").error("Value must be one of [STANDARD, EXPRESS]")
    if mode == "DISTRIBUTED" and "ExecutionType" not in fields:
        fields.place.error("These fields are required: [ExecutionType]")
    return mode, kind == "EXPRESS"


def _own_fields(fields: Fields, first: State | None) -> MapFields | None:
    fields.exclude("ItemSelector", "Parameters")
    selector = fields.template("ItemSelector" if "ItemSelector" in fields else "Parameters")
    concurrency = _at(fields, "MaxConcurrency", Limits(0, 2**31 - 1), "integer")
    items = _items(fields)
    if first is None or items is None:
        return None
    # JSONata's `Reader` takes what $states has besides input and context, which is nothing here.
    document = (lambda data, _: {}) if fields.is_jsonata else _same
    return MapFields(items, selector, document, concurrency, first)


def _same(data: JSON, _: Scope) -> JSON:
    return data


def _tolerated(fields: Fields) -> tuple[Number | None, Number | None]:
    return (
        _at(fields, "ToleratedFailureCount", Limits(0, 2**31 - 1), "integer"),
        _at(fields, "ToleratedFailurePercentage", Limits(0, 100, whole=False), "float"),
    )


def _at(fields: Fields, name: str, limits: Limits, kind: str) -> Number | None:
    """A number: the field itself, an expression, or its ``Path`` form; the latter with the error texts of the
    recorded cases ``test_map_state_tolerated_failure_*_path``."""
    fields.exclude(name, f"{name}Path")
    field = f"{name}Path"
    if field not in fields:
        return fields.count(name, limits)
    path = fields.reference_path(field)
    if path is None:
        return None
    text, read = path.text, find(path)
    accepts = JSON_TYPES["INTEGER"] if limits.whole else is_number

    def number(data: JSON, frame: Frame) -> float:
        value = read(data, frame)
        if value is MISSING:
            raise Fault(f"The {field} parameter does not reference an input value: {text}")
        if not accepts(value):
            raise Fault(
                f'The {field} field refers to value "{shown(value)}" which is not a valid {kind}: {text}'
            )
        if not limits.allow(value):
            between = "must be between 0 and 100" if limits.most == 100 else "must not be negative"
            raise Fault(f"{name} {between}.")
        return float(value)

    return number


def _items(fields: Fields) -> Items | None:
    if fields.is_jsonata:
        return _jsonata_items(fields)
    path = fields.reference_path("ItemsPath")
    if path is None:
        return None if "ItemsPath" in fields else lambda data, frame: _array(data, "$")
    text, read = path.text, find(path)

    def items(data: JSON, frame: Frame) -> list[JSON]:
        value = read(data, frame)
        if value is MISSING:
            raise Fault(
                f"The JSONPath '{text}' specified for the field 'ItemsPath' could not be found in the input "
                f"'{json_text(data)}'"
            )
        return _array(value, text)

    return items


def _array(value: JSON, path: str) -> list[JSON]:
    if not isinstance(value, list):
        raise Fault(f'Reference path "{path}" must point to array.')
    return value


def _jsonata_items(fields: Fields) -> Items | None:
    """Items; the error texts are those of the recorded cases ``test_map_state_items_*``."""
    if "Items" not in fields:

        def whole_input(data: JSON, frame: Frame) -> list[JSON]:
            if not isinstance(data, list):
                raise QueryFault(f"Map state input must be an array but was: {json_text(data)}", None)
            return data

        return whole_input
    if fields.has_expression("Items"):
        expression: Expression | None = fields.expression("Items")
        if expression is None:
            return None
        accepts = JSON_TYPES["ARRAY"]

        def evaluated(data: JSON, frame: Frame) -> list[JSON]:
            array: list[JSON] = expression.read_as("array", accepts, {}, frame)
            frame.measure(array)
            return array

        return evaluated
    if fields.array("Items") is None:
        return None
    template = fields.template("Items")
    return None if template is None else lambda data, frame: list(frame.fill(template, {})[0])
