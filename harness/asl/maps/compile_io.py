"""ItemReader, ItemBatcher and ResultWriter of a distributed Map, compiled."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final, Literal, TypeVar

from harness.asl.compile_fields import JSON_TYPES, Fields, Limits, shown
from harness.asl.diagnostics import UNSUPPORTED_FEATURE
from harness.asl.errors import Fault
from harness.asl.frame import Frame
from harness.asl.jsonpath.query import find
from harness.asl.maps.batcher import ItemBatcher
from harness.asl.maps.formats import DELIMITERS, DataFormat
from harness.asl.maps.map import Number
from harness.asl.maps.reader import MAX_ITEMS, ItemReader, Source
from harness.asl.maps.writer import OutputType, ResultWriter, Transformation
from harness.asl.payload import Template
from harness.asl.schema import JSONATA, JSONPATH, check_fields, require
from harness.asl.scope import Reader
from harness.asl.tasks import JSON
from harness.asl.values import MISSING, PAYLOAD_LIMIT, is_number

__all__ = ["compile_batcher", "compile_reader", "compile_writer", "document_of", "number"]

T = TypeVar("T", bound=str)

_READ: Final = re.compile(r"arn:aws[\w-]*:states:::s3:(listObjectsV2|getObject)")
_WRITE: Final = re.compile(r"arn:aws[\w-]*:states:::s3:putObject")

_REQUESTS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "listObjectsV2": (("Bucket",), ("Bucket", "ExpectedBucketOwner", "Prefix", "StartAfter")),
    "getObject": (("Bucket", "Key"), ("Bucket", "ExpectedBucketOwner", "Key", "VersionId")),
    "putObject": (("Bucket",), ("Bucket", "Prefix")),
}
"""Members that a request must have, and those that it can have."""

_READER: Final = {"Resource", "Parameters", "Arguments", "ReaderConfig"}
_CSV: Final = ("CSVDelimiter", "CSVHeaderLocation", "CSVHeaders")
_READER_CONFIG: Final = {
    *_CSV,
    "InputType",
    "ItemsPointer",
    "ManifestType",
    "MaxItems",
    "MaxItemsPath",
    "Transformation",
}
_BATCHER: Final = {
    "BatchInput",
    "MaxInputBytesPerBatch",
    "MaxInputBytesPerBatchPath",
    "MaxItemsPerBatch",
    "MaxItemsPerBatchPath",
}
_WRITER: Final = {"Resource", "Parameters", "Arguments", "WriterConfig"}

_MOST: Final = 2**31 - 1
_POINTER_LIMIT: Final = 2000

InputType = Literal["CSV", "JSON", "JSONL", "MANIFEST", "PARQUET"]


# What they share -------------------------------------------------------------------------------------------


def document_of(fields: Fields) -> Reader:
    """What the templates of a Map work on, from the effective input.

    JSONata's `Reader` takes what $states has besides input and context, which is nothing here.
    """
    return (lambda data, _: {}) if fields.is_jsonata else (lambda data, _: data)


def number(fields: Fields, name: str, limits: Limits, kind: str) -> Number | None:
    """A number: the field itself, an expression, or its ``Path`` form; the latter with the error texts of the
    recorded cases ``test_map_state_tolerated_failure_*_path``."""
    fields.exclude(name, f"{name}Path")
    field = f"{name}Path"
    if field not in fields:
        return fields.count(name, limits)
    if fields.is_jsonata:
        _only_for(fields, field, JSONPATH)
    path = fields.reference_path(field)
    if path is None:
        return None
    text, read = path.text, find(path)
    accepts = JSON_TYPES["INTEGER"] if limits.whole else is_number

    def value_at(data: JSON, frame: Frame) -> float:
        value = read(data, frame)
        if value is MISSING:
            raise Fault(f"The {field} parameter does not reference an input value: {text}")
        if not accepts(value):
            raise Fault(
                f'The {field} field refers to value "{shown(value)}" which is not a valid {kind}: {text}'
            )
        if not limits.allow(value):
            raise Fault(f"{name} {_wanted(limits)}.")
        return float(value)

    return value_at


def _wanted(limits: Limits) -> str:
    if limits.most < _MOST:
        return f"must be between {limits.least:g} and {limits.most:.10g}"
    return "must not be negative" if limits.least == 0 else "must be positive"


def _inner(fields: Fields, name: str, allowed: Collection[str]) -> Fields | None:
    """The object in a field, its members known to be allowed."""
    values = fields.object(name)
    if values is None:
        return None
    place = fields.place / name
    check_fields(allowed, values, place)
    return Fields(values, place, fields.language, f"{fields.prefix}{name}/")


def _choice(fields: Fields, name: str, allowed: tuple[T, ...]) -> T | None:
    """One of several texts."""
    text = fields.text(name)
    for value in allowed:
        if text == value:
            return value
    if text is not None:
        (fields.place / name).error(f"Value must be one of [{', '.join(allowed)}]")
    return None


def _only_for(fields: Fields, name: str, language: str) -> None:
    fields.place.error(
        f"The QueryLanguage is set to '{fields.language}', but field '{name}' is only supported for the "
        f"'{language}' QueryLanguage"
    )


def _unknown_resource(fields: Fields, arn: str) -> None:
    (fields.place / "Resource").error(
        f"The resource provided {arn} is not recognized. The value is not a valid resource ARN, or the "
        "resource is not available in this region."
    )


def _request(fields: Fields, action: str) -> Template | None:
    """Parameters or Arguments, whose members are those of a request."""
    name, other, language = (
        ("Arguments", "Parameters", JSONPATH) if fields.is_jsonata else ("Parameters", "Arguments", JSONATA)
    )
    if other in fields:
        _only_for(fields, other, language)
    require([name], fields.values, fields.place)
    required, allowed = _REQUESTS[action]
    if fields.has_expression(name):
        return fields.template(name)
    values = fields.object(name)
    if values is None:
        return None
    place = fields.place / name
    given = [key if fields.is_jsonata else key.removesuffix(".$") for key in values]
    for key in given:
        if key not in allowed:
            place.error(f'The field "{key}" is not supported by Step Functions')
    for key in required:
        if key not in given:
            place.error(f'The field "{key}" is required but was missing')
    return fields.template(name)


# ItemReader ------------------------------------------------------------------------------------------------


def compile_reader(fields: Fields) -> ItemReader | None:
    """Compile the ItemReader of a Map state; None, and findings, if it has none or cannot be."""
    reader = _inner(fields, "ItemReader", _READER)
    if reader is None:
        return None
    require(["Resource"], reader.values, reader.place)
    arn = reader.text("Resource")
    match = None if arn is None else _READ.fullmatch(arn)
    if arn is None or match is None:
        if arn is not None:
            _unknown_resource(reader, arn)
        return None
    action = match[1]
    arguments = _request(reader, action)
    if action == "getObject":
        require(["ReaderConfig"], reader.values, reader.place)
    config = _inner(reader, "ReaderConfig", _READER_CONFIG)
    if config is None:
        config = Fields({}, reader.place / "ReaderConfig", reader.language, "ItemReader/ReaderConfig/")
        if action == "getObject":
            return None
    most = number(config, "MaxItems", Limits(1, MAX_ITEMS), "integer")
    how = _list_format(config) if action == "listObjectsV2" else _file_format(config)
    if arguments is None or how is None:
        return None
    source, form = how
    return ItemReader(source, arguments, document_of(fields), _REQUESTS[action][0], form, most)


def _list_format(config: Fields) -> tuple[Source, DataFormat] | None:
    _not_here(config, "the resource is s3:listObjectsV2", "ManifestType")
    if _choice(config, "Transformation", ("NONE", "LOAD_AND_FLATTEN")) != "LOAD_AND_FLATTEN":
        _input_type(config, ("CSV", "JSON", "JSONL", "PARQUET"))
        _not_here(config, "'Transformation' is not 'LOAD_AND_FLATTEN'", *_CSV, "ItemsPointer")
        return "listing", DataFormat("JSON")
    require(["InputType"], config.values, config.place)
    form = _format(config, _input_type(config, ("CSV", "JSON", "JSONL", "PARQUET")))
    return None if form is None else ("objects", form)


def _file_format(config: Fields) -> tuple[Source, DataFormat] | None:
    if _choice(config, "Transformation", ("NONE", "LOAD_AND_FLATTEN")) == "LOAD_AND_FLATTEN":
        (config.place / "Transformation").error(
            "'LOAD_AND_FLATTEN' is only supported when the resource is s3:listObjectsV2"
        )
    manifest = _choice(config, "ManifestType", ("ATHENA_DATA", "S3_INVENTORY"))
    if manifest == "S3_INVENTORY":
        _not_here(config, "'ManifestType' is 'S3_INVENTORY'", "InputType")
        return _inventory(config)
    require(["InputType"], config.values, config.place)
    if manifest == "ATHENA_DATA":
        form = _format(config, _input_type(config, ("CSV", "JSONL", "PARQUET")))
        return None if form is None else ("athena", form)
    kind = _input_type(config, ("CSV", "JSON", "JSONL", "MANIFEST", "PARQUET"))
    if kind == "MANIFEST":
        return _inventory(config)
    form = _format(config, kind)
    return None if form is None else ("file", form)


def _not_here(config: Fields, why: str, *names: str) -> None:
    for name in names:
        if name in config:
            (config.place / name).error(f"Field '{name}' is not supported when {why}")


def _input_type(config: Fields, allowed: tuple[InputType, ...]) -> InputType | None:
    kind = _choice(config, "InputType", allowed)
    if kind == "PARQUET":
        (config.place / "InputType").error(
            "InputType 'PARQUET' is not supported by the local Step Functions: use CSV, JSON or JSONL",
            UNSUPPORTED_FEATURE,
        )
        return None
    return kind


def _inventory(config: Fields) -> tuple[Source, DataFormat]:
    """S3 Inventory: its manifest names the columns."""
    _not_here(
        config, "the dataset is an Amazon S3 inventory", "CSVHeaderLocation", "CSVHeaders", "ItemsPointer"
    )
    return "inventory", DataFormat("CSV", _delimiter(config))


def _format(config: Fields, kind: InputType | None) -> DataFormat | None:
    if kind is None or kind in ("MANIFEST", "PARQUET"):
        return None
    if kind != "JSON":
        _not_here(config, f"'InputType' is '{kind}'", "ItemsPointer")
    if kind != "CSV":
        _not_here(config, f"'InputType' is '{kind}'", *_CSV)
    match kind:
        case "CSV":
            return DataFormat("CSV", _delimiter(config), _headers(config))
        case "JSON":
            return DataFormat("JSON", pointer=_pointer(config))
        case _:
            return DataFormat("JSONL")


def _delimiter(config: Fields) -> str:
    return DELIMITERS[_choice(config, "CSVDelimiter", tuple(DELIMITERS)) or "COMMA"]


def _headers(config: Fields) -> tuple[str, ...] | None:
    require(["CSVHeaderLocation"], config.values, config.place)
    if _choice(config, "CSVHeaderLocation", ("FIRST_ROW", "GIVEN")) != "GIVEN":
        _not_here(config, "'CSVHeaderLocation' is not 'GIVEN'", "CSVHeaders")
        return None
    require(["CSVHeaders"], config.values, config.place)
    headers = config.array("CSVHeaders") or []
    place = config.place / "CSVHeaders"
    if "CSVHeaders" in config and not headers:
        place.error("At least one header is required")
    for index, header in enumerate(headers):
        if not isinstance(header, str):
            place.item(index).error("Expected value of type STRING")
    return tuple(header for header in headers if isinstance(header, str))


def _pointer(config: Fields) -> str:
    pointer = config.text("ItemsPointer") or ""
    if pointer and not pointer.startswith("/"):
        (config.place / "ItemsPointer").error("Value is not a valid JSON Pointer")
    if len(pointer) > _POINTER_LIMIT:
        (config.place / "ItemsPointer").error(f"Value must have at most {_POINTER_LIMIT} characters")
    return pointer


# ItemBatcher and ResultWriter ------------------------------------------------------------------------------


def compile_batcher(fields: Fields) -> ItemBatcher | None:
    """Compile the ItemBatcher of a Map state; None, and findings, if it has none or cannot be."""
    batcher = _inner(fields, "ItemBatcher", _BATCHER)
    if batcher is None:
        return None
    if not batcher.values.keys() & (_BATCHER - {"BatchInput"}):
        batcher.place.error(
            "At least one of these fields is required: [MaxItemsPerBatch, MaxItemsPerBatchPath, "
            "MaxInputBytesPerBatch, MaxInputBytesPerBatchPath]"
        )
    return ItemBatcher(
        number(batcher, "MaxItemsPerBatch", Limits(1, _MOST), "integer"),
        number(batcher, "MaxInputBytesPerBatch", Limits(1, PAYLOAD_LIMIT), "integer"),
        batcher.template("BatchInput"),
        document_of(fields),
    )


def compile_writer(fields: Fields) -> ResultWriter | None:
    """Compile the ResultWriter of a Map state; None, and findings, if it has none or cannot be."""
    writer = _inner(fields, "ResultWriter", _WRITER)
    if writer is None:
        return None
    exports = bool(writer.values.keys() & {"Resource", "Parameters", "Arguments"})
    if not exports and "WriterConfig" not in writer:
        writer.place.error("At least one of these fields is required: [Resource, WriterConfig]")
    arguments = None
    if exports:
        require(["Resource"], writer.values, writer.place)
        arn = writer.text("Resource")
        if arn is not None and not _WRITE.fullmatch(arn):
            _unknown_resource(writer, arn)
        arguments = _request(writer, "putObject")
    config = _inner(writer, "WriterConfig", {"OutputType", "Transformation"})
    transformation: Transformation | None = None
    output_type: OutputType | None = None
    if config is not None:
        transformation = _choice(config, "Transformation", ("NONE", "COMPACT", "FLATTEN"))
        output_type = _choice(config, "OutputType", ("JSON", "JSONL"))
    default: Transformation = "NONE" if exports else "COMPACT"
    return ResultWriter(arguments, document_of(fields), transformation or default, output_type or "JSON")
