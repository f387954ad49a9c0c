"""Operations on layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.cloud.functions.configuration import last_modified
from harness.cloud.functions.functions import FunctionOperations
from harness.cloud.functions.model import LayerVersion, not_found, parse_layer
from harness.cloud.functions.registry import page
from harness.cloud.service import Request


class LayerOperations(FunctionOperations):
    """PublishLayerVersion to DeleteLayerVersion."""

    async def publish_layer_version(self, request: Request) -> dict[str, Any]:
        params = request.params
        name, _ = parse_layer(params["LayerName"])
        package = await self.unpack(params["Content"])
        number = self.registry.next_layer_number(name)
        arn = self.registry.layer_arn(name)
        description = {
            "LayerArn": arn,
            "LayerVersionArn": f"{arn}:{number}",
            "Version": number,
            "Description": params.get("Description", ""),
            "CreatedDate": last_modified(self.cloud.clock.now()),
        }
        for name_ in ("CompatibleRuntimes", "CompatibleArchitectures", "LicenseInfo"):
            if name_ in params:
                description[name_] = params[name_]
        version = LayerVersion(description, package)
        self.registry.layers.setdefault(name, {})[number] = version
        return _with_content(version)

    async def get_layer_version(self, request: Request) -> dict[str, Any]:
        name, _ = parse_layer(request.params["LayerName"])
        return _with_content(self._version(name, request.params["VersionNumber"]))

    async def get_layer_version_by_arn(self, request: Request) -> dict[str, Any]:
        name, number = parse_layer(request.params["Arn"])
        return _with_content(self._version(name, number or 0))

    async def list_layers(self, request: Request) -> dict[str, Any]:
        layers = []
        for name, versions in sorted(self.registry.layers.items()):
            matching = [version for version in versions.values() if _compatible(version, request.params)]
            if matching:
                newest = _listed(matching[-1])
                layers.append(
                    {
                        "LayerName": name,
                        "LayerArn": self.registry.layer_arn(name),
                        "LatestMatchingVersion": newest,
                    }
                )
        shown, more = page(layers, request.params, lambda layer: str(layer["LayerName"]))
        return {"Layers": shown, **more}

    async def list_layer_versions(self, request: Request) -> dict[str, Any]:
        name, _ = parse_layer(request.params["LayerName"])
        versions = [
            version
            for _, version in sorted(self.registry.layers.get(name, {}).items(), reverse=True)
            if _compatible(version, request.params)
        ]
        shown, more = page(versions, request.params, lambda version: str(version.number))
        return {"LayerVersions": [_listed(version) for version in shown], **more}

    async def delete_layer_version(self, request: Request) -> dict[str, Any]:
        name, _ = parse_layer(request.params["LayerName"])
        versions = self.registry.layers.get(name, {})
        versions.pop(request.params["VersionNumber"], None)  # functions that use it keep it
        if not versions:
            self.registry.layers.pop(name, None)
        return {}

    def _version(self, name: str, number: int) -> LayerVersion:
        version = self.registry.layers.get(name, {}).get(number)
        if version is None:
            raise not_found("The resource you requested does not exist.")
        return version


def _with_content(version: LayerVersion) -> dict[str, Any]:
    package = version.package
    content = {"Location": package.archive.as_uri(), "CodeSha256": package.digest, "CodeSize": package.size}
    return {"Content": content, **version.description}


def _listed(version: LayerVersion) -> dict[str, Any]:
    return {name: value for name, value in version.description.items() if name != "LayerArn"}


def _compatible(version: LayerVersion, params: Mapping[str, Any]) -> bool:
    """A version that does not say what it is compatible with matches no filter, as on AWS."""
    return all(
        filtered not in params or params[filtered] in version.description.get(listed, [])
        for filtered, listed in (
            ("CompatibleRuntime", "CompatibleRuntimes"),
            ("CompatibleArchitecture", "CompatibleArchitectures"),
        )
    )
