"""Who reaches whom: ports on loopback, peers by name, the local cloud through a relay.

A session has up to two networks of its own, made when a container first needs one:

    harness-<session>            containers on it reach neither each other nor the outside
    harness-<session>-internet   the same, with the outside, for runtimes that allow it

and one for each job of several hosts. A port is published on 127.0.0.1 alone. A container that may reach the
local cloud finds a relay at its network's gateway address: the relay takes connections from that network only
and passes them on to the cloud's port on 127.0.0.1, where nobody else connects to it.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from harness.containers.docker.engine import Engine
from harness.containers.relay import pass_on
from harness.containers.runtime import ContainerSpec, Gateway
from harness.errors import ContainerError

__all__ = ["Network", "Networks", "Peers"]

DESKTOP_HOST = "host.docker.internal"


@dataclass
class Network:
    """A bridge network on the engine, and the relays at its gateway address.

    Attributes:
        id: On the engine.
        name: On the engine.
        gateway: Address of this machine on it.
        subnet: Addresses of its containers.
    """

    id: str
    name: str
    gateway: str
    subnet: ipaddress.IPv4Network | ipaddress.IPv6Network
    _relays: dict[int, asyncio.Server] = field(default_factory=dict)

    async def relay(self, port: int) -> int:
        """The port on the gateway address that leads to a port of 127.0.0.1.

        Raises:
            ContainerError: This machine does not have that address.
        """
        if port not in self._relays:

            async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await self._pass_on(port, reader, writer)

            try:
                self._relays[port] = await asyncio.start_server(connected, self.gateway, 0)
            except OSError as error:
                raise ContainerError(
                    f"containers cannot reach the local cloud: {self.gateway} is no address of this machine "
                    f"({error.strerror})"
                ) from error
        number: int = self._relays[port].sockets[0].getsockname()[1]
        return number

    async def _pass_on(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")[0]
        if ipaddress.ip_address(peer) not in self.subnet or peer == self.gateway:
            writer.close()
            return
        await pass_on(port, reader, writer)

    def close(self) -> None:
        """Take no more connections."""
        for relay in self._relays.values():
            relay.close()
        self._relays.clear()


class Peers:
    """See `harness.containers.runtime.PrivateNetwork`."""

    def __init__(self, networks: Networks, network: Network, hosts: Sequence[str]) -> None:
        self.hosts = tuple(hosts)
        self.network = network
        self._networks = networks

    async def close(self) -> None:
        await self._networks.remove(self.network)


class Networks:
    """The networks of a session.

    Args:
        engine: Where they are.
        session: Part of their names.
        labels: Of everything the session makes.
        internet: Containers that reach the local cloud reach the internet as well.
        warn: Takes a sentence for each thing that is not as it should be.
    """

    def __init__(
        self, engine: Engine, session: str, labels: Mapping[str, str], *, internet: bool, warn: Any
    ) -> None:
        self._engine = engine
        self._session = session
        self._labels = dict(labels)
        self._internet = internet
        self._warn = warn
        self._networks: dict[str, Network] = {}
        self._making = asyncio.Lock()

    async def peers(self, name: str, hosts: Sequence[str]) -> Peers:
        """Make a network for containers that reach each other by name."""
        if len(set(hosts)) != len(hosts):
            raise ContainerError(f"network {name} has two hosts of one name")
        network = await self._make(f"harness-{self._session}-{name}", outside=False, peers=True)
        return Peers(self, network, hosts)

    async def of(self, spec: ContainerSpec) -> Network | None:
        """The network a container belongs on; None when it needs none.

        Raises:
            ContainerError: It cannot be made.
        """
        if spec.network is not None:
            if not isinstance(spec.network, Peers):
                raise ContainerError(f"container {spec.name}: its network is another runtime's")
            if spec.hostname not in spec.network.hosts:
                raise ContainerError(f"container {spec.name}: {spec.hostname} is not on its network")
            return spec.network.network
        if not spec.ports and spec.gateway is None:
            return None
        outside = self._internet and spec.gateway is not None
        name = f"harness-{self._session}-internet" if outside else f"harness-{self._session}"
        async with self._making:
            if name not in self._networks:
                await self._make(name, outside=outside, peers=False)
        return self._networks[name]

    async def reach(self, network: Network, gateway: Gateway) -> dict[str, str]:
        """The environment variables that tell a container where the local cloud is."""
        engine = self._engine
        if engine.desktop:
            return dict.fromkeys(gateway.variables, f"http://{DESKTOP_HOST}:{gateway.port}")
        if not engine.here or engine.rootless:
            where = "in a network namespace of its own" if engine.here else f"at {engine.address}"
            self._warn(f"containers cannot reach the local cloud: the Docker engine runs {where}")
            return {}
        try:
            port = await network.relay(gateway.port)
        except ContainerError as error:
            self._warn(error.message)
            return {}
        return dict.fromkeys(gateway.variables, f"http://{network.gateway}:{port}")

    async def _make(self, name: str, *, outside: bool, peers: bool) -> Network:
        options = {
            "com.docker.network.bridge.enable_ip_masquerade": str(outside).lower(),
            "com.docker.network.bridge.enable_icc": str(peers).lower(),
        }
        call, api = self._engine.call, self._engine.api
        made = await call(
            api.create_network,
            name,
            driver="bridge",
            options=options,
            labels=self._labels,
        )
        details = await call(api.inspect_network, made["Id"])
        address = details["IPAM"]["Config"][0]
        subnet = ipaddress.ip_network(address["Subnet"])
        gateway = str(address.get("Gateway") or next(subnet.hosts())).partition("/")[0]
        network = self._networks[name] = Network(made["Id"], name, gateway, subnet)
        return network

    async def remove(self, network: Network) -> None:
        """Remove one whose containers are gone."""
        network.close()
        self._networks.pop(network.name, None)
        await self._engine.call(self._engine.api.remove_network, network.id)

    async def close(self) -> None:
        """Remove all."""
        for network in tuple(self._networks.values()):
            with suppress(ContainerError):  # a container is still on it, or the engine is gone: `leftovers`
                await self.remove(network)
