"""Tags."""

from __future__ import annotations

from harness.cloud.service import Request
from harness.cloud.stepfunctions import errors
from harness.cloud.stepfunctions.machines import Machine, tag, untag
from harness.cloud.stepfunctions.names import machine_name
from harness.cloud.stepfunctions.operations.base import Answer, Operations

__all__ = ["TagOperations"]


class TagOperations(Operations):
    """TagResource, UntagResource and ListTagsForResource."""

    def _tagged(self, request: Request) -> Machine:
        arn = request.params["resourceArn"]
        machine_name(arn)
        for machine in self.machines:
            if machine.arn == arn:
                return machine
        raise errors.resource_not_found(arn)

    async def list_tags_for_resource(self, request: Request) -> Answer:
        machine = self._tagged(request)
        return {"tags": [{"key": key, "value": value} for key, value in machine.tags.items()]}

    async def tag_resource(self, request: Request) -> Answer:
        tag(self._tagged(request), request.params["tags"])
        return {}

    async def untag_resource(self, request: Request) -> Answer:
        untag(self._tagged(request), request.params["tagKeys"])
        return {}
