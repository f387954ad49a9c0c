"""What runs on an instance: several containers, many models, and who looks after them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.endpoints.instance import Instance
from harness.cloud.sagemaker.endpoints.multi_model import ModelLoadFailed
from harness.containers.archive import pack
from harness.containers.contract.serving import BIND_TO_PORT_LABEL, MULTI_MODEL_LABEL
from harness.containers.runtime import Image
from tests.cloud.sagemaker.fakes import (
    ROLE,
    SERVING,
    Box,
    FakeCloud,
    Program,
    image,
    serves,
    variant,
    with_cloud,
)

OTHER = "123456789012.dkr.ecr.us-east-1.amazonaws.com/other:1"


def labelled(program: Program, label: str) -> Image:
    made = image(program)
    return Image(made.name, made.digest, labels={label: "true"}, payload=program)


async def deploy(cloud: FakeCloud, *containers: dict[str, Any], **params: Any) -> dict[str, Any]:
    await cloud.do(
        "create_model", ModelName="m", Containers=list(containers), ExecutionRoleArn=ROLE, **params
    )
    await cloud.do("create_endpoint_config", EndpointConfigName="c", ProductionVariants=[variant(model="m")])
    await cloud.do("create_endpoint", EndpointName="e", EndpointConfigName="c")
    await cloud.settle()
    return await cloud.do("describe_endpoint", EndpointName="e")


def instance_of(cloud: FakeCloud) -> Instance:
    fleet = cloud.sagemaker.endpoints.get("e").fleet
    assert fleet is not None
    instance = fleet.variants["AllTraffic"].instance()
    assert instance is not None
    return instance


async def until(condition: Any) -> None:
    """Wait, in real time, for what happens in the background."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.002)


def test_the_containers_of_a_model_run_side_by_side(tmp_path: Path) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        (tmp_path / "weights").write_text("1")
        cloud.put(**{"model.tar.gz": pack(tmp_path)})
        cloud.images[OTHER] = labelled(serves(lambda body: (200, b"other")), BIND_TO_PORT_LABEL)
        described = await deploy(
            cloud,
            {"Image": SERVING, "Environment": {"A": "1"}},
            {"Image": OTHER, "ModelDataUrl": "s3://data/model.tar.gz"},
        )
        assert described["EndpointStatus"] == "InService"
        images = described["ProductionVariants"][0]["DeployedImages"]
        assert [deployed["SpecifiedImage"] for deployed in images] == [SERVING, OTHER]
        servers = instance_of(cloud).servers
        assert list(servers) == ["container-1", "container-2"]
        answer = await servers["container-2"].invoke(b"", {}, timeout=5)
        assert answer.body == b"other"
        first, second = (container.spec for container in cloud.containers.started)
        assert first.ports == (8080,)
        assert first.environment["A"] == "1"
        assert "SAGEMAKER_BIND_TO_PORT" not in first.environment
        assert second.ports == (8081,)
        assert second.environment["SAGEMAKER_BIND_TO_PORT"] == "8081"
        assert second.environment["SAGEMAKER_SAFE_PORT_RANGE"] == "10000-10999"
        [mount] = second.mounts
        assert (mount.target, mount.read_only) == (PurePosixPath("/opt/ml/model"), True)
        assert (mount.source / "weights").read_text() == "1"
        assert list(first.mounts[0].source.iterdir()) == []
        streams = sorted(stream.split("/") for _, stream in cloud.logs)
        assert [stream[2] for stream in streams] == ["container-1", "container-2"]
        assert len({stream[1] for stream in streams}) == 1

    with_cloud(scenario)


@pytest.mark.parametrize(
    ("kind", "uri", "files"),
    [
        ("S3Prefix", "s3://data/m/", {"config": b"1", "deep/weights": b"2"}),
        ("S3Object", "s3://data/m/deep/weights", {"weights": b"2"}),
    ],
)
def test_uncompressed_model_data(kind: str, uri: str, files: dict[str, bytes]) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.put(m__config=b"1", m__deep__weights=b"2", m__empty__=b"")
        source = {"S3DataType": kind, "CompressionType": "None", "S3Uri": uri}
        await deploy(cloud, {"Image": SERVING, "ModelDataSource": {"S3DataSource": source}})
        folder = cloud.containers.started[0].spec.mounts[0].source
        found = {
            str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()
        }
        assert found == files

    with_cloud(scenario)


def test_a_key_that_climbs_out_of_the_model_folder_fails_the_endpoint() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        cloud.storage.put("data", "m/../../evil", b"")
        source = {"S3DataType": "S3Prefix", "CompressionType": "None", "S3Uri": "s3://data/m/"}
        described = await deploy(cloud, {"Image": SERVING, "ModelDataSource": {"S3DataSource": source}})
        assert described["EndpointStatus"] == "Failed"
        assert "would lie outside of the model folder" in described["FailureReason"]
        assert cloud.containers.started == []

    with_cloud(scenario)


def test_the_least_busy_instance_is_chosen_where_that_is_asked_for() -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await cloud.do("create_model", ModelName="m", PrimaryContainer={"Image": SERVING})
        routing = {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"}
        asked = variant(model="m", InitialInstanceCount=3, RoutingConfig=routing)
        await cloud.do("create_endpoint_config", EndpointConfigName="c", ProductionVariants=[asked])
        await cloud.do("create_endpoint", EndpointName="e", EndpointConfigName="c")
        await cloud.settle()
        first = instance_of(cloud)
        with first.invocation():
            second = instance_of(cloud)
            with second.invocation():
                third = instance_of(cloud)
                assert len({id(first), id(second), id(third)}) == 3
            assert instance_of(cloud) in (second, third)
        assert first.in_flight == 0

    with_cloud(scenario)


@pytest.mark.parametrize("isolated", [False, True])
def test_what_the_containers_reach(isolated: bool) -> None:
    async def scenario(cloud: FakeCloud) -> None:
        await deploy(cloud, {"Image": SERVING}, EnableNetworkIsolation=isolated)
        [container] = cloud.containers.started
        assert container.spec.environment["AWS_REGION"] == "us-east-1"
        if isolated:
            assert container.spec.gateway is None
            assert "AWS_ACCESS_KEY_ID" not in container.spec.environment
        else:
            assert container.spec.gateway is not None
            assert container.spec.gateway.port == 1
            assert container.spec.environment["AWS_SECRET_ACCESS_KEY"] == f"secret of e as {ROLE}"

    with_cloud(scenario)


def test_one_container_that_fails_takes_the_others_down() -> None:
    async def broken(box: Box) -> int:
        return 3

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[OTHER] = image(broken)
        described = await deploy(
            cloud,
            {"Image": SERVING, "ContainerHostname": "pre"},
            {"Image": OTHER, "ContainerHostname": "post"},
        )
        assert described["EndpointStatus"] == "Failed"
        assert described["FailureReason"].startswith("The post container for production variant AllTraffic")
        assert all(container.ended for container in cloud.containers.started)
        assert ["The container did not become ready: the container ended with exit code 3"] in [
            lines for (_, stream), lines in cloud.logs.items() if stream.endswith("/post")
        ]

    with_cloud(scenario)


# Health -----------------------------------------------------------------------------------------------


def test_a_container_that_no_longer_answers_is_replaced() -> None:
    healthy = {"now": True}
    pings: list[bool] = []

    async def program(box: Box) -> int:
        async def handler(
            method: str, path: str, headers: Mapping[str, str], body: bytes
        ) -> tuple[int, dict[str, str], bytes]:
            pings.append(healthy["now"])
            return (200 if healthy["now"] else 503), {}, b""

        await box.listen(handler)
        return 0

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[OTHER] = image(program)
        await deploy(cloud, {"Image": SERVING}, {"Image": OTHER})
        instance = instance_of(cloud)
        _, sick = cloud.containers.started
        before = len(pings)
        await until(lambda: len(pings) > before + 2)  # it is pinged while it serves
        healthy["now"] = False
        await until(lambda: sick.ended)
        assert pings.count(False) >= 3
        assert not instance.ready
        healthy["now"] = True
        await until(lambda: instance.ready)
        assert [container.ended for container in cloud.containers.started] == [False, True, False]
        lines = [line for lines in cloud.logs.values() for line in lines]
        assert "The container did not answer 3 pings; it is being replaced." in lines
        await cloud.do("delete_endpoint", EndpointName="e")
        await cloud.settle()
        assert all(container.ended for container in cloud.containers.started)

    with_cloud(scenario, ping_interval=0.005)


def test_one_failed_ping_is_forgiven() -> None:
    answers = [200, 200, 500, 500, 200, 200, 500, 500, 200]
    given = 0

    async def program(box: Box) -> int:
        async def handler(
            method: str, path: str, headers: Mapping[str, str], body: bytes
        ) -> tuple[int, dict[str, str], bytes]:
            nonlocal given
            given += 1
            return answers[given % len(answers)], {}, b""

        await box.listen(handler)
        return 0

    async def scenario(cloud: FakeCloud) -> None:
        cloud.images[SERVING] = image(program)
        await deploy(cloud, {"Image": SERVING})
        await until(lambda: given > 2 * len(answers))
        assert len(cloud.containers.started) == 1

    with_cloud(scenario, ping_interval=0.005)


# Many models ------------------------------------------------------------------------------------------


class Shelf:
    """A multi-model program with room for two models."""

    def __init__(self) -> None:
        self.models: dict[str, Path] = {}
        self.calls: list[str] = []

    async def __call__(self, box: Box) -> int:
        self.models.clear()

        async def handler(
            method: str, path: str, headers: Mapping[str, str], body: bytes
        ) -> tuple[int, dict[str, str], bytes]:
            if path == "/ping":
                return 200, {}, b""
            self.calls.append(f"{method} {path}")
            if method == "DELETE":
                del self.models[path.removeprefix("/models/")]
                return 200, {}, b""
            if path == "/models":
                return self.load(box, **json.loads(body))
            return 200, {}, (self.models[path.split("/")[2]] / "name").read_bytes()

        await box.listen(handler)
        return 0

    def load(self, box: Box, model_name: str, url: str) -> tuple[int, dict[str, str], bytes]:
        if model_name in self.models:
            return 409, {}, b"loaded"
        if len(self.models) == 2:
            return 507, {}, b"no room"
        folder = box.path(url)
        if (folder / "broken").exists():
            return 500, {}, b"cannot read it"
        self.models[model_name] = folder
        return 200, {}, b""


def with_models(scenario: Any, tmp_path: Path) -> None:
    async def prepared(cloud: FakeCloud) -> None:
        shelf = Shelf()
        cloud.images[SERVING] = labelled(shelf, MULTI_MODEL_LABEL)
        for name in ("a", "b", "c", "broken"):
            folder = tmp_path / name
            folder.mkdir()
            (folder / ("broken" if name == "broken" else "name")).write_text(name)
            cloud.storage.put("data", f"models/{name}.tar.gz", pack(folder))
        cloud.storage.put("data", "models/text.tar.gz", b"text")
        await deploy(cloud, {"Image": SERVING, "Mode": "MultiModel", "ModelDataUrl": "s3://data/models/"})
        await scenario(cloud, shelf, instance_of(cloud))

    with_cloud(prepared)


async def ask(instance: Instance, target: str) -> bytes:
    [server] = instance.servers.values()
    async with instance.loaded(target) as name:
        answer = await server.invoke(b"", {}, timeout=5, path=f"/models/{name}/invoke")
    return answer.body


def test_models_are_loaded_when_they_are_first_asked_for(tmp_path: Path) -> None:
    async def scenario(cloud: FakeCloud, shelf: Shelf, instance: Instance) -> None:
        [container] = cloud.containers.started
        assert container.spec.environment["SAGEMAKER_MULTI_MODEL"] == "true"
        assert container.spec.mounts[0].target == PurePosixPath("/opt/ml/models")
        assert shelf.calls == []
        assert await ask(instance, "a.tar.gz") == b"a"
        assert await ask(instance, "/a.tar.gz") == b"a"
        answers = await asyncio.gather(*(ask(instance, "b.tar.gz") for _ in range(5)))
        assert answers == [b"b"] * 5
        assert shelf.calls.count("POST /models") == 2

    with_models(scenario, tmp_path)


def test_the_least_recently_used_model_makes_room(tmp_path: Path) -> None:
    async def scenario(cloud: FakeCloud, shelf: Shelf, instance: Instance) -> None:
        for target in ("a", "b", "a", "c"):
            assert await ask(instance, f"{target}.tar.gz") == target.encode()
        loaded = sorted((folder / "name").read_text() for folder in shelf.models.values())
        assert loaded == ["a", "c"]
        assert await ask(instance, "b.tar.gz") == b"b"
        loaded = sorted((folder / "name").read_text() for folder in shelf.models.values())
        assert loaded == ["b", "c"]

    with_models(scenario, tmp_path)


def test_a_model_in_use_is_not_unloaded(tmp_path: Path) -> None:
    async def scenario(cloud: FakeCloud, shelf: Shelf, instance: Instance) -> None:
        async with instance.loaded("a.tar.gz"), instance.loaded("b.tar.gz"):
            with pytest.raises(ModelLoadFailed, match="507: no room"):
                await ask(instance, "c.tar.gz")
        assert await ask(instance, "c.tar.gz") == b"c"

    with_models(scenario, tmp_path)


def test_models_that_cannot_be_loaded(tmp_path: Path) -> None:
    async def scenario(cloud: FakeCloud, shelf: Shelf, instance: Instance) -> None:
        with pytest.raises(ServiceError, match=r"bucket: data, key: models/none\.tar\.gz") as missing:
            await ask(instance, "none.tar.gz")
        assert missing.value.code == "ValidationError"
        with pytest.raises(
            ServiceError, match=r"Failed to extract model data archive .*models/text\.tar\.gz"
        ):
            await ask(instance, "text.tar.gz")
        with pytest.raises(ModelLoadFailed) as failed:
            await ask(instance, "broken.tar.gz")
        assert (failed.value.status, failed.value.text) == (500, "cannot read it")
        assert await ask(instance, "a.tar.gz") == b"a"
        cloud.storage.put("data", "models/none.tar.gz", cloud.storage.get("data", "models/b.tar.gz"))
        assert await ask(instance, "none.tar.gz") == b"b"  # it is there now

    with_models(scenario, tmp_path)


def test_a_replaced_container_gets_its_models_again(tmp_path: Path) -> None:
    async def scenario(cloud: FakeCloud, shelf: Shelf, instance: Instance) -> None:
        assert await ask(instance, "a.tar.gz") == b"a"
        await cloud.containers.started[0].kill()
        await until(lambda: len(cloud.containers.started) == 2 and instance.ready)
        assert await ask(instance, "a.tar.gz") == b"a"
        assert shelf.calls.count("POST /models") == 2

    with_models(scenario, tmp_path)
