"""Container images, as requests name them.

AWS words the refusal of an unknown image differently for jobs and for models; both texts are as users quote
them in public issues.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from harness.cloud.sagemaker.validation import invalid
from harness.containers.runtime import Image

__all__ = [
    "processing_image",
    "require_label",
    "require_model_image",
    "require_training_image",
    "resolved",
]

_ECR = re.compile(
    r"(?P<registry>\d{12})\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/(?P<repository>[^:@]+)([:@].+)?"
)


def require_training_image(images: Mapping[str, Image], uri: str, role: str) -> Image:
    """The image of a training job.

    Raises:
        ServiceError: ValidationException when there is no such image.
    """
    if uri in images:
        return images[uri]
    match = _ECR.fullmatch(uri)
    if match is None:
        raise invalid(
            "TrainingImageConfig with TrainingRepositoryAccessMode set to VPC must be provided when using a "
            "training image from a private Docker registry. Please provide TrainingImageConfig and "
            "TrainingRepositoryAccessMode set to VPC when using a training image from a private Docker "
            "registry."
        )
    raise invalid(
        f"Cannot find repository: {match['repository']} in registry ID: {match['registry']} Please check if "
        f"your ECR repository exists and role {role} has proper pull permissions for SageMaker: "
        "ecr:BatchCheckLayerAvailability, ecr:BatchGetImage, ecr:GetDownloadUrlForLayer"
    )


def processing_image(images: Mapping[str, Image], uri: str) -> Image | None:
    """The image of a processing job; None when there is none, which SageMaker notices only when the job runs.

    Raises:
        ServiceError: ValidationException when the URI is not that of an image in ECR.
    """
    if uri in images:
        return images[uri]
    if _ECR.fullmatch(uri) is None:
        raise invalid(
            f"Invalid image URI {uri}. Please provide a valid Amazon Elastic Container Registry path of the "
            "Docker image to run."
        )
    return None


def require_model_image(images: Mapping[str, Image], uri: str) -> Image:
    """The image of a model.

    Raises:
        ServiceError: ValidationException when there is no such image.
    """
    if uri in images:
        return images[uri]
    if _ECR.fullmatch(uri) is None:
        raise invalid(f'Using non-ECR image "{uri}" without Vpc repository access mode is not supported.')
    raise invalid(f"Requested image {uri} not found.")


def require_label(image: Image, uri: str, label: str) -> None:
    """Refuse an image that does not say it can do what is asked of it.

    Args:
        image: The image.
        uri: What the request calls it.
        label: Name of a label that must be ``true``.

    Raises:
        ServiceError: ValidationException.
    """
    if image.labels.get(label) != "true":
        raise invalid(f"Your Ecr Image {uri} does not contain required {label}=true Docker label(s).")


def resolved(uri: str, image: Image) -> str:
    """An image URI by digest: ``repository@sha256:...``."""
    repository = uri.partition("@")[0]
    head, slash, tail = repository.rpartition("/")
    return f"{head}{slash}{tail.partition(':')[0]}@{image.digest}"
