"""The Runtime API, byte by byte."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from harness import clock
from harness.cloud.functions.runtime_api import LARGEST_RESPONSE, RuntimeApi


class Recorder:
    """A `Runtime` that writes down what it is told; ``known`` is the only invocation under way."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.next = asyncio.Event()

    def on_next(self) -> None:
        self.told.append(("next",))
        self.next.set()

    def on_response(self, request_id: str, body: bytes) -> bool:
        self.told.append(("response", request_id, body))
        return request_id == "known"

    def on_error(self, request_id: str, body: bytes) -> bool:
        self.told.append(("error", request_id, body))
        return request_id == "known"

    def on_init_error(self, body: bytes) -> None:
        self.told.append(("init error", body))

    def on_oversize(self, request_id: str, size: int) -> None:
        self.told.append(("oversize", request_id, size))


Exchange = Callable[[bytes], Coroutine[Any, Any, tuple[int, bytes]]]


def play(story: Callable[[RuntimeApi, Recorder, Exchange], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        recorder = Recorder()
        api = RuntimeApi(recorder)
        await api.start()
        host, _, port = api.address.rpartition(":")
        assert host == "127.0.0.1"
        reader, writer = await asyncio.open_connection(host, int(port))

        async def exchange(request: bytes) -> tuple[int, bytes]:
            writer.write(request)
            return await response(reader)

        try:
            await story(api, recorder, exchange)
        finally:
            writer.close()
            api.close()

    clock.run(main())


async def response(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split()[1])
    if status == 100:
        return await response(reader)
    length = next(
        int(line.split(b":")[1]) for line in head.splitlines() if line.lower().startswith(b"content-length")
    )
    return status, await reader.readexactly(length)


def post(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST /2018-06-01/runtime/{path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


GET_NEXT = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"


def test_next_waits_for_an_invocation_and_the_connection_is_kept() -> None:
    async def story(api: RuntimeApi, recorder: Recorder, exchange: Exchange) -> None:
        for number in range(2):
            waiting = asyncio.create_task(exchange(GET_NEXT))
            await recorder.next.wait()
            recorder.next.clear()
            assert not waiting.done()
            api.deliver({"Lambda-Runtime-Aws-Request-Id": "known"}, b'{"n": %d}' % number)
            assert await waiting == (200, b'{"n": %d}' % number)

    play(story)


def test_answers_are_handed_on_and_unknown_invocations_refused() -> None:
    async def story(api: RuntimeApi, recorder: Recorder, exchange: Exchange) -> None:
        assert (await exchange(post("invocation/known/response", b"1")))[0] == 202
        assert (await exchange(post("invocation/known/error", b"2")))[0] == 202
        assert (await exchange(post("invocation/other/response", b"3")))[0] == 400
        assert (await exchange(post("init/error", b"4")))[0] == 202
        assert recorder.told == [
            ("response", "known", b"1"),
            ("error", "known", b"2"),
            ("response", "other", b"3"),
            ("init error", b"4"),
        ]

    play(story)


def test_a_large_answer_is_counted_and_refused() -> None:
    async def story(api: RuntimeApi, recorder: Recorder, exchange: Exchange) -> None:
        body = b"x" * (LARGEST_RESPONSE + 1)
        assert (await exchange(post("invocation/known/response", body, "Expect: 100-continue")))[0] == 413
        assert recorder.told == [("oversize", "known", LARGEST_RESPONSE + 1)]
        assert (await exchange(post("invocation/known/response", body[1:])))[0] == 202

    play(story)


def test_what_is_not_part_of_it_is_not_found() -> None:
    async def story(api: RuntimeApi, recorder: Recorder, exchange: Exchange) -> None:
        assert (await exchange(b"GET /2018-06-01/runtime/restore/next HTTP/1.1\r\nHost: x\r\n\r\n"))[0] == 404
        assert (await exchange(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))[0] == 404

    play(story)


def test_what_is_not_http_ends_the_connection() -> None:
    async def main() -> None:
        api = RuntimeApi(Recorder())
        await api.start()
        host, _, port = api.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"\x00\x01\x02 nonsense\r\n\r\n")
        try:
            data = await reader.read()
        except ConnectionResetError:
            data = b""
        assert data == b""
        writer.close()
        api.close()

    clock.run(main())
