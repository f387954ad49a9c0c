"""The resource classes of the SageMaker Python SDK, version 3."""

from __future__ import annotations

import boto3
from botocore.exceptions import ClientError
from common import BUCKET, IMAGE, INSTANCE, ROLE, refusal
from sagemaker.core.resources import (
    Endpoint,
    EndpointConfig,
    Model,
    ModelPackage,
    ModelPackageGroup,
    ProcessingJob,
    Tag,
    TrainingJob,
    TransformJob,
)
from sagemaker.core.shapes import (
    AlgorithmSpecification,
    AppSpecification,
    Channel,
    ContainerDefinition,
    DataSource,
    OutputDataConfig,
    ProcessingClusterConfig,
    ProcessingInput,
    ProcessingOutput,
    ProcessingOutputConfig,
    ProcessingResources,
    ProcessingS3Input,
    ProcessingS3Output,
    ProductionVariant,
    ResourceConfig,
    S3DataSource,
    StoppingCondition,
    TransformDataSource,
    TransformInput,
    TransformOutput,
    TransformResources,
    TransformS3DataSource,
)
from sagemaker.core.shapes import Tag as TagShape
from sagemaker.core.utils.exceptions import FailedStatusError

session = boto3.Session()
s3 = session.client("s3")
s3.create_bucket(Bucket=BUCKET)
s3.put_object(Bucket=BUCKET, Key="raw/a.csv", Body=b"1;2;3")
QUICKLY = {"poll": 1, "timeout": 120}


def content(key: str) -> list[bytes]:
    return s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().split()


processing = ProcessingJob.create(
    processing_job_name="clean",
    role_arn=ROLE,
    app_specification=AppSpecification(image_uri=IMAGE, container_arguments=["process"]),
    processing_resources=ProcessingResources(
        cluster_config=ProcessingClusterConfig(instance_type=INSTANCE, instance_count=1, volume_size_in_gb=1)
    ),
    processing_inputs=[
        ProcessingInput(
            input_name="raw",
            s3_input=ProcessingS3Input(
                s3_uri=f"s3://{BUCKET}/raw/",
                local_path="/opt/ml/processing/raw",
                s3_data_type="S3Prefix",
                s3_input_mode="File",
            ),
        )
    ],
    processing_output_config=ProcessingOutputConfig(
        outputs=[
            ProcessingOutput(
                output_name="clean",
                s3_output=ProcessingS3Output(
                    s3_uri=f"s3://{BUCKET}/clean",
                    local_path="/opt/ml/processing/clean",
                    s3_upload_mode="EndOfJob",
                ),
            )
        ]
    ),
    session=session,
)
processing.wait(**QUICKLY, logs=True)
assert content("clean/a.csv") == [b"1", b"2", b"3"]


def training_job(name: str, **hyperparameters: str) -> TrainingJob:
    return TrainingJob.create(
        training_job_name=name,
        role_arn=ROLE,
        hyper_parameters=hyperparameters,
        algorithm_specification=AlgorithmSpecification(training_image=IMAGE, training_input_mode="File"),
        input_data_config=[
            Channel(
                channel_name="train",
                data_source=DataSource(
                    s3_data_source=S3DataSource(s3_data_type="S3Prefix", s3_uri=f"s3://{BUCKET}/clean/")
                ),
            )
        ],
        output_data_config=OutputDataConfig(s3_output_path=f"s3://{BUCKET}/out"),
        resource_config=ResourceConfig(instance_type=INSTANCE, instance_count=1, volume_size_in_gb=1),
        stopping_condition=StoppingCondition(max_runtime_in_seconds=600),
        session=session,
    )


job = training_job("good", factor="2")
job.wait(**QUICKLY, logs=True)
assert job.training_job_status == "Completed"
assert [found.training_job_name for found in TrainingJob.get_all(session=session)] == ["good"]
archive = job.model_artifacts.s3_model_artifacts

error = refusal(FailedStatusError, lambda: training_job("bad", fail="yes").wait(**QUICKLY))
assert "told to fail" in str(error)

model = Model.create(
    model_name="doubler",
    primary_container=ContainerDefinition(image=IMAGE, model_data_url=archive),
    execution_role_arn=ROLE,
    tags=[TagShape(key="team", value="numbers")],
    session=session,
)
tags = Tag.get_all(resource_arn=model.model_arn, session=session)
assert [(tag.key, tag.value) for tag in tags] == [("team", "numbers")]

transform = TransformJob.create(
    transform_job_name="batch",
    model_name=model.model_name,
    transform_input=TransformInput(
        data_source=TransformDataSource(
            s3_data_source=TransformS3DataSource(s3_data_type="S3Prefix", s3_uri=f"s3://{BUCKET}/clean/")
        ),
        content_type="text/csv",
        split_type="Line",
    ),
    transform_output=TransformOutput(s3_output_path=f"s3://{BUCKET}/batch", assemble_with="Line"),
    transform_resources=TransformResources(instance_type=INSTANCE, instance_count=1),
    session=session,
)
transform.wait(**QUICKLY)
assert content("batch/a.csv.out") == [b"2.0", b"4.0", b"6.0"]

config = EndpointConfig.create(
    endpoint_config_name="doubler",
    production_variants=[
        ProductionVariant(
            variant_name="AllTraffic",
            model_name=model.model_name,
            initial_instance_count=1,
            instance_type=INSTANCE,
        )
    ],
    session=session,
)
endpoint = Endpoint.create(
    endpoint_name="doubler", endpoint_config_name=config.endpoint_config_name, session=session
)
endpoint.wait_for_status("InService", **QUICKLY)
answer = endpoint.invoke(body=b"21", content_type="text/csv", session=session)
assert answer.body.read() == b"42.0\n"
endpoint.delete()
endpoint.wait_for_delete(**QUICKLY)
config.delete()
model.delete()
assert "Could not find model" in str(refusal(ClientError, model.refresh))

group = ModelPackageGroup.create(model_package_group_name="doublers", session=session)
# ModelPackage.create looks for a name in the answer to CreateModelPackage, which has none, on AWS either.
arn = session.client("sagemaker").create_model_package(
    ModelPackageGroupName=group.model_package_group_name,
    InferenceSpecification={
        "Containers": [{"Image": IMAGE, "ModelDataUrl": archive}],
        "SupportedContentTypes": ["text/csv"],
        "SupportedResponseMIMETypes": ["text/csv"],
    },
)["ModelPackageArn"]
package = ModelPackage.get(model_package_name=arn, session=session)
package.wait_for_status("Completed", **QUICKLY)
package.update(model_approval_status="Approved", approval_description="good")
package.refresh()
assert package.model_approval_status == "Approved"
registered = Model.create(
    model_name="registered",
    primary_container=ContainerDefinition(model_package_name=package.model_package_arn),
    execution_role_arn=ROLE,
    session=session,
)
assert registered.primary_container.model_package_name == package.model_package_arn
# Nor has a version a name, by which alone ModelPackage.delete would delete it.
session.client("sagemaker").delete_model_package(ModelPackageName=package.model_package_arn)
group.delete()
