"""Operations on functions themselves: create, look, change, delete."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.functions import configuration
from harness.cloud.functions.invocations import Invoker
from harness.cloud.functions.model import LATEST, Function, FunctionName, Version, conflict, invalid
from harness.cloud.functions.packages import Package, PackageStore
from harness.cloud.functions.registry import Registry, page
from harness.cloud.service import CloudContext, Request, Service
from harness.errors import EnvironmentFault
from harness.project.cache import cache_folder


class FunctionOperations(Service):
    """CreateFunction to DeleteFunction, and what all operations share.

    Args:
        cloud: The cloud.
        prewarm: Start the template process of a runtime as soon as a function with it is created, so that
            the first invocation need not wait for it.
    """

    def __init__(self, cloud: CloudContext, *, prewarm: bool = True) -> None:
        super().__init__(cloud)
        folder = cloud.folder / "functions"
        self.registry = Registry(cloud)
        self.packages = PackageStore(cache_folder() / "packages")
        self.invoker = Invoker(cloud, folder, self.packages)
        self._prewarm = prewarm

    async def create_function(self, request: Request) -> dict[str, Any]:
        params = request.params
        named = FunctionName.parse(params["FunctionName"])
        configuration.check(params)
        if named.name in self.registry.functions:
            raise conflict(f"Function already exist: {named.name}")
        layers = tuple(self.registry.layer(arn) for arn in params.get("Layers", []))
        code = await self.unpack(params["Code"])
        if named.name in self.registry.functions:  # created while we were unpacking
            raise conflict(f"Function already exist: {named.name}")
        latest = configuration.create(
            params,
            arn=self.registry.function_arn(named.name),
            code=code,
            layers=layers,
            now=self.cloud.clock.now(),
            revision=self.registry.revision(),
        )
        function = Function(latest, tags=dict(params.get("Tags", {})))
        self.registry.functions[named.name] = function
        await self._announce(latest)
        if params.get("Publish"):
            return describe(self.publish(function, None), qualified=True)
        return describe(latest)

    async def get_function(self, request: Request) -> dict[str, Any]:
        function, qualifier = self.registry.find(
            request.params["FunctionName"], request.params.get("Qualifier")
        )
        version = self.registry.version(function, qualifier)
        answer: dict[str, Any] = {
            "Configuration": describe(version, qualified=qualifier is not None, qualifier=qualifier),
            "Code": {"RepositoryType": "S3", "Location": version.code.archive.as_uri()},
        }
        if function.tags:
            answer["Tags"] = dict(function.tags)
        if function.reserved is not None:
            answer["Concurrency"] = {"ReservedConcurrentExecutions": function.reserved}
        return answer

    async def get_function_configuration(self, request: Request) -> dict[str, Any]:
        function, qualifier = self.registry.find(
            request.params["FunctionName"], request.params.get("Qualifier")
        )
        version = self.registry.version(function, qualifier)
        return describe(version, qualified=qualifier is not None, qualifier=qualifier)

    async def list_functions(self, request: Request) -> dict[str, Any]:
        params = request.params
        everything = params.get("FunctionVersion") == "ALL"
        versions: list[Version] = []
        # MasterRegion asks for replicas of Lambda@Edge, of which there are none.
        if params.get("MasterRegion", "ALL") == "ALL":
            for _, function in sorted(self.registry.functions.items()):
                versions.append(function.latest)
                if everything:
                    versions += function.versions.values()
        shown, more = page(versions, params, lambda version: f"{version.name}:{version.number}")
        return {"Functions": [describe(version, qualified=everything) for version in shown], **more}

    async def update_function_code(self, request: Request) -> dict[str, Any]:
        params = request.params
        function = self._changeable(params)
        configuration.check(params)
        code = await self.unpack(params)
        return await self._update(function, params, code=code, dry=params.get("DryRun", False))

    async def update_function_configuration(self, request: Request) -> dict[str, Any]:
        params = request.params
        function = self._changeable(params)
        configuration.check(params)
        return await self._update(function, params, code=function.latest.code)

    async def delete_function(self, request: Request) -> dict[str, Any]:
        function, qualifier = self.registry.find(
            request.params["FunctionName"], request.params.get("Qualifier")
        )
        name = function.latest.name
        if qualifier is None:
            del self.registry.functions[name]
            for version in (function.latest, *function.versions.values()):
                self.invoker.retire(version)
            return {"StatusCode": 204}
        if qualifier == LATEST:
            raise invalid("$LATEST version cannot be deleted without deleting the function.")
        users = sorted(name for name, alias in function.aliases.items() if qualifier in _targets(alias))
        if users:
            raise conflict(
                f"Unable to delete version {qualifier} because the following aliases reference it: {users}"
            )
        if qualifier in function.versions:
            self.invoker.retire(function.versions.pop(qualifier))
        return {"StatusCode": 204}

    # Shared ----------------------------------------------------------------------------------------------

    async def unpack(self, code: Mapping[str, Any]) -> Package:
        """Take the archive a request brings, or names in S3, and unpack it.

        Raises:
            ServiceError: InvalidParameterValueException.
        """
        content = code.get("ZipFile")
        if content is None:
            if "S3Bucket" not in code or "S3Key" not in code:
                raise invalid("Please provide a source for function code.")
            for name in ("S3ObjectVersion", "SourceKMSKeyArn"):
                if code.get(name):
                    raise invalid(f"{name} is not supported by the local cloud.")
            try:
                content = self.cloud.storage.get(code["S3Bucket"], code["S3Key"])
            except ServiceError as error:
                raise invalid(
                    f"Error occurred while GetObject. S3 Error Code: {error.code}. "
                    f"S3 Error Message: {error.message}"
                ) from error
        with self.cloud.clock.work("call"):
            return await asyncio.to_thread(self.packages.add, bytes(content))

    def publish(self, function: Function, description: str | None) -> Version:
        """Make $LATEST a version, unless it is what the newest version already is."""
        latest = function.latest
        newest = next(reversed(function.versions.values()), None)
        if newest is not None and _same(newest, latest):
            return newest
        number = str(function.next_version)
        function.next_version += 1
        version = configuration.number(latest, number, description, self.registry.revision())
        function.versions[number] = version
        return version

    def _changeable(self, params: Mapping[str, Any]) -> Function:
        """The function whose $LATEST a request is about to change."""
        function, qualifier = self.registry.find(params["FunctionName"])
        if qualifier not in (None, LATEST):
            raise invalid(f"A published version cannot be changed: {params['FunctionName']}")
        self.registry.check_revision(params.get("RevisionId"), function.latest.configuration["RevisionId"])
        return function

    async def _update(
        self, function: Function, params: Mapping[str, Any], *, code: Package, dry: bool = False
    ) -> dict[str, Any]:
        old = function.latest
        layers = old.layers
        if "Layers" in params:
            layers = tuple(self.registry.layer(arn) for arn in params["Layers"])
        new = configuration.update(
            old,
            params,
            code=code,
            layers=layers,
            now=self.cloud.clock.now(),
            revision=self.registry.revision(),
        )
        if dry:
            return describe(new)
        function.latest = new
        self.invoker.retire(old)
        await self._announce(new)
        if params.get("Publish"):
            return describe(self.publish(function, None), qualified=True)
        return describe(new)

    async def _announce(self, version: Version) -> None:
        """Say how the function will run differently from AWS, and have its template started meanwhile."""
        for difference in configuration.differences(version.configuration):
            self.invoker.templates.warn(version.name, difference)
        if self._prewarm:
            with contextlib.suppress(EnvironmentFault):  # whoever invokes is told what is wrong
                await self.invoker.templates.find(version.name, version.runtime)
                self.cloud.spawn(self._warm(version), f"warm up for {version.name}")

    async def _warm(self, version: Version) -> None:
        with contextlib.suppress(EnvironmentFault):
            await self.invoker.templates.get(version.name, version.runtime)


def describe(version: Version, *, qualified: bool = False, qualifier: str | None = None) -> dict[str, Any]:
    """A FunctionConfiguration, with the ARN the caller asked by."""
    answer = dict(version.configuration)
    if qualified:
        answer["FunctionArn"] = f"{answer['FunctionArn']}:{qualifier or version.number}"
    return answer


def _targets(alias: Mapping[str, Any]) -> set[str]:
    return {alias["FunctionVersion"], *alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})}


def _same(version: Version, latest: Version) -> bool:
    """Nothing but what publishing itself sets is different."""
    aside = {"Version", "RevisionId", "LastModified", "Description", "SnapStart"}
    return all(
        version.configuration.get(name) == latest.configuration.get(name)
        for name in (version.configuration.keys() | latest.configuration.keys()) - aside
    )
