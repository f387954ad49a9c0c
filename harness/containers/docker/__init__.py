"""The ``docker`` runtime: images and containers on a Docker engine.

    engine.py     which engine, what it can do, its errors in our words
    images.py     a build context becomes an image, cached by digest
    networks.py   who reaches whom: ports on loopback, peers by name, the local cloud through a relay
    folders.py    folders in containers where a mount cannot be: volumes, filled and fetched by copying
    container.py  one container, from create to removed
    runtime.py    `DockerRuntime`, which puts them together
    leftovers.py  what dead sessions left on an engine

Everything made on an engine bears the label ``harness.session``, by which it is found again.
"""

from harness.containers.docker.engine import Engine, connect
from harness.containers.docker.runtime import DockerRuntime

__all__ = ["DockerRuntime", "Engine", "connect"]
