"""InvokeEndpoint: the way to the containers, limits, sessions, errors, many callers at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from harness.containers.archive import pack
from harness.containers.contract.serving import MULTI_MODEL_LABEL
from tests.cloud.sagemaker.fakes import ROLE, SERVING, Box, FakeCloud, image, variant, with_cloud

Answer = tuple[int, dict[str, str], bytes]
SECOND = "123456789012.dkr.ecr.us-east-1.amazonaws.com/second:1"


def program(answer: Any) -> Any:
    """A serving program; `answer(path, headers, body)` may be a coroutine function."""

    async def run(box: Box) -> int:
        async def handler(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
            if path == "/ping":
                return 200, {}, b""
            found: Answer = await answer(path, headers, body)
            return found

        await box.listen(handler)
        return 0

    return run


async def deploy(cloud: FakeCloud, model: dict[str, Any], **config: Any) -> None:
    await cloud.do("create_model", ModelName="digits", ExecutionRoleArn=ROLE, **model)
    variants = config.pop("ProductionVariants", [variant()])
    await cloud.do("create_endpoint_config", EndpointConfigName="c", ProductionVariants=variants, **config)
    await cloud.do("create_endpoint", EndpointName="digits", EndpointConfigName="c")
    await cloud.settle()
    described = await cloud.do("describe_endpoint", EndpointName="digits")
    assert described["EndpointStatus"] == "InService", described


async def invoke(cloud: FakeCloud, body: bytes = b"hi", **params: Any) -> dict[str, Any]:
    return await cloud.do("invoke_endpoint", EndpointName="digits", Body=body, **params)


async def refusal(cloud: FakeCloud, **params: Any) -> str:
    params = {"EndpointName": "digits", "Body": b"", **params}
    error = await cloud.error("invoke_endpoint", **params)
    assert error.code == "ValidationError"
    return error.message


def pipeline(mode: str | None = None) -> dict[str, Any]:
    model: dict[str, Any] = {
        "Containers": [
            {"Image": SERVING, "ContainerHostname": "first"},
            {"Image": SECOND, "ContainerHostname": "second"},
        ]
    }
    return model if mode is None else {**model, "InferenceExecutionConfig": {"Mode": mode}}


def test_a_pipeline_hands_on_body_and_content_type() -> None:
    seen: list[dict[str, str]] = []

    async def first(path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        seen.append(dict(headers))
        return 200, {"Content-Type": "text/csv"}, body + b",1"

    async def second(path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        seen.append(dict(headers))
        return 200, {"Content-Type": "application/json"}, b"[" + body + b"]"

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images |= {SERVING: image(program(first)), SECOND: image(program(second))}
        await deploy(cloud, pipeline())
        answer = await invoke(cloud, b"7", ContentType="text/plain", Accept="application/json")
        assert (answer["Body"], answer["ContentType"]) == (b"[7,1]", "application/json")
        assert [one["content-type"] for one in seen] == ["text/plain", "text/csv"]
        assert [one.get("accept") for one in seen] == [None, "application/json"]

    with_cloud(scenario)


@pytest.mark.parametrize("failing", ["first", "second"])
def test_the_container_of_a_pipeline_that_fails_is_named(failing: str) -> None:
    asked: list[str] = []

    def one(name: str) -> Any:
        async def answer(path: str, headers: Mapping[str, str], body: bytes) -> Answer:
            asked.append(name)
            return (503 if name == failing else 200), {}, b"from " + name.encode()

        return image(program(answer))

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images |= {SERVING: one("first"), SECOND: one("second")}
        await deploy(cloud, pipeline())
        error = await cloud.error("invoke_endpoint", EndpointName="digits", Body=b"")
        assert (error.code, error.status) == ("ModelError", 424)
        start = f'Received server error (503) from {failing} with message "from {failing}". See https://'
        assert error.message.startswith(start)
        assert asked == ["first", "second"][: 1 if failing == "first" else 2]

    with_cloud(scenario)


def test_a_pipeline_has_one_time_limit() -> None:
    async def slow(path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        await asyncio.sleep(0.3)  # of the 0.5 s that both together have
        return 200, {}, body

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images |= {SERVING: image(program(slow)), SECOND: image(program(slow))}
        await deploy(cloud, pipeline())
        error = await cloud.error("invoke_endpoint", EndpointName="digits", Body=b"")
        assert error.fields["OriginalStatusCode"] == 0
        assert "waiting for a response from container second." in error.fields["OriginalMessage"]

    with_cloud(scenario)


def test_direct_mode_invokes_the_container_that_is_named() -> None:
    def one(name: bytes) -> Any:
        async def answer(path: str, headers: Mapping[str, str], body: bytes) -> Answer:
            return 200, {}, name

        return image(program(answer))

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images |= {SERVING: one(b"one"), SECOND: one(b"two")}
        await deploy(cloud, pipeline("Direct"))
        assert (await invoke(cloud, TargetContainerHostname="second"))["Body"] == b"two"
        assert (await invoke(cloud, TargetContainerHostname="first"))["Body"] == b"one"
        assert "TargetContainerHostname is required" in await refusal(cloud)
        message = await refusal(cloud, TargetContainerHostname="third")
        assert message == "Container third not found for model digits."

    with_cloud(scenario)


def test_a_multi_model_endpoint_serves_the_model_that_is_asked_for() -> None:
    loaded: dict[str, str] = {}

    async def answer(path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if path == "/models":
            asked = json.loads(body)
            loaded[asked["model_name"]] = asked["url"]
            return (500, {}, b"no such format") if len(loaded) > 2 else (200, {}, b"")
        _, models, name, verb = path.split("/")
        assert (models, verb, name in loaded) == ("models", "invoke", True)
        return 200, {}, name.encode()

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = replace(image(program(answer)), labels={MULTI_MODEL_LABEL: "true"})
        for name in ("a", "b", "c"):
            cloud.storage.put("data", f"models/{name}.tar.gz", pack(None))
        container = {"Image": SERVING, "Mode": "MultiModel", "ModelDataUrl": "s3://data/models/"}
        await deploy(cloud, {"PrimaryContainer": container})
        first = (await invoke(cloud, TargetModel="a.tar.gz"))["Body"].decode()
        second = (await invoke(cloud, TargetModel="b.tar.gz"))["Body"].decode()
        assert (await invoke(cloud, TargetModel="a.tar.gz"))["Body"].decode() == first
        assert list(loaded) == [first, second]
        assert "TargetModel is required" in await refusal(cloud)
        message = await refusal(cloud, TargetModel="none.tar.gz")
        assert message.startswith("Failed to download model data(bucket: data, key: models/none.tar.gz)")
        error = await cloud.error("invoke_endpoint", EndpointName="digits", Body=b"", TargetModel="c.tar.gz")
        assert (error.code, error.fields["OriginalMessage"]) == ("ModelError", "no such format")

    with_cloud(scenario)


def test_targets_that_the_model_does_not_have_are_refused() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await deploy(cloud, {"PrimaryContainer": {"Image": SERVING}})
        assert "multi-model" in await refusal(cloud, TargetModel="a.tar.gz")
        assert "Direct" in await refusal(cloud, TargetContainerHostname="primary")
        message = await refusal(cloud, EndpointName="Digits")
        assert message == "Endpoint Digits of account 123456789012 not found."
        assert (
            "InvokeEndpoint"
            in (
                await cloud.error(
                    "invoke_endpoint_async", EndpointName="digits", InputLocation="s3://data/in"
                )
            ).message
        )

    with_cloud(scenario)


def test_the_body_is_limited() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        serverless = {
            "VariantName": "AllTraffic",
            "ModelName": "digits",
            "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 1},
        }
        await deploy(cloud, {"PrimaryContainer": {"Image": SERVING}}, ProductionVariants=[serverless])
        message = await refusal(cloud, Body=b"x" * (4 * 2**20 + 1))
        assert message.endswith("Member must have length less than or equal to 4194304")
        assert len((await invoke(cloud, b"x" * 4 * 2**20))["Body"]) == 4 * 2**20

    with_cloud(scenario)


def test_a_serverless_variant_takes_so_many_at_a_time() -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def waits(path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        entered.set()
        await leave.wait()
        return 200, {}, body

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(program(waits))
        serverless = {
            "VariantName": "AllTraffic",
            "ModelName": "digits",
            "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 1},
        }
        await deploy(cloud, {"PrimaryContainer": {"Image": SERVING}}, ProductionVariants=[serverless])
        first = asyncio.ensure_future(invoke(cloud))
        await entered.wait()
        error = await cloud.error("invoke_endpoint", EndpointName="digits", Body=b"")
        assert error.code == "ThrottlingException"
        leave.set()
        assert (await first)["Body"] == b"hi"
        assert (await invoke(cloud))["Body"] == b"hi"

    with_cloud(scenario)


def test_a_session_stays_on_its_instance() -> None:
    instances: list[int] = []

    def one() -> Any:
        async def answer(path: str, headers: Mapping[str, str], body: bytes) -> Answer:
            session = headers["x-amzn-sagemaker-session-id"]
            if session == "new_session":  # the fake's server reads it in lower case
                expires = {"X-Amzn-SageMaker-New-Session-Id": "s-1; Expires=2030-01-01T00:00:00Z"}
                return 200, expires, b""
            closed = {"X-Amzn-SageMaker-Closed-Session-Id": session} if body == b"close" else {}
            return 200, closed, b""

        async def run(box: Box) -> int:
            number = len(instances)
            instances.append(0)

            async def counted(path: str, headers: Mapping[str, str], body: bytes) -> Answer:
                instances[number] += 1
                return await answer(path, headers, body)

            return await program(counted)(box)

        return image(run)

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = one()
        two = variant() | {"InitialInstanceCount": 2}
        await deploy(cloud, {"PrimaryContainer": {"Image": SERVING}}, ProductionVariants=[two])
        begun = await invoke(cloud, SessionId="NEW_SESSION")
        assert begun["NewSessionId"] == "s-1; Expires=2030-01-01T00:00:00Z"
        for _ in range(5):
            assert "ClosedSessionId" not in await invoke(cloud, SessionId="s-1")
        assert sorted(instances) == [0, 6]
        assert (await invoke(cloud, b"close", SessionId="s-1"))["ClosedSessionId"] == "s-1"
        for _ in range(2):
            await invoke(cloud, SessionId="s-1")
        assert sorted(instances) == [1, 8]

    with_cloud(scenario)


def test_fifty_callers_get_their_own_answers() -> None:
    async def answer(path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        await asyncio.sleep(0)
        return 200, {"X-Amzn-SageMaker-Custom-Attributes": headers[CUSTOM]}, body[::-1]

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(program(answer))
        await deploy(cloud, {"PrimaryContainer": {"Image": SERVING}})
        wanted = iter(range(2_000))
        answered: list[int] = []

        async def caller() -> None:
            for number in wanted:
                body = f"{number:05}".encode()
                got = await invoke(cloud, body, CustomAttributes=f"n-{number}")
                assert (got["Body"], got["CustomAttributes"]) == (body[::-1], f"n-{number}")
                answered.append(number)

        await asyncio.gather(*(caller() for _ in range(50)))
        assert sorted(answered) == list(range(2_000))
        (container,) = cloud.containers.started
        assert container.connections <= 51  # kept and reused; one more was /ping's

    with_cloud(scenario)


CUSTOM = "x-amzn-sagemaker-custom-attributes"
