"""Tags of state machines and activities."""

from __future__ import annotations

from harness.cloud.service import Request
from harness.cloud.stepfunctions import errors
from harness.cloud.stepfunctions.names import resource_kind
from harness.cloud.stepfunctions.operations.base import Answer, Operations
from harness.cloud.stepfunctions.tags import Tagged, tag, untag

__all__ = ["TagOperations"]


class TagOperations(Operations):
    """TagResource, UntagResource and ListTagsForResource."""

    def _tagged(self, request: Request) -> Tagged:
        arn = request.params["resourceArn"]
        activity = resource_kind(arn) == "activity"
        found = self.activities.find(arn) if activity else self.machines.find(arn)
        if found is None:
            raise errors.resource_not_found(arn)
        return found

    async def list_tags_for_resource(self, request: Request) -> Answer:
        tags = self._tagged(request).tags
        return {"tags": [{"key": key, "value": value} for key, value in tags.items()]}

    async def tag_resource(self, request: Request) -> Answer:
        tag(self._tagged(request), request.params["tags"])
        return {}

    async def untag_resource(self, request: Request) -> Answer:
        untag(self._tagged(request), request.params["tagKeys"])
        return {}
