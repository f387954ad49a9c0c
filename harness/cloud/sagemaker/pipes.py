"""Pipe mode: a training container reads its channels from FIFOs.

``<channel>_<epoch>`` is there from the start for epoch 0; the next one appears when it has been read and
closed, as often as the container likes. Each FIFO is fed by a thread of its own, because opening one waits
for the other side, and a container may never read, or not to the end.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from harness.containers.runtime import Container
from harness.errors import ContainerError

__all__ = ["Pipes"]

CLOSE_PAUSE = 0.01
"""Seconds between two looks whether a reader has closed its FIFO, or a thread has ended."""


END_PATIENCE = 5.0
"""Seconds to wait for a thread. It can be kept by a container that reads on though its engine is gone."""


class Pipes:
    """The FIFOs of one host.

    Args:
        folder: ``/opt/ml/input/data``, before the container starts: what it later puts in its place is not
            followed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._feeders: list[_Feeder] = []
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def add(self, name: str, content: Callable[[int], Iterable[bytes]]) -> None:
        """Begin to feed a channel.

        Args:
            name: The channel's.
            content: What comes through the FIFO of an epoch. Called in a thread.
        """
        loop = asyncio.get_running_loop()

        def failed(error: Exception) -> None:
            loop.call_soon_threadsafe(self._fail, error)

        feeder = _Feeder(self._folder, name, content, failed)
        self._feeders.append(feeder)
        feeder.start()

    def _fail(self, error: Exception) -> None:
        if not self._failed.done():
            self._failed.set_exception(error)

    async def watch(self, _: Sequence[Container]) -> None:
        """Wait for ever, beside the containers that read.

        Raises:
            ServiceError: What is to be streamed cannot be read.
            ContainerError: A FIFO cannot be made.
        """
        await asyncio.shield(self._failed)

    async def close(self) -> None:
        """End the feeding. The container has ended."""
        await asyncio.gather(*(feeder.end() for feeder in self._feeders))
        if not any(feeder.is_alive() for feeder in self._feeders):  # else they still use it
            os.close(self._folder)
        if self._failed.done():
            self._failed.exception()  # it has been seen
        else:
            self._failed.cancel()


class _Feeder(threading.Thread):
    """Feeds one channel, epoch after epoch."""

    def __init__(
        self,
        folder: int,
        channel: str,
        content: Callable[[int], Iterable[bytes]],
        failed: Callable[[Exception], None],
    ) -> None:
        super().__init__(name=f"pipe {channel}", daemon=True)
        self._folder = folder
        self._channel = channel
        self._content = content
        self._failed = failed
        self._ended = threading.Event()
        self._fifo = f"{channel}_0"
        self._make(self._fifo)

    def run(self) -> None:
        epoch = 0
        try:
            while not self._ended.is_set():
                self._feed(epoch)
                epoch += 1
                following = f"{self._channel}_{epoch}"
                if not self._ended.is_set():
                    self._make(following)
                    self._fifo = following
        except Exception as error:  # whatever it is, it is the job that fails
            self._tell(error)

    def _tell(self, error: Exception) -> None:
        if not self._ended.is_set():
            self._failed(error)

    async def end(self) -> None:
        """Make the thread end, and wait for it, but not for ever."""
        self._ended.set()
        for _ in range(round(END_PATIENCE / CLOSE_PAUSE)):
            if not self.is_alive():
                return
            with suppress(OSError):  # a thread that waits for a reader gets one, which is gone at once
                os.close(self._open(os.O_RDONLY | os.O_NONBLOCK))
            await asyncio.sleep(CLOSE_PAUSE)

    def _make(self, name: str) -> None:
        try:
            os.mkfifo(name, 0o666, dir_fd=self._folder)
            os.chmod(name, 0o666, dir_fd=self._folder)  # whatever our umask is
        except OSError as error:
            raise ContainerError(f"the FIFO {name} cannot be made: {error.strerror}") from error

    def _feed(self, epoch: int) -> None:
        try:
            descriptor = self._open(os.O_WRONLY)
        except OSError as error:
            raise ContainerError(f"the FIFO {self._fifo} cannot be opened: {error.strerror}") from error
        try:
            if self._ended.is_set() or not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                return
            for piece in self._content(epoch):
                left = memoryview(piece)
                while left:
                    left = left[os.write(descriptor, left) :]
        except BrokenPipeError:
            pass  # the container has read as much as it wanted to
        except Exception as error:
            self._tell(error)  # before the FIFO is closed: the container takes that for the end of the data
            raise
        finally:
            os.close(descriptor)
        self._wait_for_close()
        with suppress(FileNotFoundError):
            os.unlink(self._fifo, dir_fd=self._folder)

    def _wait_for_close(self) -> None:
        """Wait until nobody has the FIFO open for reading: until then it cannot be opened for writing."""
        while not self._ended.is_set():
            try:
                os.close(self._open(os.O_WRONLY | os.O_NONBLOCK))
            except OSError as error:
                if error.errno in (errno.ENXIO, errno.ENOENT):
                    return
                raise
            self._ended.wait(CLOSE_PAUSE)

    def _open(self, flags: int) -> int:
        return os.open(self._fifo, flags | os.O_NOFOLLOW, dir_fd=self._folder)
