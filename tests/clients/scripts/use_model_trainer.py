"""The model trainer of the SageMaker Python SDK, version 3: an image's own program, and a user's script."""

from __future__ import annotations

import os
from pathlib import Path

import boto3
from common import BUCKET, IMAGE, INSTANCE, ROLE
from sagemaker.core.helper.session_helper import Session
from sagemaker.train.configs import Compute, InputData, SourceCode
from sagemaker.train.model_trainer import ModelTrainer

# It would simulate the role's policies with IAM, which the stand-in for IAM cannot.
os.environ["SAGEMAKER_VALIDATE_ROLE"] = "false"

session = Session(default_bucket=BUCKET)
session.default_bucket()  # makes it
boto3.client("s3").put_object(Bucket=BUCKET, Key="train/a.csv", Body=b"1\n2\n3\n")
data = InputData(channel_name="train", data_source=f"s3://{BUCKET}/train/")


def trained(source_code: SourceCode | None = None) -> str:
    """Train; the URI of the model's archive."""
    trainer = ModelTrainer(
        training_image=IMAGE,
        role=ROLE,
        sagemaker_session=session,
        compute=Compute(instance_type=INSTANCE, instance_count=1),
        hyperparameters={"factor": 2.0},
        source_code=source_code,
        base_job_name="trainer",
    )
    trainer.train(input_data_config=[data], wait=True, logs=True)
    job = trainer._latest_training_job
    assert job.training_job_status == "Completed"
    return str(job.model_artifacts.s3_model_artifacts)


assert trained().endswith("/output/model.tar.gz")
source = Path(__file__).parent / "source"
assert trained(SourceCode(source_dir=str(source), entry_script="train.py")).endswith("/output/model.tar.gz")
