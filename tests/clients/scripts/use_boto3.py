"""boto3, with all its waiters of SageMaker: from data to an endpoint and back to nothing."""

from __future__ import annotations

import boto3
from botocore.exceptions import ClientError, WaiterError
from common import BUCKET, IMAGE, INSTANCE, ROLE, refusal

QUICKLY = {"Delay": 1, "MaxAttempts": 60}
CLUSTER = {"InstanceType": INSTANCE, "InstanceCount": 1, "VolumeSizeInGB": 1}

s3 = boto3.client("s3")
sagemaker = boto3.client("sagemaker")
runtime = boto3.client("sagemaker-runtime")


def wait(waiter: str, **names: str) -> None:
    sagemaker.get_waiter(waiter).wait(**names, WaiterConfig=QUICKLY)


def s3_input(prefix: str) -> dict[str, object]:
    return {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/{prefix}"}}


def training_job(name: str, **hyperparameters: str) -> None:
    sagemaker.create_training_job(
        TrainingJobName=name,
        RoleArn=ROLE,
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        HyperParameters=hyperparameters,
        InputDataConfig=[{"ChannelName": "train", "DataSource": s3_input("clean/")}],
        OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/out"},
        ResourceConfig=CLUSTER,
        StoppingCondition={"MaxRuntimeInSeconds": 600},
    )


s3.create_bucket(Bucket=BUCKET)
s3.put_object(Bucket=BUCKET, Key="raw/a.csv", Body=b"1;2;3")

local = "/opt/ml/processing"
sagemaker.create_processing_job(
    ProcessingJobName="clean",
    RoleArn=ROLE,
    AppSpecification={"ImageUri": IMAGE, "ContainerArguments": ["process"]},
    ProcessingResources={"ClusterConfig": CLUSTER},
    ProcessingInputs=[
        {
            "InputName": "raw",
            "S3Input": {
                "S3Uri": f"s3://{BUCKET}/raw/",
                "LocalPath": f"{local}/raw",
                "S3DataType": "S3Prefix",
                "S3InputMode": "File",
            },
        }
    ],
    ProcessingOutputConfig={
        "Outputs": [
            {
                "OutputName": "clean",
                "S3Output": {
                    "S3Uri": f"s3://{BUCKET}/clean",
                    "LocalPath": f"{local}/clean",
                    "S3UploadMode": "EndOfJob",
                },
            }
        ]
    },
)
wait("processing_job_completed_or_stopped", ProcessingJobName="clean")
assert s3.get_object(Bucket=BUCKET, Key="clean/a.csv")["Body"].read() == b"1\n2\n3"

training_job("good", factor="2")
wait("training_job_completed_or_stopped", TrainingJobName="good")
job = sagemaker.describe_training_job(TrainingJobName="good")
assert job["TrainingJobStatus"] == "Completed"

training_job("bad", fail="yes")
error = refusal(WaiterError, lambda: wait("training_job_completed_or_stopped", TrainingJobName="bad"))
assert "told to fail" in error.last_response["FailureReason"]

archive = job["ModelArtifacts"]["S3ModelArtifacts"]
sagemaker.create_model(
    ModelName="doubler", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": IMAGE, "ModelDataUrl": archive}
)

sagemaker.create_transform_job(
    TransformJobName="batch",
    ModelName="doubler",
    TransformInput={"DataSource": s3_input("clean/"), "ContentType": "text/csv", "SplitType": "Line"},
    TransformOutput={"S3OutputPath": f"s3://{BUCKET}/predictions", "AssembleWith": "Line"},
    TransformResources={"InstanceType": INSTANCE, "InstanceCount": 1},
)
wait("transform_job_completed_or_stopped", TransformJobName="batch")
predictions = s3.get_object(Bucket=BUCKET, Key="predictions/a.csv.out")["Body"].read()
assert predictions.split() == [b"2.0", b"4.0", b"6.0"]

sagemaker.create_endpoint_config(
    EndpointConfigName="doubler",
    ProductionVariants=[
        {
            "VariantName": "AllTraffic",
            "ModelName": "doubler",
            "InitialInstanceCount": 1,
            "InstanceType": INSTANCE,
        }
    ],
)
sagemaker.create_endpoint(EndpointName="doubler", EndpointConfigName="doubler")
wait("endpoint_in_service", EndpointName="doubler")
answer = runtime.invoke_endpoint(EndpointName="doubler", ContentType="text/csv", Body=b"21")
assert (answer["Body"].read(), answer["ContentType"]) == (b"42.0\n", "text/csv")
assert answer["InvokedProductionVariant"] == "AllTraffic"
error = refusal(
    runtime.exceptions.ModelError,
    lambda: runtime.invoke_endpoint(EndpointName="doubler", ContentType="text/csv", Body=b"x"),
)
assert error.response["OriginalStatusCode"] == 400

sagemaker.delete_endpoint(EndpointName="doubler")
wait("endpoint_deleted", EndpointName="doubler")
sagemaker.delete_endpoint_config(EndpointConfigName="doubler")
sagemaker.delete_model(ModelName="doubler")

# The registry: a version that is not approved makes no model.
sagemaker.create_model_package_group(
    ModelPackageGroupName="doublers", Tags=[{"Key": "team", "Value": "numbers"}]
)
package = sagemaker.create_model_package(
    ModelPackageGroupName="doublers",
    InferenceSpecification={
        "Containers": [{"Image": IMAGE, "ModelDataUrl": archive}],
        "SupportedContentTypes": ["text/csv"],
        "SupportedResponseMIMETypes": ["text/csv"],
    },
)["ModelPackageArn"]


def create_registered_model() -> None:
    container = {"ModelPackageName": package}
    sagemaker.create_model(ModelName="registered", ExecutionRoleArn=ROLE, PrimaryContainer=container)


assert refusal(ClientError, create_registered_model).response["Error"]["Code"] == "ValidationException"
sagemaker.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Approved")
listed = sagemaker.get_paginator("list_model_packages").paginate(
    ModelPackageGroupName="doublers", ModelApprovalStatus="Approved"
)
assert [item["ModelPackageArn"] for page in listed for item in page["ModelPackageSummaryList"]] == [package]
create_registered_model()
sagemaker.delete_model_package(ModelPackageName=package)
sagemaker.delete_model_package_group(ModelPackageGroupName="doublers")
