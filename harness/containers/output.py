"""What containers write, line by line."""

from __future__ import annotations

import codecs

from harness.containers.runtime import Output

__all__ = ["LONGEST_LINE", "Lines"]

LONGEST_LINE = 64 * 1024
"""Characters; a longer line is delivered in pieces."""


class Lines:
    """Cuts a stream of bytes into lines of text."""

    def __init__(self, deliver: Output) -> None:
        self._deliver = deliver
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest = ""

    def feed(self, chunk: bytes) -> None:
        """Take what comes next."""
        *lines, self._rest = (self._rest + self._decoder.decode(chunk)).split("\n")
        for line in lines:
            self._line(line)
        while len(self._rest) > LONGEST_LINE:
            self._deliver(self._rest[:LONGEST_LINE])
            self._rest = self._rest[LONGEST_LINE:]

    def end(self) -> None:
        """Nothing more comes: deliver a last line that has no end."""
        self._rest += self._decoder.decode(b"", final=True)
        if self._rest:
            self._line(self._rest)

    def _line(self, line: str) -> None:
        line = line.removesuffix("\r")
        for start in range(0, max(1, len(line)), LONGEST_LINE):
            self._deliver(line[start : start + LONGEST_LINE])
