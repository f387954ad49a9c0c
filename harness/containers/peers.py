"""A private network of containers without Docker: packets carried from one interface to another.

Each container has an interface ``eth0`` of its own whose packets are a file descriptor here. A packet is
written to the interface that has its destination address; what is for nobody is dropped, so that the hosts
reach one another and nobody else. No privilege of the machine's is needed but the use of /dev/net/tun.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress

from harness.errors import ContainerError

__all__ = ["Peers", "tunnel_problem"]

NETWORK = "10.0.0.0"
PREFIX = 24
TURN = 64
"""Packets of one interface that are carried before the others get their turn."""

LONGEST = 1 << 16


class Peers:
    """See `harness.containers.runtime.PrivateNetwork`.

    Args:
        name: For messages.
        hosts: At most 250.

    Attributes:
        addresses: Host name -> IPv4 address.
    """

    def __init__(self, name: str, hosts: Sequence[str]) -> None:
        if len(set(hosts)) != len(hosts) or len(hosts) > 250:
            raise ContainerError(f"network {name} has two hosts of one name, or more than 250")
        self.hosts = tuple(hosts)
        base = NETWORK.rpartition(".")[0]
        self.addresses = {host: f"{base}.{number}" for number, host in enumerate(hosts, 1)}
        self._interfaces: dict[bytes, int] = {}

    def options(self, host: str) -> list[str]:
        """Options of the sandbox for the container of one host."""
        peers = [word for name, address in self.addresses.items() for word in ("--peer", f"{name}={address}")]
        return ["--address", f"{self.addresses[host]}/{PREFIX}", *peers]

    def attach(self, host: str, descriptor: int) -> None:
        """Take the packets of a host's interface; the descriptor is ours from now on."""
        os.set_blocking(descriptor, False)
        address = bytes(map(int, self.addresses[host].split(".")))
        self.detach(host)
        self._interfaces[address] = descriptor
        asyncio.get_running_loop().add_reader(descriptor, self._carry, descriptor)

    def detach(self, host: str) -> None:
        """A host's container has ended."""
        address = bytes(map(int, self.addresses[host].split(".")))
        descriptor = self._interfaces.pop(address, None)
        if descriptor is not None:
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)

    def _carry(self, descriptor: int) -> None:
        for _ in range(TURN):
            try:
                packet = os.read(descriptor, LONGEST)
            except BlockingIOError:
                return
            except OSError:  # the interface is gone, with its container; it would be readable for ever
                asyncio.get_running_loop().remove_reader(descriptor)
                return
            target = self._interfaces.get(packet[16:20]) if packet[:1] and packet[0] >> 4 == 4 else None
            if target is not None:
                # A full queue and an interface that is down lose packets, as networks do.
                with suppress(OSError):
                    os.write(target, packet)

    async def close(self) -> None:
        for host in self.hosts:
            self.detach(host)


def tunnel_problem() -> str | None:
    """Why this machine cannot make such a network, None when it can."""
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"/dev/net/tun: {error.strerror}"
    return None
