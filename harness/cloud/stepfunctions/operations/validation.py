"""ValidateStateMachineDefinition."""

from __future__ import annotations

from harness.cloud.service import Request
from harness.cloud.stepfunctions.definitions import diagnose
from harness.cloud.stepfunctions.operations.base import Answer, Operations

__all__ = ["ValidationOperations"]


class ValidationOperations(Operations):
    """Definitions, looked at without making anything of them."""

    async def validate_state_machine_definition(self, request: Request) -> Answer:
        params = request.params
        found = diagnose(params["definition"], params.get("type", "STANDARD"), self.integrations)
        result = "FAIL" if any(diagnostic.severity == "ERROR" for diagnostic in found) else "OK"
        if params.get("severity", "ERROR") == "ERROR":
            found = [diagnostic for diagnostic in found if diagnostic.severity == "ERROR"]
        limit = params.get("maxResults") or 100
        diagnostics = [
            {
                "severity": diagnostic.severity,
                "code": diagnostic.code,
                "message": diagnostic.message,
                **({"location": diagnostic.location} if diagnostic.location is not None else {}),
            }
            for diagnostic in found[:limit]
        ]
        return {"result": result, "diagnostics": diagnostics, "truncated": len(found) > limit}
