from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from harness.cloud.cloud import Cloud
from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.access import access, require_role
from harness.cloud.service import Caller
from tests.cloud.sagemaker.fakes import ROLE, TRAINING, Box, FakeCloud, image, training_request, with_cloud


def role(name: str, *services: str, **statement: Any) -> dict[str, Any]:
    allowed = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": list(services)}}
    return {
        "RoleName": name,
        "AssumeRolePolicyDocument": json.dumps({"Statement": [allowed | statement]}),
    }


def arn(name: str) -> str:
    return f"arn:aws:iam::123456789012:role/{name}"


def verdict(wanted: str, *roles: dict[str, Any]) -> tuple[str, str] | None:
    """What SageMaker says of a role, with these in the local IAM."""

    async def main() -> tuple[str, str] | None:
        cloud = Cloud(services={})
        await cloud.start(None)
        try:
            for item in roles:
                await cloud.call("iam", "CreateRole", item)
            await require_role(cloud, arn(wanted))
        except ServiceError as error:
            return error.code, error.message
        finally:
            await cloud.stop()
        return None

    return asyncio.run(main())


REFUSED = (
    "ValidationException",
    "Could not assume role arn:aws:iam::123456789012:role/jobs. Please ensure that the role exists and "
    "allows principal 'sagemaker.amazonaws.com' to assume the role.",
)


@pytest.mark.parametrize(
    ("roles", "refused"),
    [
        ([], None),
        ([role("jobs", "sagemaker.amazonaws.com")], None),
        ([role("jobs", "lambda.amazonaws.com", "sagemaker.amazonaws.com")], None),
        ([role("jobs", "lambda.amazonaws.com")], REFUSED),
        ([role("jobs", "sagemaker.amazonaws.com", Action="sts:TagSession")], REFUSED),
        ([role("jobs", "sagemaker.amazonaws.com", Effect="Deny")], REFUSED),
        ([role("functions", "lambda.amazonaws.com")], None),
        ([role("other", "sagemaker.amazonaws.com")], REFUSED),
    ],
    ids=["nothing", "trusts", "trusts-two", "function", "action", "denied", "no-job-roles", "absent"],
)
def test_a_role_must_let_sagemaker_assume_it(
    roles: list[dict[str, Any]], refused: tuple[str, str] | None
) -> None:
    assert verdict("jobs", *roles) == refused


def test_a_create_call_with_a_role_that_cannot_be_assumed_is_refused() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        policy = json.loads(role("x", "lambda.amazonaws.com")["AssumeRolePolicyDocument"])
        found = {"Arn": ROLE, "AssumeRolePolicyDocument": policy}
        cloud.others["iam", "ListRoles"] = lambda params: {"Roles": [found]}
        error = await cloud.error("create_training_job", **training_request())
        assert error.message.startswith(f"Could not assume role {ROLE}. ")
        assert await cloud.do("list_training_jobs") == {"TrainingJobSummaries": []}

    with_cloud(scenario)


def test_an_isolated_job_gets_neither_gateway_nor_keys() -> None:
    async def program(box: Box) -> int:
        assert box.spec.gateway is None
        assert not [name for name in box.spec.environment if "KEY" in name or "ENDPOINT" in name]
        assert box.spec.environment["AWS_DEFAULT_REGION"] == "us-east-1"
        (box.path("/opt/ml/model") / "m").touch()
        return 0

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[TRAINING] = image(program)
        await cloud.do("create_training_job", **training_request(EnableNetworkIsolation=True))
        job = await cloud.sagemaker.wait_for_job("training", "train-1")
        assert job["TrainingJobStatus"] == "Completed"

    with_cloud(scenario)


def test_the_keys_are_those_of_the_job_in_its_role() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        reach = access(cloud, name="train-1", role=ROLE, isolated=False)
        key, secret = cloud.identify(Caller("job", "train-1", ROLE))
        assert reach.environment["AWS_ACCESS_KEY_ID"] == key
        assert reach.environment["AWS_SECRET_ACCESS_KEY"] == secret
        assert reach.gateway is not None
        assert reach.gateway.port == 1

    with_cloud(scenario)
