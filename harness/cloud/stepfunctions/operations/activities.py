"""Activities, and the tasks that workers fetch."""

from __future__ import annotations

from harness.cloud.service import Request
from harness.cloud.stepfunctions.operations.base import Answer, Operations, listed, moment
from harness.cloud.stepfunctions.pagination import page

__all__ = ["ActivityOperations"]


class ActivityOperations(Operations):
    """CreateActivity to GetActivityTask."""

    async def create_activity(self, request: Request) -> Answer:
        activity = self.activities.create(request.params)
        return {"activityArn": activity.arn, "creationDate": moment(activity.created)}

    async def describe_activity(self, request: Request) -> Answer:
        activity = self.activities.get(request.params["activityArn"])
        return {
            "activityArn": activity.arn,
            "name": activity.name,
            "creationDate": moment(activity.created),
            "encryptionConfiguration": activity.encryption,
        }

    async def delete_activity(self, request: Request) -> Answer:
        self.activities.delete(request.params["activityArn"])
        return {}

    async def list_activities(self, request: Request) -> Answer:
        activities, token = page(
            list(self.activities),
            scope="activities",
            limit=request.params.get("maxResults"),
            token=request.params.get("nextToken"),
            serial=lambda activity: activity.serial,
        )
        items = [
            {
                "activityArn": activity.arn,
                "name": activity.name,
                "creationDate": moment(activity.created),
            }
            for activity in activities
        ]
        return listed(items, "activities", token)

    async def get_activity_task(self, request: Request) -> Answer:
        """Nothing to do is an answer without members, as SDKs show a null task token."""
        task = await self.activities.poll(request.params["activityArn"], request.params.get("workerName"))
        if task is None:
            return {}
        token, text = task
        return {"taskToken": token, "input": text}
