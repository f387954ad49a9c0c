"""The SageMaker Python SDK, version 2: an estimator fitted, deployed, asked; batches; processing; tuning."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import boto3
import sagemaker
from common import BUCKET, IMAGE, INSTANCE, ROLE, refusal
from sagemaker.deserializers import CSVDeserializer
from sagemaker.estimator import Estimator
from sagemaker.model import Model
from sagemaker.predictor import Predictor
from sagemaker.processing import ProcessingInput, ProcessingOutput, Processor
from sagemaker.serializers import CSVSerializer
from sagemaker.tuner import CategoricalParameter, HyperparameterTuner

boto = boto3.Session()
session = sagemaker.Session(
    boto_session=boto,
    sagemaker_client=boto.client("sagemaker"),
    sagemaker_runtime_client=boto.client("sagemaker-runtime"),
    default_bucket=BUCKET,
)
data = Path("data")
data.mkdir()
(data / "a.csv").write_text("1;2;3")


def text_of(key: str) -> str:
    return boto.resource("s3").Object(BUCKET, key).get()["Body"].read().decode()


# The session makes its bucket.
raw = session.upload_data(str(data), key_prefix="raw")
assert raw == f"s3://{BUCKET}/raw"

processor = Processor(
    role=ROLE,
    image_uri=IMAGE,
    entrypoint=["python3", "/opt/program/program.py", "process"],
    instance_count=1,
    instance_type=INSTANCE,
    sagemaker_session=session,
)
shown = io.StringIO()
with contextlib.redirect_stdout(shown):
    processor.run(
        inputs=[ProcessingInput(source=raw, destination="/opt/ml/processing/raw")],
        outputs=[ProcessingOutput(source="/opt/ml/processing/clean", destination=f"s3://{BUCKET}/clean")],
        wait=True,
        logs=True,
    )
assert "cleaning a.csv" in shown.getvalue(), shown.getvalue()
assert text_of("clean/a.csv") == "1\n2\n3"


def estimator_of(**hyperparameters: object) -> Estimator:
    return Estimator(
        image_uri=IMAGE,
        role=ROLE,
        instance_count=1,
        instance_type=INSTANCE,
        output_path=f"s3://{BUCKET}/out",
        hyperparameters=hyperparameters,
        metric_definitions=[{"Name": "loss", "Regex": "loss=(.*?);"}],
        sagemaker_session=session,
    )


estimator = estimator_of(factor=2)
shown = io.StringIO()
with contextlib.redirect_stdout(shown):
    estimator.fit({"train": f"s3://{BUCKET}/clean/"}, wait=True, logs="All")
assert "trained on 3 rows" in shown.getvalue(), shown.getvalue()
assert "Completed" in shown.getvalue(), shown.getvalue()
assert estimator.model_data.startswith(f"s3://{BUCKET}/out/")
metrics = session.sagemaker_client.describe_training_job(TrainingJobName=estimator.latest_training_job.name)
assert [(metric["MetricName"], metric["Value"]) for metric in metrics["FinalMetricDataList"]] == [
    ("loss", 0.5)
]

failing = estimator_of(fail="yes")
with contextlib.redirect_stdout(io.StringIO()):
    error = refusal(
        sagemaker.exceptions.UnexpectedStatusException,
        lambda: failing.fit({"train": f"s3://{BUCKET}/clean/"}, logs="All"),
    )
assert error.actual_status == "Failed"
assert "told to fail" in str(error)

# deploy(wait=True) looks every 30 seconds; the same wait, looking every second.
predictor = estimator.deploy(
    initial_instance_count=1,
    instance_type=INSTANCE,
    serializer=CSVSerializer(),
    deserializer=CSVDeserializer(),
    wait=False,
)
session.wait_for_endpoint(predictor.endpoint_name, poll=1)
assert predictor.predict([1]) == [["2.0"]]
predictor.delete_model()
predictor.delete_endpoint(delete_endpoint_config=True)

model = Model(
    image_uri=IMAGE,
    model_data=estimator.model_data,
    role=ROLE,
    predictor_cls=Predictor,
    sagemaker_session=session,
)
predictor = model.deploy(1, INSTANCE, endpoint_name="by-model", wait=False)
session.wait_for_endpoint("by-model", poll=1)
assert predictor.predict(b"4") == b"8.0\n"
predictor.delete_endpoint()

transformer = estimator.transformer(
    instance_count=1, instance_type=INSTANCE, assemble_with="Line", output_path=f"s3://{BUCKET}/batch"
)
transformer.transform(f"s3://{BUCKET}/clean/", content_type="text/csv", split_type="Line", wait=False)
with contextlib.redirect_stdout(io.StringIO()):
    transformer.wait(logs=False)
assert text_of("batch/a.csv.out").split() == ["2.0", "4.0", "6.0"]

package = estimator.register(
    content_types=["text/csv"],
    response_types=["text/csv"],
    inference_instances=[INSTANCE],
    transform_instances=[INSTANCE],
    model_package_group_name="doublers",
    approval_status="Approved",
)
assert package.model_package_arn.endswith("model-package/doublers/1")
package.deploy(1, INSTANCE, endpoint_name="by-package", wait=False)
session.wait_for_endpoint("by-package", poll=1)
assert Predictor("by-package", sagemaker_session=session).predict(b"5") == b"10.0\n"
Predictor("by-package", sagemaker_session=session).delete_endpoint()

tuner = HyperparameterTuner(
    estimator_of(),
    objective_metric_name="loss",
    hyperparameter_ranges={"factor": CategoricalParameter([2, 4])},
    metric_definitions=[{"Name": "loss", "Regex": "loss=(.*?);"}],
    strategy="Grid",
    objective_type="Minimize",
    max_jobs=2,
    max_parallel_jobs=2,
)
with contextlib.redirect_stdout(io.StringIO()):
    tuner.fit({"train": f"s3://{BUCKET}/clean/"})
best = session.sagemaker_client.describe_training_job(TrainingJobName=tuner.best_training_job())
assert best["HyperParameters"]["factor"].strip('"') == "4"
