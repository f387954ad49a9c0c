"""The pipe that an environment's output comes through."""

from __future__ import annotations

import os

from harness import clock
from harness.cloud.functions.logs import LogPipe


def test_delivers_lines_and_what_is_left_when_closed() -> None:
    async def story() -> list[str]:
        lines: list[str] = []
        pipe = LogPipe(lines.extend)
        os.write(pipe.write_end, b"one\ntwo\nthr")
        pipe.close()
        os.close(pipe.write_end)
        return lines

    assert clock.run(story()) == ["one", "two", "thr"]


def test_closing_at_the_end_of_the_output_closes_nothing_else() -> None:
    async def story() -> None:
        lines: list[str] = []
        pipe = LogPipe(lines.extend)
        os.write(pipe.write_end, b"last words\n")
        os.close(pipe.write_end)  # the environment has ended, and the loop has not heard of it yet
        pipe.close()
        others = os.pipe()  # takes the numbers that have become free
        pipe.close()
        os.write(others[1], b"still open")
        assert os.read(others[0], 100) == b"still open"
        for end in others:
            os.close(end)
        assert lines == ["last words"]

    clock.run(story())
