"""What is wrong with the definition of a Map."""

from __future__ import annotations

from typing import Any

import pytest

from harness.asl import Diagnostic, load, validate
from tests.asl.maps.support import ECHO, EXPRESS, STANDARD, distributed

GET = "arn:aws:states:::s3:getObject"
LIST = "arn:aws:states:::s3:listObjectsV2"
PUT = "arn:aws:states:::s3:putObject"
FILE = {"Bucket": "b", "Key": "k"}


def findings(*, jsonata: bool = False, **fields: Any) -> list[Diagnostic]:
    language = {"QueryLanguage": "JSONata"} if jsonata else {}
    return validate({**distributed(**fields), **language})


def only(field: str, value: Any, **options: Any) -> tuple[str, str | None]:
    """(message, location) of the only finding about a field."""
    (found,) = findings(**{field: value}, **options)
    assert found.severity == "ERROR"
    return found.message, found.location


def of_file(config: Any, **parameters: Any) -> dict[str, Any]:
    return {"Resource": GET, "ReaderConfig": config, "Parameters": parameters or FILE}


@pytest.mark.parametrize(
    "config",
    [
        {"InputType": "JSON", "ItemsPointer": "/a/b"},
        {"InputType": "JSONL", "MaxItems": 3},
        {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW", "CSVDelimiter": "TAB"},
        {"InputType": "CSV", "CSVHeaderLocation": "GIVEN", "CSVHeaders": ["a"]},
        {"InputType": "MANIFEST"},
        {"ManifestType": "S3_INVENTORY"},
        {"InputType": "JSONL", "ManifestType": "ATHENA_DATA"},
        {"InputType": "JSON", "Transformation": "NONE", "MaxItemsPath": "$.n"},
    ],
)
def test_readers_of_files(config: dict[str, Any]) -> None:
    assert findings(ItemReader=of_file(config)) == []


@pytest.mark.parametrize(
    "config",
    [
        None,
        {},
        {"MaxItems": 3},
        {"Transformation": "NONE", "InputType": "CSV"},
        {"Transformation": "LOAD_AND_FLATTEN", "InputType": "JSON"},
        {"Transformation": "LOAD_AND_FLATTEN", "InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW"},
    ],
)
def test_readers_of_listings(config: dict[str, Any] | None) -> None:
    reader = {"Resource": LIST, "Parameters": {"Bucket.$": "$.b", "Prefix": "p/"}}
    assert findings(ItemReader=reader if config is None else {**reader, "ReaderConfig": config}) == []


@pytest.mark.parametrize(
    ("config", "message", "field"),
    [
        ({}, "These fields are required: [InputType]", ""),
        (
            {"InputType": "XML"},
            "Value must be one of [CSV, JSON, JSONL, MANIFEST, PARQUET]",
            "/InputType",
        ),
        ({"InputType": "CSV"}, "These fields are required: [CSVHeaderLocation]", ""),
        (
            {"InputType": "CSV", "CSVHeaderLocation": "LAST_ROW"},
            "Value must be one of [FIRST_ROW, GIVEN]",
            "/CSVHeaderLocation",
        ),
        (
            {"InputType": "CSV", "CSVHeaderLocation": "GIVEN"},
            "These fields are required: [CSVHeaders]",
            "",
        ),
        (
            {"InputType": "CSV", "CSVHeaderLocation": "GIVEN", "CSVHeaders": []},
            "At least one header is required",
            "/CSVHeaders",
        ),
        (
            {"InputType": "CSV", "CSVHeaderLocation": "GIVEN", "CSVHeaders": ["a", 1]},
            "Expected value of type STRING",
            "/CSVHeaders[1]",
        ),
        (
            {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW", "CSVHeaders": ["a"]},
            "Field 'CSVHeaders' is not supported when 'CSVHeaderLocation' is not 'GIVEN'",
            "/CSVHeaders",
        ),
        (
            {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW", "CSVDelimiter": ","},
            "Value must be one of [COMMA, PIPE, SEMICOLON, SPACE, TAB]",
            "/CSVDelimiter",
        ),
        (
            {"InputType": "JSONL", "CSVDelimiter": "TAB"},
            "Field 'CSVDelimiter' is not supported when 'InputType' is 'JSONL'",
            "/CSVDelimiter",
        ),
        (
            {"InputType": "JSONL", "ItemsPointer": "/a"},
            "Field 'ItemsPointer' is not supported when 'InputType' is 'JSONL'",
            "/ItemsPointer",
        ),
        ({"InputType": "JSON", "ItemsPointer": "a"}, "Value is not a valid JSON Pointer", "/ItemsPointer"),
        (
            {"InputType": "JSON", "ItemsPointer": "/" + "a" * 2000},
            "Value must have at most 2000 characters",
            "/ItemsPointer",
        ),
        (
            {"InputType": "CSV", "ManifestType": "S3_INVENTORY"},
            "Field 'InputType' is not supported when 'ManifestType' is 'S3_INVENTORY'",
            "/InputType",
        ),
        (
            {"InputType": "MANIFEST", "CSVHeaderLocation": "FIRST_ROW"},
            "Field 'CSVHeaderLocation' is not supported when the dataset is an Amazon S3 inventory",
            "/CSVHeaderLocation",
        ),
        (
            {"InputType": "JSON", "ManifestType": "ATHENA_DATA"},
            "Value must be one of [CSV, JSONL, PARQUET]",
            "/InputType",
        ),
        (
            {"InputType": "JSON", "Transformation": "LOAD_AND_FLATTEN"},
            "'LOAD_AND_FLATTEN' is only supported when the resource is s3:listObjectsV2",
            "/Transformation",
        ),
        ({"InputType": "JSON", "MaxItems": 0}, "Value must be between 1 and 100000000", "/MaxItems"),
        ({"InputType": "JSON", "Nope": 1}, "Field 'Nope' is not supported", ""),
        (
            {"InputType": "JSON", "MaxItems": 1, "MaxItemsPath": "$.n"},
            "Only one of these fields is allowed: [MaxItems, MaxItemsPath]",
            "",
        ),
    ],
)
def test_unfit_reader_config(config: dict[str, Any], message: str, field: str) -> None:
    place = "/States/M/ItemReader/ReaderConfig"
    assert only("ItemReader", of_file(config)) == (message, f"{place}{field}")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"Transformation": "LOAD_AND_FLATTEN"}, "These fields are required: [InputType]"),
        (
            {"Transformation": "LOAD_AND_FLATTEN", "InputType": "MANIFEST"},
            "Value must be one of [CSV, JSON, JSONL, PARQUET]",
        ),
        (
            {"ItemsPointer": "/a"},
            "Field 'ItemsPointer' is not supported when 'Transformation' is not 'LOAD_AND_FLATTEN'",
        ),
        (
            {"ManifestType": "ATHENA_DATA"},
            "Field 'ManifestType' is not supported when the resource is s3:listObjectsV2",
        ),
    ],
)
def test_unfit_reader_config_of_a_listing(config: dict[str, Any], message: str) -> None:
    reader = {"Resource": LIST, "ReaderConfig": config, "Parameters": {"Bucket": "b"}}
    assert only("ItemReader", reader)[0] == message


@pytest.mark.parametrize(
    "config",
    [{"InputType": "PARQUET"}, {"InputType": "PARQUET", "ManifestType": "ATHENA_DATA"}],
)
def test_parquet_is_refused_by_name(config: dict[str, Any]) -> None:
    (found,) = findings(ItemReader=of_file(config))
    assert found.code == "UNSUPPORTED_FEATURE"
    assert "'PARQUET' is not supported by the local Step Functions: use CSV" in found.message
    assert found.location == "/States/M/ItemReader/ReaderConfig/InputType"


@pytest.mark.parametrize(
    ("reader", "message"),
    [
        ({}, "These fields are required: [Resource]"),
        ({"Resource": GET, "Parameters": FILE}, "These fields are required: [ReaderConfig]"),
        (
            {"Resource": GET, "ReaderConfig": {"InputType": "JSON"}},
            "These fields are required: [Parameters]",
        ),
        (
            {"Resource": "arn:aws:states:::s3:headObject"},
            "The resource provided arn:aws:states:::s3:headObject is not recognized. The value is not a "
            "valid resource ARN, or the resource is not available in this region.",
        ),
        (of_file({"InputType": "JSON"}, Bucket="b"), 'The field "Key" is required but was missing'),
        (
            of_file({"InputType": "JSON"}, **FILE, Prefix="x"),
            'The field "Prefix" is not supported by Step Functions',
        ),
        ({**of_file({"InputType": "JSON"}), "Nope": 1}, "Field 'Nope' is not supported"),
        (
            {**of_file({"InputType": "JSON"}), "Arguments": {}},
            "The QueryLanguage is set to 'JSONPath', but field 'Arguments' is only supported for the "
            "'JSONata' QueryLanguage",
        ),
        ("x", "Expected value of type OBJECT, but was STRING"),
    ],
)
def test_unfit_readers(reader: Any, message: str) -> None:
    assert only("ItemReader", reader)[0] == message


def test_a_reader_in_jsonata() -> None:
    reader = {"Resource": GET, "ReaderConfig": {"InputType": "JSON"}, "Parameters": FILE}
    messages = [found.message for found in findings(ItemReader=reader, jsonata=True)]
    assert messages == [
        "The QueryLanguage is set to 'JSONata', but field 'Parameters' is only supported for the 'JSONPath' "
        "QueryLanguage",
        "These fields are required: [Arguments]",
    ]
    reader = {**of_file({"InputType": "JSON", "MaxItemsPath": "$.n"}), "Arguments": FILE}
    del reader["Parameters"]
    assert "field 'MaxItemsPath' is only supported" in only("ItemReader", reader, jsonata=True)[0]


def test_items_come_from_one_place() -> None:
    (found,) = findings(ItemReader=of_file({"InputType": "JSON"}), ItemsPath="$.x")
    assert found.message == "Only one of these fields is allowed: [ItemReader, ItemsPath]"


@pytest.mark.parametrize(
    ("batcher", "message"),
    [
        (
            {},
            "At least one of these fields is required: [MaxItemsPerBatch, MaxItemsPerBatchPath, "
            "MaxInputBytesPerBatch, MaxInputBytesPerBatchPath]",
        ),
        ({"MaxItemsPerBatch": 0}, "Value must be between 1 and 2147483647"),
        ({"MaxInputBytesPerBatch": 262_145}, "Value must be between 1 and 262144"),
        (
            {"MaxItemsPerBatch": 1, "MaxItemsPerBatchPath": "$.n"},
            "Only one of these fields is allowed: [MaxItemsPerBatch, MaxItemsPerBatchPath]",
        ),
        ({"MaxItemsPerBatch": 1, "Nope": 1}, "Field 'Nope' is not supported"),
        (
            {"MaxItemsPerBatch": 1, "BatchInput": {"a.$": "x"}},
            "The value for the field 'a.$' must be a valid JSONPath or a valid intrinsic function call",
        ),
    ],
)
def test_unfit_batchers(batcher: dict[str, Any], message: str) -> None:
    assert only("ItemBatcher", batcher)[0] == message


@pytest.mark.parametrize(
    ("writer", "message"),
    [
        ({}, "At least one of these fields is required: [Resource, WriterConfig]"),
        ({"Resource": PUT}, "These fields are required: [Parameters]"),
        ({"Parameters": {"Bucket": "b"}}, "These fields are required: [Resource]"),
        ({"Resource": PUT, "Parameters": {}}, 'The field "Bucket" is required but was missing'),
        (
            {"Resource": PUT, "Parameters": {"Bucket": "b", "Key": "k"}},
            'The field "Key" is not supported by Step Functions',
        ),
        ({"WriterConfig": {"Transformation": "X"}}, "Value must be one of [NONE, COMPACT, FLATTEN]"),
        ({"WriterConfig": {"OutputType": "CSV"}}, "Value must be one of [JSON, JSONL]"),
        ({"WriterConfig": {"Nope": 1}}, "Field 'Nope' is not supported"),
    ],
)
def test_unfit_writers(writer: dict[str, Any], message: str) -> None:
    assert only("ResultWriter", writer)[0] == message


def test_a_writer_of_another_resource() -> None:
    message, location = only("ResultWriter", {"Resource": GET, "Parameters": {"Bucket": "b"}})
    assert "is not recognized" in message
    assert location == "/States/M/ResultWriter/Resource"


@pytest.mark.parametrize("field", ["ItemReader", "ItemBatcher", "ResultWriter"])
def test_what_an_inline_map_cannot_have(field: str) -> None:
    definition = {
        "StartAt": "M",
        "States": {"M": {"Type": "Map", "ItemProcessor": ECHO, "End": True, field: {}}},
    }
    (found,) = validate(definition)
    assert (found.severity, found.location) == ("ERROR", f"/States/M/{field}")
    assert found.message == f"'{field}' is only supported in a Map of mode DISTRIBUTED"


@pytest.mark.parametrize("label", ["", "x" * 41, "a b", "a/b", "a:b", "a*", "<a>", "a\u0001"])
def test_labels(label: str) -> None:
    assert all(found.location == "/States/M/Label" for found in findings(Label=label))
    assert findings(Label=label)
    assert findings(Label="Ä-b_1.c!") == []


def test_labels_are_unique() -> None:
    inner = distributed(name="N", Label="L")
    (found,) = validate(distributed(inner, Label="L"))
    assert (found.message, found.location) == ("Duplicate Label: L", "/States/M/Label")


def test_express_machines_have_no_distributed_maps() -> None:
    (found,) = validate(distributed(), workflow_type="EXPRESS")
    assert found.location == "/States/M/ItemProcessor/ProcessorConfig/Mode"
    assert found.message == "Express state machine does not support 'DISTRIBUTED' mode"
    inside = {**distributed(name="N"), **EXPRESS}
    (found,) = validate(distributed(inside, express=True))
    assert found.location == "/States/M/ItemProcessor/States/N/ItemProcessor/ProcessorConfig/Mode"
    assert validate(distributed(distributed(name="N"))) == []


def test_a_distributed_map_needs_to_know_the_type_of_its_executions() -> None:
    processor = {**ECHO, "ProcessorConfig": {"Mode": "DISTRIBUTED"}}
    definition = {"StartAt": "M", "States": {"M": {"Type": "Map", "ItemProcessor": processor, "End": True}}}
    (found,) = validate(definition)
    assert found.message == "These fields are required: [ExecutionType]"
    load({"StartAt": "M", "States": {"M": {"Type": "Map", "Iterator": {**ECHO, **STANDARD}, "End": True}}})
