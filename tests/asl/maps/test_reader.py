"""ItemReader, run."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from tests.asl.helpers import ROLE, details, execute, shape, types
from tests.asl.maps.support import ECHO, Bucket, distributed, text_of

GET = "arn:aws:states:::s3:getObject"
LIST = "arn:aws:states:::s3:listObjectsV2"


def reader(resource: str = GET, key: str = "k", **config: Any) -> dict[str, Any]:
    where = {"Bucket": "b", "Key": key} if resource == GET else {"Bucket": "b", "Prefix": key}
    return {"Resource": resource, "Parameters": where, **({"ReaderConfig": config} if config else {})}


def read(item_reader: dict[str, Any], bucket: Bucket, data: Any = None, **fields: Any) -> Any:
    """The items that the child executions were given."""
    outcome, _ = execute(distributed(ItemReader=item_reader, **fields), data, maps=bucket)
    assert outcome.status == "SUCCEEDED", outcome
    return outcome.output


def refusal(item_reader: dict[str, Any], bucket: Bucket, data: Any = None, **fields: Any) -> str:
    """The cause of a Map that cannot read its items."""
    outcome, _ = execute(distributed(ItemReader=item_reader, **fields), data, maps=bucket)
    assert outcome.error == "States.ItemReaderFailed", outcome
    return outcome.cause or ""


def test_history() -> None:
    bucket = Bucket({"k": b"[1, 2]"})
    outcome, execution = execute(distributed(ItemReader=reader(InputType="JSON")), maps=bucket)
    assert outcome.output == [1, 2]
    assert details(execution, "MapStateStarted") == [{"length": 0}]
    assert shape(execution)[2:] == [
        "2->3 MapStateStarted",
        "3->4 MapRunStarted",
        "4->5 MapRunSucceeded",
        "5->6 MapStateSucceeded",
        "4->7 MapStateExited",
        "7->8 ExecutionSucceeded",
    ]


def test_objects_are_listed_page_by_page_in_the_name_of_the_execution() -> None:
    bucket = Bucket({f"in/{i}": b"x" * i for i in range(5)} | {"other": b""})
    items = read(reader(LIST, "in/"), bucket)
    assert items[3] == {
        "Etag": '"in/3"',
        "Key": "in/3",
        "LastModified": 1_700_000_000,
        "Size": 3,
        "StorageClass": "STANDARD",
    }
    assert [item["Key"] for item in items] == [f"in/{i}" for i in range(5)]
    assert len(bucket.reads) == 3
    assert bucket.callers[0]["RoleArn"] == ROLE
    assert bucket.callers[0]["Id"].endswith(":execution:m:one")


def test_no_more_pages_are_read_than_are_wanted() -> None:
    bucket = Bucket({f"in/{i}": b"" for i in range(9)})
    assert len(read(reader(LIST, "in/", MaxItems=3), bucket)) == 3
    assert len(bucket.reads) == 2


def test_an_empty_listing_is_no_failure() -> None:
    assert read(reader(LIST, "nothing/"), Bucket()) == []


def test_files() -> None:
    bucket = Bucket({"a.csv": b"x|y\n1|2\n", "b.jsonl": b'{"a":1}\n2\n', "c.json.gz": gzip.compress(b"[3]")})
    csv = reader(key="a.csv", InputType="CSV", CSVHeaderLocation="FIRST_ROW", CSVDelimiter="PIPE")
    assert read(csv, bucket) == [{"x": "1", "y": "2"}]
    given = reader(key="a.csv", InputType="CSV", CSVHeaderLocation="GIVEN", CSVHeaders=["q"])
    assert read(given, bucket) == [{"q": "x|y"}, {"q": "1|2"}]
    assert read(reader(key="b.jsonl", InputType="JSONL"), bucket) == [{"a": 1}, 2]
    assert read(reader(key="c.json.gz", InputType="JSON"), bucket) == [3]


def test_the_members_of_an_object_are_items() -> None:
    bucket = Bucket({"k": text_of({"n": {"a": 1, "b": [2]}})})
    json_reader = reader(InputType="JSON", ItemsPointer="/n")
    assert read(json_reader, bucket) == [{"Key": "a", "Value": 1}, {"Key": "b", "Value": [2]}]
    selector = {
        "i.$": "$$.Map.Item.Index",
        "k.$": "$$.Map.Item.Key",
        "v.$": "$$.Map.Item.Value",
        "s.$": "$$.Map.Item.Source",
    }
    assert read(json_reader, bucket, ItemSelector=selector) == [
        {"i": 0, "k": "a", "v": 1, "s": "S3://b/k"},
        {"i": 1, "k": "b", "v": [2], "s": "S3://b/k"},
    ]


def test_source_of_listed_objects_is_the_bucket() -> None:
    selector = {"s.$": "$$.Map.Item.Source", "k.$": "$$.Map.Item.Value.Key"}
    assert read(reader(LIST, ""), Bucket({"k": b""}), ItemSelector=selector) == [{"s": "S3://b", "k": "k"}]


def test_the_content_of_listed_objects() -> None:
    bucket = Bucket({"in/": b"", "in/1": b"[1, 2]", "in/2": b'{"a": 3}', "in/3": b"[4]"})
    flat = reader(LIST, "in/", InputType="JSON", Transformation="LOAD_AND_FLATTEN")
    selector = {"s.$": "$$.Map.Item.Source", "i.$": "$$.Map.Item.Index"}
    assert read(flat, bucket) == [1, 2, {"Key": "a", "Value": 3}, 4]
    assert read(flat, bucket, ItemSelector=selector) == [
        {"s": "S3://b/in/1", "i": 0},
        {"s": "S3://b/in/1", "i": 1},
        {"s": "S3://b/in/2", "i": 2},
        {"s": "S3://b/in/3", "i": 3},
    ]


@pytest.mark.parametrize("config", [{"InputType": "MANIFEST"}, {"ManifestType": "S3_INVENTORY"}])
def test_s3_inventory(config: dict[str, Any]) -> None:
    manifest = {
        "destinationBucket": "arn:aws:s3:::b",
        "fileFormat": "CSV",
        "fileSchema": "Bucket, Key, Size",
        "files": [{"key": "1.csv.gz"}, {"key": "2.csv.gz"}],
    }
    bucket = Bucket(
        {
            "k": text_of(manifest),
            "1.csv.gz": gzip.compress(b'"src","a b","1"\n"src","c","2"\n'),
            "2.csv.gz": gzip.compress(b'"src","d","3"\n'),
        }
    )
    items = read(reader(**config), bucket)
    assert items[0] == {"Bucket": "src", "Key": "a b", "Size": "1"}
    assert [item["Key"] for item in items] == ["a b", "c", "d"]


def test_athena_manifest() -> None:
    bucket = Bucket({"k": b"s3://b/x/1\ns3://b/x/2\n", "x/1": b"1\n2\n", "x/2": b"3\n"})
    assert read(reader(InputType="JSONL", ManifestType="ATHENA_DATA"), bucket) == [1, 2, 3]


@pytest.mark.parametrize(
    ("limit", "data", "count"),
    [({"MaxItems": 2}, {}, 2), ({"MaxItems": 9}, {}, 4), ({"MaxItemsPath": "$.n"}, {"n": 3}, 3)],
)
def test_max_items(limit: dict[str, Any], data: Any, count: int) -> None:
    bucket = Bucket({"k": b"[1, 2, 3, 4]"})
    assert read(reader(InputType="JSON", **limit), bucket, data) == [1, 2, 3, 4][:count]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({}, "The MaxItemsPath parameter does not reference an input value: $.n"),
        ({"n": "2"}, 'The MaxItemsPath field refers to value "2" which is not a valid integer: $.n'),
        ({"n": 0}, "MaxItems must be between 1 and 100000000."),
    ],
)
def test_unfit_max_items(value: Any, text: str) -> None:
    bucket = Bucket({"k": b"[1]"})
    machine = distributed(ItemReader=reader(InputType="JSON", MaxItemsPath="$.n"))
    outcome, execution = execute(machine, value, maps=bucket)
    assert outcome.error == "States.Runtime"
    assert (outcome.cause or "").endswith(text)
    assert "MapRunStarted" not in types(execution)


def test_jsonata() -> None:
    item_reader = {
        "Resource": GET,
        "ReaderConfig": {"InputType": "JSON", "MaxItems": "{% $states.input.n %}"},
        "Arguments": {"Bucket": "b", "Key": "{% $states.input.name & '.json' %}"},
    }
    bucket = Bucket({"x.json": b"[1, 2, 3]"})
    definition = distributed(ItemReader=item_reader, ItemSelector="{% $states.context.Map.Item.Value * 10 %}")
    outcome, _ = execute({**definition, "QueryLanguage": "JSONata"}, {"name": "x", "n": 2}, maps=bucket)
    assert outcome.output == [10, 20]
    whole = {**item_reader, "Arguments": "{% {'Bucket': 'b', 'Key': 'x.json'} %}"}
    outcome, _ = execute({**distributed(ItemReader=whole), "QueryLanguage": "JSONata"}, {"n": 3}, maps=bucket)
    assert outcome.output == [1, 2, 3]


def test_arguments_come_from_the_effective_input() -> None:
    item_reader = {
        "Resource": GET,
        "ReaderConfig": {"InputType": "JSON"},
        "Parameters": {"Bucket": "b", "Key.$": "$.key", "VersionId": "v"},
    }
    bucket = Bucket({"k": b"[1]"})
    assert read(item_reader, bucket, {"in": {"key": "k"}}, InputPath="$.in") == [1]
    assert bucket.reads == [{"Bucket": "b", "Key": "k", "VersionId": "v"}]


# Failures --------------------------------------------------------------------------------------------------


def test_what_s3_refuses() -> None:
    bucket = Bucket({"k": b"[1]"})
    bucket.refusal = "Access Denied (Service: Amazon S3; Status Code: 403; ...)"
    assert refusal(reader(InputType="JSON"), bucket) == bucket.refusal
    assert refusal(reader(LIST, "x"), bucket) == bucket.refusal


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"3", "Attempting to map over non-iterable node."),
        (b"{", "The file is not valid JSON"),
    ],
)
def test_unreadable_content(content: bytes, cause: str) -> None:
    assert cause in refusal(reader(InputType="JSON"), Bucket({"k": content}))


def test_a_failure_is_recorded_and_can_be_caught() -> None:
    definition = distributed(
        ItemReader=reader(InputType="JSON"),
        Catch=[{"ErrorEquals": ["States.ItemReaderFailed"], "Next": "E"}],
    )
    definition["States"]["E"] = {"Type": "Succeed"}
    outcome, execution = execute(definition, maps=Bucket())
    assert outcome.output == {
        "Error": "States.ItemReaderFailed",
        "Cause": "The specified key does not exist.",
    }
    assert shape(execution)[3:7] == [
        "3->4 MapRunStarted",
        "4->5 MapRunFailed",
        "5->6 MapStateFailed",
        "6->7 MapStateExited",
    ]
    assert details(execution, "MapRunFailed") == [
        {"error": "States.ItemReaderFailed", "cause": "The specified key does not exist."}
    ]


def test_a_request_that_is_none() -> None:
    item_reader = {
        "Resource": GET,
        "ReaderConfig": {"InputType": "JSON"},
        "Parameters": {"Bucket": "b", "Key.$": "$.key"},
    }
    assert refusal(item_reader, Bucket(), {"key": 3}) == "The value for the field 'Key' must be a STRING"


def test_an_execution_by_itself_has_no_s3() -> None:
    outcome, _ = execute(distributed(ItemReader=reader(InputType="JSON")))
    assert outcome.error == "States.ItemReaderFailed"
    assert "no Amazon S3" in (outcome.cause or "")


def test_a_large_item_is_fine_if_the_selector_makes_it_small() -> None:
    bucket = Bucket({"k": json.dumps([{"big": "x" * 300_000, "small": 1}]).encode()})
    json_reader = reader(InputType="JSON")
    assert read(json_reader, bucket, ItemSelector={"s.$": "$$.Map.Item.Value.small"}) == [{"s": 1}]
    outcome, execution = execute(distributed(ECHO, ItemReader=json_reader), maps=bucket)
    assert outcome.error == "States.DataLimitExceeded"
    assert "MapRunFailed" in types(execution)
