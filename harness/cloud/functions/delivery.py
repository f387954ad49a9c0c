"""Asynchronous invocations: retries, and the dead-letter queue.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from harness.cloud.errors import ServiceError
from harness.cloud.functions.environment import Invocation
from harness.cloud.functions.invocations import Result
from harness.cloud.functions.model import Version
from harness.cloud.service import Caller, CloudContext

RETRY_DELAYS = (60.0, 120.0)
"""Virtual seconds before the second and the third attempt at an invocation that failed."""
FIRST_BACKOFF, LONGEST_BACKOFF = 1.0, 300.0
"""Virtual seconds between attempts while the function is throttled."""
LONGEST_AGE = 6 * 3600.0
"""Virtual seconds after which an event is given up."""


async def deliver(
    cloud: CloudContext, version: Version, invocation: Invocation, attempt: Callable[[], Awaitable[Result]]
) -> None:
    """Bring an event to a function, however often it takes.

    Args:
        cloud: The cloud.
        version: What was invoked; its dead-letter queue gets what cannot be delivered.
        invocation: The event.
        attempt: Invokes.
    """
    accepted = cloud.clock.now()
    backoff = FIRST_BACKOFF
    delays = list(RETRY_DELAYS)
    while True:
        try:
            result = await attempt()
        except ServiceError as error:
            if error.code == "ResourceNotFoundException":
                return  # the function has been deleted, and its events with it
            if cloud.clock.now() + backoff > accepted + LONGEST_AGE:
                await _bury(cloud, version, invocation, str(error.status), error.message)
                return
            await cloud.clock.sleep(backoff)
            backoff = min(backoff * 2, LONGEST_BACKOFF)
            continue
        if not result.failed:
            return
        if not delays:
            await _bury(cloud, version, invocation, "200", _message(result))
            return
        await cloud.clock.sleep(delays.pop(0))


def _message(result: Result) -> str:
    try:
        return str(json.loads(result.payload)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return result.payload.decode(errors="replace")


async def _bury(
    cloud: CloudContext, version: Version, invocation: Invocation, code: str, message: str
) -> None:
    """Send an event that could not be delivered to the function's dead-letter queue or topic, if any."""
    target: str | None = version.configuration.get("DeadLetterConfig", {}).get("TargetArn")
    if target is None:
        return
    caller = Caller("function", version.name, version.role)
    attributes = {
        name: {"DataType": kind, "StringValue": value}
        for name, kind, value in (
            ("RequestID", "String", invocation.request_id),
            ("ErrorCode", "Number", code),
            ("ErrorMessage", "String", message[:1024]),
        )
    }
    body = invocation.payload.decode()
    try:
        if target.split(":")[2] == "sns":
            params = {"TopicArn": target, "Message": body, "MessageAttributes": attributes}
            await cloud.call("sns", "Publish", params, caller=caller)
        else:
            queue = await cloud.call(
                "sqs", "GetQueueUrl", {"QueueName": target.rpartition(":")[2]}, caller=caller
            )
            params = {"QueueUrl": queue["QueueUrl"], "MessageBody": body, "MessageAttributes": attributes}
            await cloud.call("sqs", "SendMessage", params, caller=caller)
    except ServiceError as error:
        cloud.events.publish(
            "warning",
            version.name,
            message=f"an event was lost: the dead-letter target {target} says {error}",
        )
