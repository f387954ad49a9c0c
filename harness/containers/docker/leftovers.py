"""What dead sessions left on an engine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from docker.errors import NotFound

from harness.containers.docker.engine import FAILURES, LABEL_SESSION, Engine, connect, explanation
from harness.errors import EnvironmentFault

__all__ = ["NotRemoved", "clear", "clear_session"]

REAP_PATIENCE = 10.0
"""Real seconds an engine has to answer."""


class NotRemoved(Exception):
    """An engine does not answer, or does not remove something."""


def clear(engine: Engine, session: str) -> list[str]:
    """Remove everything of a session: containers, then volumes and networks. Blocks.

    Returns:
        A sentence for each thing that was removed.

    Raises:
        NotRemoved: The engine refuses.
    """
    api, wanted = engine.api, {"label": f"{LABEL_SESSION}={session}"}
    done = []
    try:
        for container in api.containers(all=True, filters=wanted):
            _harmless(api.remove_container, container["Id"], force=True, v=True)
            done.append(f"removed container {container['Names'][0].lstrip('/')}, left by session {session}")
        for volume in api.volumes(filters=wanted).get("Volumes") or ():
            _harmless(api.remove_volume, volume["Name"], force=True)
            done.append(f"removed volume {volume['Name']}, left by session {session}")
        for network in api.networks(filters=wanted):
            _harmless(api.remove_network, network["Id"])
            done.append(f"removed network {network['Name']}, left by session {session}")
        return done
    except FAILURES as error:
        reason = explanation(error)
    raise NotRemoved(reason)  # out here: see Engine.call


def clear_session(address: str, session: str) -> list[str]:
    """As `clear`, on the engine at an address.

    Raises:
        NotRemoved: The engine does not answer, or refuses.
    """
    try:
        engine = connect(REAP_PATIENCE, address)
    except EnvironmentFault as fault:
        raise NotRemoved(fault.message) from None
    try:
        return clear(engine, session)
    finally:
        engine.close()


def _harmless(remove: Callable[..., object], *arguments: str, **options: bool) -> None:
    """Remove something that somebody else may be removing."""
    with suppress(NotFound):
        remove(*arguments, **options)
