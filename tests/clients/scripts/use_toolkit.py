"""Script mode: the SDK uploads a program, AWS's training toolkit fetches and runs it in the container."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
from pathlib import Path

import boto3
import sagemaker
from common import BUCKET, INSTANCE, ROLE, TOOLKIT_IMAGE, refusal
from sagemaker.estimator import Estimator

session = sagemaker.Session(default_bucket=BUCKET)
s3 = boto3.client("s3")
session.default_bucket()  # makes it
session.upload_string_as_file_body("1\n2\n3\n", BUCKET, "train/a.csv")


def estimator_of(**hyperparameters: object) -> Estimator:
    return Estimator(
        image_uri=TOOLKIT_IMAGE,
        entry_point="train.py",
        source_dir=str(Path(__file__).parent / "source"),
        role=ROLE,
        instance_count=1,
        instance_type=INSTANCE,
        hyperparameters=hyperparameters,
        sagemaker_session=session,
    )


estimator = estimator_of(factor=2.5)
shown = io.StringIO()
with contextlib.redirect_stdout(shown):
    estimator.fit({"train": f"s3://{BUCKET}/train/"}, logs="All")
assert "training on 3 rows with 2.5" in shown.getvalue(), shown.getvalue()
job = session.sagemaker_client.describe_training_job(TrainingJobName=estimator.latest_training_job.name)
assert job["HyperParameters"]["sagemaker_program"] == '"train.py"'
bucket, _, key = estimator.model_data.removeprefix("s3://").partition("/")
archive = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
with tarfile.open(fileobj=io.BytesIO(archive)) as model:
    member = model.extractfile("model.json")
    assert member is not None
    written = json.load(member)
assert (written["factor"], written["rows"]) == (2.5, ["1", "2", "3"])
variables = written["variables"]
assert json.loads(variables["SM_HPS"]) == {"factor": 2.5}
assert (variables["SM_HP_FACTOR"], variables["SM_USER_ARGS"]) == ("2.5", '["--factor","2.5"]')
assert (variables["SM_CURRENT_HOST"], json.loads(variables["SM_HOSTS"])) == ("algo-1", ["algo-1"])
assert json.loads(variables["SM_CHANNELS"]) == ["train"]
assert variables["SM_CURRENT_INSTANCE_TYPE"] == INSTANCE
assert json.loads(variables["SM_TRAINING_ENV"])["job_name"] == job["TrainingJobName"]

failing = estimator_of(fail="yes")
shown = io.StringIO()
with contextlib.redirect_stdout(shown):
    error = refusal(
        sagemaker.exceptions.UnexpectedStatusException,
        lambda: failing.fit({"train": f"s3://{BUCKET}/train/"}, logs="All"),
    )
# What the toolkit writes to the failure file: of a script's own words only the log tells.
assert "AlgorithmError: ExecuteUserScriptError:\nExitCode 1" in str(error), str(error)
assert "train.py --fail yes" in str(error)
assert "ValueError: told to fail" in shown.getvalue(), shown.getvalue()
