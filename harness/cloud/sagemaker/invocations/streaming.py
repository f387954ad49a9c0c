"""The event stream of InvokeEndpointWithResponseStream: a container's answer, part by part."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from harness.clock import Clock
from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.http import StreamedResponse

__all__ = ["STREAM_TIMEOUT", "stream_parts"]

STREAM_TIMEOUT = 480.0
"""Real seconds a container has for the whole of a streamed answer."""


async def stream_parts(
    clock: Clock,
    opened: AbstractAsyncContextManager[StreamedResponse],
    answer: StreamedResponse,
    deadline: float,
) -> AsyncIterator[Mapping[str, Any]]:
    """PayloadPart events as the container's answer arrives.

    Args:
        clock: Held meanwhile.
        opened: The context of the answer, entered; it is left when the stream ends, however it does.
        answer: The answer, whose head is there.
        deadline: When the answer must be over, by the event loop's time.

    Raises:
        ServiceError: ModelStreamError: the container broke off (StreamBroken) or took too long
            (ModelInvocationTimeExceeded); the stream ends with it.
    """
    try:
        with clock.work("call"):
            async with asyncio.timeout_at(deadline):
                async for part in answer.parts():
                    yield {"PayloadPart": {"Bytes": part}}
    except TimeoutError:
        raise _broken(
            "ModelInvocationTimeExceeded", "The model did not complete its response within the time limit."
        ) from None
    except ConnectionError:
        raise _broken(
            "StreamBroken", "The model closed the connection before its response was complete."
        ) from None
    finally:
        await opened.__aexit__(None, None, None)


def _broken(code: str, message: str) -> ServiceError:
    return ServiceError("ModelStreamError", message, fields={"ErrorCode": code})
