"""The SageMaker API: which operations there are, and who carries them out."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from harness.cloud.sagemaker.access import require_role
from harness.cloud.sagemaker.endpoints.configs import EndpointConfigs
from harness.cloud.sagemaker.endpoints.endpoints import Endpoints
from harness.cloud.sagemaker.endpoints.instance import Health
from harness.cloud.sagemaker.jobs import Jobs
from harness.cloud.sagemaker.models.models import Models
from harness.cloud.sagemaker.models.package_groups import ModelPackageGroups
from harness.cloud.sagemaker.models.packages import ModelPackages
from harness.cloud.sagemaker.models.search import Search
from harness.cloud.sagemaker.processing.jobs import ProcessingJobs
from harness.cloud.sagemaker.records import Tags, check_tags
from harness.cloud.sagemaker.training.jobs import TrainingJobs
from harness.cloud.sagemaker.transform.jobs import TransformJobs
from harness.cloud.sagemaker.tuning.jobs import TuningJobs
from harness.cloud.sagemaker.validation import invalid
from harness.cloud.service import CloudContext, Request, Service

__all__ = ["SageMaker"]

Answer = dict[str, Any]
JobKind = Literal["training", "transform", "processing", "tuning"]


class Creating(Protocol):
    """What carries out a Create operation."""

    def create(self, params: dict[str, Any]) -> Answer:
        """Answer the request."""


class SageMaker(Service):
    """The control plane.

    Args:
        cloud: The cloud it belongs to.
        startup_limit: Real seconds a serving container has to answer ``/ping``.
        ping_interval: Real seconds between two pings of a container that serves.
    """

    name = "sagemaker"

    def __init__(
        self,
        cloud: CloudContext,
        *,
        startup_limit: float = Health.startup_limit,
        ping_interval: float = Health.interval,
    ) -> None:
        super().__init__(cloud)
        self._tags = Tags()
        self._groups = ModelPackageGroups(cloud, self._tags)
        self._packages = ModelPackages(cloud, self._groups, self._tags)
        self._models = Models(cloud, self._tags, self._packages.containers)
        self._training = TrainingJobs(cloud, self._tags)
        self._transform = TransformJobs(cloud, self._models, self._tags, startup_limit=startup_limit)
        self._processing = ProcessingJobs(cloud, self._tags)
        self._tuning = TuningJobs(cloud, self._training, self._tags)
        self._search = Search(
            {
                "TrainingJob": self._training.documents,
                "ModelPackage": self._packages.documents,
                "ModelPackageGroup": self._groups.documents,
            },
            self._tags,
        )
        self._configs = EndpointConfigs(cloud, self._models, self._tags)
        health = Health(startup_limit, ping_interval)
        self.endpoints = Endpoints(cloud, self._configs, self._tags, health)

    async def close(self) -> None:
        await self.endpoints.close()

    async def wait_for_job(self, kind: JobKind, name: str) -> Answer:
        """The Describe response of a job, once it has ended.

        Raises:
            ServiceError: ValidationException, ResourceNotFound (tuning): there is no such job.
        """
        jobs: dict[JobKind, Jobs[Any]] = {
            "training": self._training,
            "transform": self._transform,
            "processing": self._processing,
            "tuning": self._tuning,
        }
        return await jobs[kind].wait(name)

    # Training jobs

    async def create_training_job(self, request: Request) -> Answer:
        await require_role(self.cloud, request.params["RoleArn"])
        return self._create(self._training, request)

    async def describe_training_job(self, request: Request) -> Answer:
        return self._training.describe(request.params["TrainingJobName"])

    async def list_training_jobs(self, request: Request) -> Answer:
        return self._training.list(request.params)

    async def stop_training_job(self, request: Request) -> Answer:
        self._training.stop(request.params["TrainingJobName"])
        return {}

    async def delete_training_job(self, request: Request) -> Answer:
        self._training.delete(request.params["TrainingJobName"])
        return {}

    # Models

    async def create_model(self, request: Request) -> Answer:
        if role := request.params.get("ExecutionRoleArn"):
            await require_role(self.cloud, role)
        return self._create(self._models, request)

    async def describe_model(self, request: Request) -> Answer:
        return self._models.describe(request.params["ModelName"])

    async def list_models(self, request: Request) -> Answer:
        return self._models.list(request.params)

    async def delete_model(self, request: Request) -> Answer:
        self._models.delete(request.params["ModelName"])
        return {}

    # The model registry

    async def create_model_package_group(self, request: Request) -> Answer:
        return self._create(self._groups, request)

    async def describe_model_package_group(self, request: Request) -> Answer:
        return self._groups.describe(request.params["ModelPackageGroupName"])

    async def list_model_package_groups(self, request: Request) -> Answer:
        return self._groups.list(request.params)

    async def delete_model_package_group(self, request: Request) -> Answer:
        self._groups.delete(request.params["ModelPackageGroupName"])
        return {}

    async def put_model_package_group_policy(self, request: Request) -> Answer:
        params = request.params
        return self._groups.put_policy(params["ModelPackageGroupName"], params["ResourcePolicy"])

    async def get_model_package_group_policy(self, request: Request) -> Answer:
        return self._groups.get_policy(request.params["ModelPackageGroupName"])

    async def delete_model_package_group_policy(self, request: Request) -> Answer:
        self._groups.delete_policy(request.params["ModelPackageGroupName"])
        return {}

    async def create_model_package(self, request: Request) -> Answer:
        return self._create(self._packages, request)

    async def describe_model_package(self, request: Request) -> Answer:
        params = request.params
        metadata_only = params.get("IncludedData") == "MetadataOnly"
        return self._packages.describe(params["ModelPackageName"], metadata_only=metadata_only)

    async def batch_describe_model_package(self, request: Request) -> Answer:
        return self._packages.describe_several(request.params["ModelPackageArnList"])

    async def update_model_package(self, request: Request) -> Answer:
        return self._packages.update(request.params)

    async def list_model_packages(self, request: Request) -> Answer:
        return self._packages.list(request.params)

    async def delete_model_package(self, request: Request) -> Answer:
        self._packages.delete(request.params["ModelPackageName"])
        return {}

    async def search(self, request: Request) -> Answer:
        return self._search.search(request.params)

    # Transform jobs

    async def create_transform_job(self, request: Request) -> Answer:
        return self._create(self._transform, request)

    async def describe_transform_job(self, request: Request) -> Answer:
        return self._transform.describe(request.params["TransformJobName"])

    async def list_transform_jobs(self, request: Request) -> Answer:
        return self._transform.list(request.params)

    async def stop_transform_job(self, request: Request) -> Answer:
        self._transform.stop(request.params["TransformJobName"])
        return {}

    # Processing jobs

    async def create_processing_job(self, request: Request) -> Answer:
        await require_role(self.cloud, request.params["RoleArn"])
        return self._create(self._processing, request)

    async def describe_processing_job(self, request: Request) -> Answer:
        return self._processing.describe(request.params["ProcessingJobName"])

    async def list_processing_jobs(self, request: Request) -> Answer:
        return self._processing.list(request.params)

    async def stop_processing_job(self, request: Request) -> Answer:
        self._processing.stop(request.params["ProcessingJobName"])
        return {}

    async def delete_processing_job(self, request: Request) -> Answer:
        self._processing.delete(request.params["ProcessingJobName"])
        return {}

    # Hyperparameter tuning jobs

    async def create_hyper_parameter_tuning_job(self, request: Request) -> Answer:
        one, several = (request.params.get(f"TrainingJobDefinition{end}") for end in ("", "s"))
        for definition in several or filter(None, [one]):
            await require_role(self.cloud, definition["RoleArn"])
        return self._create(self._tuning, request)

    async def describe_hyper_parameter_tuning_job(self, request: Request) -> Answer:
        return self._tuning.describe(request.params["HyperParameterTuningJobName"])

    async def list_hyper_parameter_tuning_jobs(self, request: Request) -> Answer:
        return self._tuning.list(request.params)

    async def list_training_jobs_for_hyper_parameter_tuning_job(self, request: Request) -> Answer:
        return self._tuning.list_training_jobs(request.params)

    async def stop_hyper_parameter_tuning_job(self, request: Request) -> Answer:
        self._tuning.stop(request.params["HyperParameterTuningJobName"])
        return {}

    async def delete_hyper_parameter_tuning_job(self, request: Request) -> Answer:
        self._tuning.delete(request.params["HyperParameterTuningJobName"])
        return {}

    # Endpoint configurations

    async def create_endpoint_config(self, request: Request) -> Answer:
        return self._create(self._configs, request)

    async def describe_endpoint_config(self, request: Request) -> Answer:
        return self._configs.describe(request.params["EndpointConfigName"])

    async def list_endpoint_configs(self, request: Request) -> Answer:
        return self._configs.list(request.params)

    async def delete_endpoint_config(self, request: Request) -> Answer:
        self._configs.delete(request.params["EndpointConfigName"])
        return {}

    # Endpoints

    async def create_endpoint(self, request: Request) -> Answer:
        return self._create(self.endpoints, request)

    async def describe_endpoint(self, request: Request) -> Answer:
        return self.endpoints.describe(request.params["EndpointName"])

    async def list_endpoints(self, request: Request) -> Answer:
        return self.endpoints.list(request.params)

    async def update_endpoint(self, request: Request) -> Answer:
        return self.endpoints.update(request.params)

    async def update_endpoint_weights_and_capacities(self, request: Request) -> Answer:
        return self.endpoints.update_weights_and_capacities(request.params)

    async def delete_endpoint(self, request: Request) -> Answer:
        self.endpoints.delete(request.params["EndpointName"])
        return {}

    # Tags

    async def add_tags(self, request: Request) -> Answer:
        arn = self._tagged(request)
        check_tags(request.params["Tags"])
        self._tags.add(arn, request.params["Tags"])
        return {"Tags": self._tags.of(arn)}

    async def list_tags(self, request: Request) -> Answer:
        # A resource has no more tags than the smallest page holds: there never is a second page.
        if request.params.get("NextToken"):
            raise invalid("Invalid NextToken.")
        return {"Tags": self._tags.of(self._tagged(request))}

    async def delete_tags(self, request: Request) -> Answer:
        self._tags.remove(self._tagged(request), request.params["TagKeys"])
        return {}

    def _tagged(self, request: Request) -> str:
        arn: str = request.params["ResourceArn"]
        if not self._tags.known(arn):
            raise invalid("Requested resource not found.")
        return arn

    @staticmethod
    def _create(records: Creating, request: Request) -> Answer:
        """Create something that takes tags."""
        check_tags(request.params.get("Tags", ()))
        return records.create(request.params)
