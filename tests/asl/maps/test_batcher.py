"""ItemBatcher, run."""

from __future__ import annotations

from typing import Any

import pytest

from harness.asl.values import json_size
from tests.asl.helpers import execute
from tests.asl.maps.support import Bucket, distributed


def batches(items: Any, data: Any = None, **batcher: Any) -> Any:
    """The inputs of the child executions."""
    definition = distributed(ItemBatcher=batcher, ItemsPath="$.items")
    outcome, _ = execute(definition, {"items": items, **(data or {})})
    assert outcome.status == "SUCCEEDED", outcome
    return outcome.output


def test_max_items_per_batch() -> None:
    assert batches([1, 2, 3, 4, 5], MaxItemsPerBatch=2) == [
        {"Items": [1, 2]},
        {"Items": [3, 4]},
        {"Items": [5]},
    ]
    assert batches([], MaxItemsPerBatch=2) == []
    assert batches([1, 2, 3], {"n": 3}, MaxItemsPerBatchPath="$.n") == [{"Items": [1, 2, 3]}]


@pytest.mark.parametrize("size", [40, 41, 60, 100])
def test_max_input_bytes_per_batch(size: int) -> None:
    found = batches(["x" * 10] * 20, MaxInputBytesPerBatch=size)
    assert [item for batch in found for item in batch["Items"]] == ["x" * 10] * 20
    full = found[:-1]
    assert all(json_size(batch) <= size for batch in full)
    assert all(json_size(batch) + len('"xxxxxxxxxx",') > size for batch in full)


def test_batch_input_counts() -> None:
    common = {"c": "y" * 20}
    found = batches(["x" * 10] * 9, BatchInput=common, MaxInputBytesPerBatch=100)
    assert all(json_size(batch) <= 100 and batch["BatchInput"] == common for batch in found)
    assert len(found) < len(batches(["x" * 10] * 9, MaxInputBytesPerBatch=40))


def test_both_limits() -> None:
    found = batches(["x" * 30, "x", "x", "x", "x"], MaxItemsPerBatch=3, MaxInputBytesPerBatch=50)
    assert [len(batch["Items"]) for batch in found] == [2, 3]


def test_an_item_that_is_too_large_is_a_batch_of_its_own() -> None:
    found = batches(["x", "y" * 100, "z"], MaxInputBytesPerBatch=20)
    assert [batch["Items"] for batch in found] == [["x"], ["y" * 100], ["z"]]


def test_without_a_size_the_payload_limit_holds() -> None:
    found = batches(["x" * 1000] * 200, {"n": 1000}, MaxItemsPerBatchPath="$.n")
    assert len(found) == 1  # these fit; with BatchInput on top they do not
    bucket = Bucket()
    definition = distributed(ItemBatcher={"MaxItemsPerBatch": 1000, "BatchInput": {"c": "y" * 100_000}})
    execute(definition, ["x" * 1000] * 200, maps=bucket)
    assert [child.items for child in bucket.started] == [161, 39]


def test_batch_input_with_paths() -> None:
    found = batches([1], {"k": 7}, MaxItemsPerBatch=1, BatchInput={"k.$": "$.k", "e.$": "$$.Execution.Name"})
    assert found == [{"BatchInput": {"k": 7, "e": "one"}, "Items": [1]}]


def test_items_are_selected_before_they_are_batched() -> None:
    definition = distributed(
        ItemBatcher={"MaxItemsPerBatch": 2},
        ItemSelector={"v.$": "$$.Map.Item.Value", "i.$": "$$.Map.Item.Index"},
    )
    outcome, _ = execute(definition, ["a", "b", "c"])
    assert outcome.output == [
        {"Items": [{"v": "a", "i": 0}, {"v": "b", "i": 1}]},
        {"Items": [{"v": "c", "i": 2}]},
    ]


def test_jsonata() -> None:
    batcher = {
        "MaxItemsPerBatch": "{% $states.input.n %}",
        "MaxInputBytesPerBatch": "{% 1000 %}",
        "BatchInput": {"k": "{% $states.input.k %}"},
    }
    definition = distributed(ItemBatcher=batcher, Items="{% $states.input.items %}")
    data = {"items": [1, 2, 3], "n": 2, "k": 7}
    outcome, _ = execute({**definition, "QueryLanguage": "JSONata"}, data)
    assert outcome.output == [
        {"BatchInput": {"k": 7}, "Items": [1, 2]},
        {"BatchInput": {"k": 7}, "Items": [3]},
    ]


@pytest.mark.parametrize(
    ("batcher", "data", "text"),
    [
        ({"MaxItemsPerBatchPath": "$.n"}, {"n": 0}, "MaxItemsPerBatch must be positive."),
        ({"MaxInputBytesPerBatchPath": "$.n"}, {"n": 262_145}, "must be between 1 and 262144."),
        (
            {"MaxItemsPerBatchPath": "$.n"},
            {"n": "x"},
            'refers to value "x" which is not a valid integer: $.n',
        ),
        ({"MaxItemsPerBatch": 1, "BatchInput": {"x.$": "$.nope"}}, {}, "could not be found in the input"),
    ],
)
def test_what_cannot_be_evaluated(batcher: dict[str, Any], data: dict[str, Any], text: str) -> None:
    definition = distributed(ItemBatcher=batcher, ItemsPath="$.items")
    outcome, _ = execute(definition, {"items": [1], **data})
    assert outcome.error == "States.Runtime"
    assert text in (outcome.cause or "")
