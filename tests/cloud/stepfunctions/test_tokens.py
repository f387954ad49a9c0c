"""Task tokens: who waits, who may call back, and what spent and made-up tokens are answered."""

from __future__ import annotations

import json

import pytest

from harness.asl.tasks import TaskError
from harness.asl.values import PAYLOAD_LIMIT
from harness.clock import run
from harness.cloud.errors import ServiceError
from harness.cloud.stepfunctions.tokens import TaskTokens

from .fakes import Progress


def refusal(tokens: TaskTokens, token: str) -> tuple[str, str]:
    with pytest.raises(ServiceError) as caught:
        tokens.succeed(token, "1")
    return caught.value.code, caught.value.message


def test_success_is_the_result() -> None:
    async def main() -> object:
        tokens = TaskTokens()
        with tokens.waiting("t", Progress()) as callback:
            tokens.succeed("t", '{"a": [1]}')
            return await callback.result()

    assert run(main()) == {"a": [1]}


def test_failure_is_raised() -> None:
    async def main() -> None:
        tokens = TaskTokens()
        with tokens.waiting("t", Progress()) as callback:
            tokens.fail("t", "Bad", "because")
            await callback.result()

    with pytest.raises(TaskError) as caught:
        run(main())
    assert (caught.value.error, caught.value.cause) == ("Bad", "because")


def test_failure_that_nobody_fetches_is_not_an_unhandled_exception() -> None:
    async def main() -> None:
        tokens = TaskTokens()
        with tokens.waiting("t", Progress()):
            tokens.fail("t", "Bad", "because")

    run(main())  # filterwarnings=error would show the loop's complaint


def test_heartbeat_reaches_the_task() -> None:
    progress = Progress()

    async def main() -> None:
        tokens = TaskTokens()
        with tokens.waiting("t", progress):
            tokens.heartbeat("t")

    run(main())
    assert progress.reported == ["heartbeat"]


def test_a_token_is_good_once() -> None:
    gone = ("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")

    async def main() -> None:
        tokens = TaskTokens()
        assert refusal(tokens, "t") == ("InvalidToken", "Invalid Token: 'Invalid token'")
        with tokens.waiting("t", Progress()):
            tokens.succeed("t", "1")
            assert refusal(tokens, "t") == gone
        assert refusal(tokens, "t") == gone

    run(main())


TOO_LONG = (
    "1 validation error detected: Value at 'output' failed to satisfy constraint: "
    f"Member must have length less than or equal to {PAYLOAD_LIMIT}"
)


@pytest.mark.parametrize(
    ("output", "code", "message"),
    [
        ("{", "InvalidOutput", "Invalid Output: '"),
        ("", "InvalidOutput", "Invalid Output: '"),
        ("NaN", "InvalidOutput", "Invalid Output: 'NaN is not JSON'"),
        ("[" * 100_000, "InvalidOutput", "Invalid Output: 'the JSON is nested too deeply'"),
        (json.dumps("ä" * (PAYLOAD_LIMIT // 2), ensure_ascii=False), "ValidationException", TOO_LONG),
    ],
    ids=["broken", "empty", "constant", "deep", "long"],
)
def test_output_must_be_json_and_not_too_long(output: str, code: str, message: str) -> None:
    async def main() -> None:
        tokens = TaskTokens()
        with tokens.waiting("t", Progress()) as callback:
            with pytest.raises(ServiceError) as caught:
                tokens.succeed("t", output)
            assert caught.value.code == code
            assert caught.value.message.startswith(message)
            assert not callback.settled
            tokens.succeed("t", json.dumps("ä" * (PAYLOAD_LIMIT // 2 - 1), ensure_ascii=False))

    run(main())
