"""Map states, compiled."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Literal

from harness.asl.compile_fields import Fields, Limits
from harness.asl.diagnostics import Place
from harness.asl.errors import Fault, QueryFault
from harness.asl.frame import Frame
from harness.asl.jsonata import Expression
from harness.asl.jsonpath.query import find
from harness.asl.maps.compile_io import compile_batcher, compile_reader, compile_writer, document_of, number
from harness.asl.maps.distributed import DistributedFields, DistributedMap, ItemProcessor
from harness.asl.maps.map import InlineMap, Item, Items, MapFields, MapState, items_of
from harness.asl.retry import Policy
from harness.asl.schema import check_fields
from harness.asl.state import Flow, State
from harness.asl.tasks import JSON
from harness.asl.values import MISSING, json_text

__all__ = ["compile_map"]

CompileScope = Callable[[dict[str, JSON], Place, bool], State | None]
"""Compile the states of an item processor, which runs as EXPRESS executions or not; its first state, None if
there is none."""

ExecutionType = Literal["STANDARD", "EXPRESS"]

_PROCESSOR: Final = {"Comment", "ProcessorConfig", "StartAt", "States"}
_DISTRIBUTED_ONLY: Final = ("ItemBatcher", "ItemReader", "ResultWriter")
_WITHOUT_EFFECT: Final = (
    "Label",
    "ToleratedFailureCount",
    "ToleratedFailureCountPath",
    "ToleratedFailurePercentage",
    "ToleratedFailurePercentagePath",
)
_MOST: Final = 2**31 - 1

_LABEL_LIMIT: Final = 40
_NO_LABEL: Final = re.compile('[\\s?*<>{}\\[\\]:;,\\\\|^~$#%&`"/\u0000-\u001f\u007f-\u009f]')
"""What a label cannot contain (AWS developer guide)."""


def compile_map(
    name: str,
    fields: Fields,
    flow: Flow,
    policy: Policy,
    compile_scope: CompileScope,
    *,
    express: bool,
    labels: set[str],
) -> MapState | None:
    """Compile a Map state; None, and findings, if it cannot be.

    Args:
        name: Its name.
        fields: Its fields.
        flow: Its data flow.
        policy: Its Retry and Catch.
        compile_scope: Compiles the item processor.
        express: Whether it is in an EXPRESS state machine or child execution.
        labels: Labels of the Map states before it; its own is added.
    """
    fields.exclude("ItemProcessor", "Iterator")
    key = "Iterator" if "Iterator" in fields else "ItemProcessor"
    if key not in fields:
        fields.place.error("These fields are required: [ItemProcessor]")
    processor = fields.object(key)
    if processor is None:
        return None
    place = fields.place / key
    check_fields(_PROCESSOR, processor, place)
    mode, kind = _processor_config(Fields(processor, place, fields.language))
    if mode == "DISTRIBUTED" and express:
        (place / "ProcessorConfig" / "Mode").error(
            "Express state machine does not support 'DISTRIBUTED' mode"
        )
    first = compile_scope(processor, place, kind == "EXPRESS")
    own = _own_fields(fields, first, objects=mode == "DISTRIBUTED")
    if mode == "INLINE":
        _check_inline(fields)
        return None if own is None else InlineMap(name, flow, policy, own)
    distributed = _distributed_fields(fields, labels)
    if own is None:
        return None
    runs = ItemProcessor(processor, kind, own.first)
    return DistributedMap(name, flow, policy, own, distributed, runs)


def _check_inline(fields: Fields) -> None:
    for field in _DISTRIBUTED_ONLY:
        if field in fields:
            (fields.place / field).error(f"'{field}' is only supported in a Map of mode DISTRIBUTED")
    for field in _WITHOUT_EFFECT:
        if field in fields:
            (fields.place / field).warn(f"'{field}' has no effect in a Map of mode INLINE")


def _distributed_fields(fields: Fields, labels: set[str]) -> DistributedFields:
    fields.exclude("ItemReader", "Items" if fields.is_jsonata else "ItemsPath")
    return DistributedFields(
        label=_label(fields, labels),
        reader=compile_reader(fields),
        batcher=compile_batcher(fields),
        tolerated_count=number(fields, "ToleratedFailureCount", Limits(0, _MOST), "integer"),
        tolerated_percentage=number(
            fields, "ToleratedFailurePercentage", Limits(0, 100, whole=False), "float"
        ),
        writer=compile_writer(fields),
    )


def _label(fields: Fields, labels: set[str]) -> str | None:
    label = fields.text("Label")
    if label is None:
        return None
    place = fields.place / "Label"
    if not 0 < len(label) <= _LABEL_LIMIT:
        place.error(f"Value must have 1 to {_LABEL_LIMIT} characters")
    if _NO_LABEL.search(label):
        place.error("Value has characters that a label cannot have")
    if label in labels:
        place.error(f"Duplicate Label: {label}")
    labels.add(label)
    return label


def _processor_config(processor: Fields) -> tuple[str, ExecutionType]:
    """Mode, and the type of child executions."""
    config = processor.object("ProcessorConfig")
    if config is None:
        return "INLINE", "STANDARD"
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
    return mode, "EXPRESS" if kind == "EXPRESS" else "STANDARD"


def _own_fields(fields: Fields, first: State | None, *, objects: bool) -> MapFields | None:
    fields.exclude("ItemSelector", "Parameters")
    selector = fields.template("ItemSelector" if "ItemSelector" in fields else "Parameters")
    concurrency = number(fields, "MaxConcurrency", Limits(0, _MOST), "integer")
    items = _jsonata_items(fields, objects) if fields.is_jsonata else _jsonpath_items(fields, objects)
    if first is None or items is None:
        return None
    return MapFields(items, selector, document_of(fields), concurrency, first)


def _is_dataset(value: JSON, objects: bool) -> bool:
    """Whether a Map iterates over a value.

    Only a distributed one iterates over the members of an object (AWS developer guide, "ItemReader (Map)");
    recorded for the other mode: ``test_map_state_items_*[object]``.
    """
    return isinstance(value, list) or (objects and isinstance(value, dict))


def _jsonpath_items(fields: Fields, objects: bool) -> Items | None:
    path = fields.reference_path("ItemsPath")
    if path is None and "ItemsPath" in fields:
        return None
    text = "$" if path is None else path.text
    read = None if path is None else find(path)

    def items(data: JSON, frame: Frame) -> list[Item]:
        value = data if read is None else read(data, frame)
        if value is MISSING:
            raise Fault(
                f"The JSONPath '{text}' specified for the field 'ItemsPath' could not be found in the input "
                f"'{json_text(data)}'"
            )
        if not _is_dataset(value, objects):
            raise Fault(f'Reference path "{text}" must point to array.')
        return items_of(value)

    return items


def _jsonata_items(fields: Fields, objects: bool) -> Items | None:
    """Items; the error texts are those of the recorded cases ``test_map_state_items_*``."""
    if "Items" not in fields:

        def whole_input(data: JSON, frame: Frame) -> list[Item]:
            if not _is_dataset(data, objects):
                raise QueryFault(f"Map state input must be an array but was: {json_text(data)}", None)
            return items_of(data)

        return whole_input
    if fields.has_expression("Items"):
        expression: Expression | None = fields.expression("Items")
        if expression is None:
            return None

        def evaluated(data: JSON, frame: Frame) -> list[Item]:
            found = expression.read_as("array", lambda value: _is_dataset(value, objects), {}, frame)
            frame.measure(found)
            return items_of(found)

        return evaluated
    given = fields.values["Items"]
    if not _is_dataset(given, objects) and fields.array("Items") is None:
        return None
    template = fields.template("Items")
    return None if template is None else lambda data, frame: items_of(frame.fill(template, {})[0])
