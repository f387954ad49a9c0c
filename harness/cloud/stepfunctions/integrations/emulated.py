"""What the services that are moto's can do, told without importing moto.

Importing moto takes most of a second, and a state machine is created before any of its services is called.
So its sources are read instead: moto has a folder for each service, and in the response classes there a
method for each operation, named after it.
"""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path

from harness.errors import EnvironmentFault

__all__ = ["emulates"]

_METHOD = re.compile(r"^    def (\w+)\(", re.MULTILINE)

_FOLDERS = {"docdb": "rds", "es": "opensearch", "neptune": "rds", "timestream-query": "timestreamwrite"}
"""Services that moto does together with another one."""

_BY_HAND = frozenset({"es", "polly", "s3", "workspaces-web", "xray"})
"""Services whose requests moto sorts by their URLs; its methods are named otherwise."""


@cache
def emulates(service: str, operation: str | None = None) -> bool:
    """Whether moto has a service, and an operation of it.

    Args:
        service: botocore's name.
        operation: As the API names it; None for the service at all.
    """
    methods = _methods(_FOLDERS.get(service, service.replace("-", "")))
    if operation is None or not methods or service in _BY_HAND:
        return bool(methods)
    return operation.lower() in methods


@cache
def _methods(folder: str) -> frozenset[str]:
    """Names of all methods of a service's response classes, without underscores; none without a service."""
    sources = [*(_moto() / folder).glob("responses.py"), *(_moto() / folder / "responses").glob("*.py")]
    names = (name for source in sources for name in _METHOD.findall(source.read_text()))
    return frozenset(name.replace("_", "") for name in names)


@cache
def _moto() -> Path:
    spec = importlib.util.find_spec("moto")
    if spec is None or not spec.submodule_search_locations:
        raise EnvironmentFault("moto is not installed", hint="reinstall harness: pip install harness")
    return Path(spec.submodule_search_locations[0])
