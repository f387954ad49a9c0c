"""Operations on versions and aliases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.cloud.functions.functions import FunctionOperations, describe
from harness.cloud.functions.model import LATEST, Function, conflict, invalid, not_found
from harness.cloud.functions.registry import page
from harness.cloud.service import Request


class VersionOperations(FunctionOperations):
    """PublishVersion to DeleteAlias."""

    async def publish_version(self, request: Request) -> dict[str, Any]:
        params = request.params
        function, _ = self.registry.find(params["FunctionName"])
        if params.get("PublishTo"):
            raise invalid("PublishTo is not supported by the local cloud, which has no managed instances.")
        self.registry.check_revision(params.get("RevisionId"), function.latest.configuration["RevisionId"])
        digest = function.latest.code.digest
        wanted = params.get("CodeSha256", digest)
        if wanted != digest:
            raise invalid(
                f"CodeSHA256 ({wanted}) is different from current CodeSHA256 in $LATEST ({digest}). Please "
                "try again with the CodeSHA256 in $LATEST."
            )
        return describe(self.publish(function, params.get("Description")), qualified=True)

    async def list_versions_by_function(self, request: Request) -> dict[str, Any]:
        function, _ = self.registry.find(request.params["FunctionName"])
        versions = [function.latest, *function.versions.values()]
        shown, more = page(versions, request.params, lambda version: version.number)
        return {"Versions": [describe(version, qualified=True) for version in shown], **more}

    async def create_alias(self, request: Request) -> dict[str, Any]:
        params = request.params
        function, _ = self.registry.find(params["FunctionName"])
        name = params["Name"]
        if name in function.aliases:
            raise conflict(f"Alias already exists: {function.arn}:{name}")
        alias = {"AliasArn": f"{function.arn}:{name}", "Name": name, "Description": ""}
        function.aliases[name] = self._pointed(function, alias, params)
        return dict(function.aliases[name])

    async def get_alias(self, request: Request) -> dict[str, Any]:
        function, _ = self.registry.find(request.params["FunctionName"])
        return dict(self._alias(function, request.params["Name"]))

    async def update_alias(self, request: Request) -> dict[str, Any]:
        params = request.params
        function, _ = self.registry.find(params["FunctionName"])
        alias = self._alias(function, params["Name"])
        self.registry.check_revision(params.get("RevisionId"), alias["RevisionId"])
        function.aliases[params["Name"]] = self._pointed(function, alias, params)
        return dict(function.aliases[params["Name"]])

    async def delete_alias(self, request: Request) -> dict[str, Any]:
        function, _ = self.registry.find(request.params["FunctionName"])
        function.aliases.pop(request.params["Name"], None)
        return {}

    async def list_aliases(self, request: Request) -> dict[str, Any]:
        params = request.params
        function, _ = self.registry.find(params["FunctionName"])
        wanted = params.get("FunctionVersion")
        aliases = [
            alias
            for _, alias in sorted(function.aliases.items())
            if wanted is None or alias["FunctionVersion"] == wanted
        ]
        shown, more = page(aliases, params, lambda alias: str(alias["Name"]))
        return {"Aliases": [dict(alias) for alias in shown], **more}

    def _alias(self, function: Function, name: str) -> dict[str, Any]:
        if name not in function.aliases:
            raise not_found(f"Cannot find alias arn: {function.arn}:{name}")
        return function.aliases[name]

    def _pointed(
        self, function: Function, alias: Mapping[str, Any], params: Mapping[str, Any]
    ) -> dict[str, Any]:
        """An alias with what a request says put over it."""
        new = {**alias, "RevisionId": self.registry.revision()}
        new |= {name: params[name] for name in ("FunctionVersion", "Description") if name in params}
        if "RoutingConfig" in params:
            new.pop("RoutingConfig", None)
            weights = params["RoutingConfig"].get("AdditionalVersionWeights", {})
            if weights:
                new["RoutingConfig"] = {"AdditionalVersionWeights": dict(weights)}
        routed = new.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
        if routed and LATEST in (new["FunctionVersion"], *routed):
            raise invalid("$LATEST is not supported for an alias pointing to more than 1 version")
        if len(routed) > 1:
            raise invalid("Number of items in AdditionalVersionWeights cannot be greater than 1")
        for number in (new["FunctionVersion"], *routed):
            if number != LATEST and number not in function.versions:
                raise not_found(f"Function not found: {function.arn}:{number}")
        return new
