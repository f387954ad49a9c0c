from __future__ import annotations

import json

import boto3
import pytest
from moto import mock_aws

EVENT = {
    "run": "mlops-1",
    "model": "mlops-1",
    "model_artifact": "s3://data/model.tar.gz",
    "images": "s3://data/test/",
    "predictions": "s3://data/runs/mlops-1/predictions/",
    "input": {},
}


@pytest.fixture
def evaluate(load_function):
    with mock_aws():
        module = load_function("mlops_eval", THRESHOLD="0.3")
        boto3.client("s3").create_bucket(Bucket="data")
        yield module


def put(pairs, prefix="runs/mlops-1/predictions/"):
    """Images and what was predicted for them: (true label, name, predicted label or None for no output)."""
    s3 = boto3.client("s3")
    for label, name, predicted in pairs:
        s3.put_object(Bucket="data", Key=f"test/{label}/{name}", Body=b"image")
        if predicted is not None:
            body = json.dumps({"predictions": {"class": predicted}})
            s3.put_object(Bucket="data", Key=f"{prefix}{label}/{name}.out", Body=body)


def test_f1_by_hand(evaluate):
    truth = ["a", "a", "a", "b", "b", "c"]
    predicted = ["a", "a", "b", "b", "b", "a"]
    # a: 2 hits, 3 true, 3 predicted; b: 2 hits, 2 true, 3 predicted; c: never predicted
    assert evaluate.f1_by_label(truth, predicted) == pytest.approx({"a": 4 / 6, "b": 4 / 5, "c": 0.0})


def test_a_label_that_is_only_ever_predicted_counts_as_zero(evaluate):
    assert evaluate.f1_by_label(["a"], ["z"]) == {"a": 0.0, "z": 0.0}


def test_scores_a_run(evaluate):
    put([("0", "1.png", "0"), ("0", "2.png", "0"), ("1", "1.png", "1"), ("1", "2.png", "0")])

    result = evaluate.handler(EVENT, None)

    assert result.pop("f1_by_label") == pytest.approx({"0": 0.8, "1": 2 / 3})
    assert result.pop("f1score") == pytest.approx((0.8 + 2 / 3) / 2)
    assert result == {
        "run": "mlops-1",
        "model": "mlops-1",
        "model_artifact": "s3://data/model.tar.gz",
        "threshold": 0.3,
        "images": 4,
    }
    json.dumps(result)


def test_the_result_is_plain_json(evaluate):
    put([("0", "1.png", "1")])
    json.dumps(evaluate.handler(EVENT, None))


def test_more_objects_than_one_page_of_a_listing_holds(evaluate, monkeypatch):
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
    put([("0", f"{number}.png", "0") for number in range(7)])
    assert boto3.client("s3").list_objects_v2(Bucket="data")["IsTruncated"]
    assert evaluate.handler(EVENT, None)["images"] == 7


def test_an_image_without_output_is_an_error_that_names_it(evaluate):
    put([("0", "1.png", "0"), ("1", "1.png", None)])
    with pytest.raises(evaluate.MissingPredictions, match=r"1 of 2 images.*1/1\.png"):
        evaluate.handler(EVENT, None)


def test_another_run_s_output_is_not_taken_for_this_one_s(evaluate):
    put([("0", "1.png", "0")], prefix="runs/mlops-0/predictions/")
    with pytest.raises(evaluate.MissingPredictions):
        evaluate.handler(EVENT, None)


def test_no_images_at_all_is_an_error(evaluate):
    with pytest.raises(evaluate.MissingPredictions, match="no images"):
        evaluate.handler(EVENT, None)


@pytest.mark.parametrize("body", [b"", b"3", b"[]", b'{"predictions": null}', b'{"predictions": {}}'])
def test_output_of_another_shape_is_an_error_that_names_the_object(evaluate, body):
    put([("0", "1.png", "0")])
    boto3.client("s3").put_object(Bucket="data", Key="runs/mlops-1/predictions/0/1.png.out", Body=body)
    with pytest.raises(evaluate.InvalidPrediction, match=r"predictions/0/1\.png\.out"):
        evaluate.handler(EVENT, None)


def test_an_image_in_no_folder_has_no_label(evaluate):
    s3 = boto3.client("s3")
    s3.put_object(Bucket="data", Key="test/1.png", Body=b"image")
    s3.put_object(
        Bucket="data", Key="runs/mlops-1/predictions/1.png.out", Body=b'{"predictions": {"class": "0"}}'
    )
    with pytest.raises(evaluate.InvalidInput, match=r"1\.png"):
        evaluate.handler(EVENT, None)


def test_folder_markers_are_not_images(evaluate):
    put([("0", "1.png", "0")])
    boto3.client("s3").put_object(Bucket="data", Key="test/", Body=b"")
    boto3.client("s3").put_object(Bucket="data", Key="test/0/", Body=b"")
    assert evaluate.handler(EVENT, None)["images"] == 1


@pytest.mark.parametrize(("given", "expected"), [({}, 0.3), ({"threshold": 0.5}, 0.5), ({"threshold": 1}, 1)])
def test_the_threshold_is_the_input_s_else_the_environment_s(evaluate, given, expected):
    assert evaluate.threshold(given) == expected


@pytest.mark.parametrize("given", ["0.5", True, [1]])
def test_a_threshold_that_is_no_number_is_refused(evaluate, given):
    with pytest.raises(evaluate.InvalidInput):
        evaluate.threshold({"threshold": given})
