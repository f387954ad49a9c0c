"""Operations on what surrounds a function: resource policy, concurrency, tags, the account's limits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from harness.cloud.functions.functions import FunctionOperations
from harness.cloud.functions.invocations import ACCOUNT_CONCURRENCY
from harness.cloud.functions.model import Function, conflict, invalid, not_found
from harness.cloud.functions.packages import LARGEST_UNPACKED
from harness.cloud.service import Request

LEAST_UNRESERVED = 100
"""Concurrency that reservations must leave to functions without one."""

CONDITIONS = (
    ("SourceArn", "ArnLike", "AWS:SourceArn"),
    ("SourceAccount", "StringEquals", "AWS:SourceAccount"),
    ("EventSourceToken", "StringEquals", "lambda:EventSourceToken"),
    ("PrincipalOrgID", "StringEquals", "aws:PrincipalOrgID"),
    ("FunctionUrlAuthType", "StringEquals", "lambda:FunctionUrlAuthType"),
    ("InvokedViaFunctionUrl", "Bool", "lambda:InvokedViaFunctionUrl"),
)
"""Parameters of AddPermission, and the condition each becomes."""


class AccessOperations(FunctionOperations):
    """AddPermission to GetAccountSettings. Policies are stored, not enforced."""

    async def add_permission(self, request: Request) -> dict[str, Any]:
        params = request.params
        function, qualifier = self.registry.find(params["FunctionName"], params.get("Qualifier"))
        self.registry.version(function, qualifier)
        statements = function.policies.setdefault(qualifier or "", {})
        sid = params["StatementId"]
        if sid in statements:
            raise conflict(
                f"The statement id ({sid}) provided already exists. Please provide a new statement id, or "
                "remove the existing statement."
            )
        resource = self.registry.function_arn(function.latest.name, qualifier)
        statements[sid] = self._statement(params, resource)
        return {"Statement": json.dumps(statements[sid], separators=(",", ":"))}

    async def remove_permission(self, request: Request) -> dict[str, Any]:
        params = request.params
        function, qualifier = self.registry.find(params["FunctionName"], params.get("Qualifier"))
        statements = function.policies.get(qualifier or "", {})
        if params["StatementId"] not in statements:
            raise not_found(f"Statement {params['StatementId']} is not found in resource policy.")
        del statements[params["StatementId"]]
        return {}

    async def get_policy(self, request: Request) -> dict[str, Any]:
        params = request.params
        function, qualifier = self.registry.find(params["FunctionName"], params.get("Qualifier"))
        statements = function.policies.get(qualifier or "", {})
        if not statements:
            raise not_found("The resource you requested does not exist.")
        policy = {"Version": "2012-10-17", "Id": "default", "Statement": list(statements.values())}
        return {
            "Policy": json.dumps(policy, separators=(",", ":")),
            "RevisionId": function.latest.configuration["RevisionId"],
        }

    async def put_function_concurrency(self, request: Request) -> dict[str, Any]:
        function, _ = self.registry.find(request.params["FunctionName"])
        wanted: int = request.params["ReservedConcurrentExecutions"]
        others = sum(
            other.reserved or 0 for other in self.registry.functions.values() if other is not function
        )
        if ACCOUNT_CONCURRENCY - others - wanted < LEAST_UNRESERVED:
            raise invalid(
                "Specified ReservedConcurrentExecutions for function decreases account's "
                f"UnreservedConcurrentExecution below its minimum value of [{LEAST_UNRESERVED}]."
            )
        function.reserved = wanted
        return {"ReservedConcurrentExecutions": wanted}

    async def get_function_concurrency(self, request: Request) -> dict[str, Any]:
        function, _ = self.registry.find(request.params["FunctionName"])
        return {} if function.reserved is None else {"ReservedConcurrentExecutions": function.reserved}

    async def delete_function_concurrency(self, request: Request) -> dict[str, Any]:
        function, _ = self.registry.find(request.params["FunctionName"])
        function.reserved = None
        return {}

    async def tag_resource(self, request: Request) -> dict[str, Any]:
        self._tagged(request.params).tags.update(request.params["Tags"])
        return {}

    async def untag_resource(self, request: Request) -> dict[str, Any]:
        function = self._tagged(request.params)
        for key in request.params["TagKeys"]:
            function.tags.pop(key, None)
        return {}

    async def list_tags(self, request: Request) -> dict[str, Any]:
        return {"Tags": dict(self._tagged(request.params).tags)}

    async def get_account_settings(self, request: Request) -> dict[str, Any]:
        functions = self.registry.functions.values()
        reserved = sum(function.reserved or 0 for function in functions)
        versions = [
            version for function in functions for version in (function.latest, *function.versions.values())
        ]
        layers = [layer for versions in self.registry.layers.values() for layer in versions.values()]
        used = sum(version.code.size for version in versions) + sum(layer.package.size for layer in layers)
        return {
            "AccountLimit": {
                "TotalCodeSize": 80_530_636_800,
                "CodeSizeUnzipped": LARGEST_UNPACKED,
                "CodeSizeZipped": 52_428_800,
                "ConcurrentExecutions": ACCOUNT_CONCURRENCY,
                "UnreservedConcurrentExecutions": ACCOUNT_CONCURRENCY - reserved,
            },
            "AccountUsage": {"TotalCodeSize": used, "FunctionCount": len(functions)},
        }

    def _tagged(self, params: Mapping[str, Any]) -> Function:
        """The function a tagging operation is about; nothing else here has tags."""
        arn = params["Resource"]
        if ":function:" not in arn:
            raise invalid(f"{arn} is not the ARN of a function; the local cloud tags nothing else in Lambda.")
        function, qualifier = self.registry.find(arn)
        if qualifier is not None:
            raise invalid(
                "Tags on function aliases and versions are not supported. Please specify a function ARN."
            )
        return function

    def _statement(self, params: Mapping[str, Any], resource: str) -> dict[str, Any]:
        principal: str = params["Principal"]
        who: Any = {"AWS": principal}
        if principal == "*":
            who = "*"
        elif principal.isdigit():
            who = {"AWS": f"arn:{self.cloud.partition}:iam::{principal}:root"}
        elif not principal.startswith("arn:"):
            who = {"Service": principal}
        statement: dict[str, Any] = {
            "Sid": params["StatementId"],
            "Effect": "Allow",
            "Principal": who,
            "Action": params["Action"],
            "Resource": resource,
        }
        for name, operator, key in CONDITIONS:
            if name in params:
                value = params[name]
                text = str(value).lower() if isinstance(value, bool) else value
                statement.setdefault("Condition", {}).setdefault(operator, {})[key] = text
        return statement
