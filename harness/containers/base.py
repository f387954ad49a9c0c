"""What FROM means where there are no images: which Python, and what every image of that kind has."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from harness.containers.dockerfile import Dockerfile, substitute

__all__ = ["BaseImage", "base_image"]

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

SYSTEMS = frozenset(
    [
        "almalinux",
        "alpine",
        "amazonlinux",
        "archlinux",
        "buildpack-deps",
        "centos",
        "debian",
        "fedora",
        "oraclelinux",
        "rockylinux",
        "ubi8",
        "ubi9",
        "ubi-minimal",
        "ubuntu",
    ]
)
"""Images that are an operating system and nothing else."""


@dataclass(frozen=True)
class BaseImage:
    """What an image starts with.

    Attributes:
        python: (major, minor) of the Python it asks for; None when any will do.
        environment: ENV.
        command: CMD.
        warnings: In what way what stands in for it differs.
    """

    python: tuple[int, int] | None
    environment: Mapping[str, str]
    command: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def base_image(dockerfile: Dockerfile, arguments: Mapping[str, str], ignore: Sequence[str]) -> BaseImage:
    """Find out what a FROM instruction asks for.

    Args:
        dockerfile: Where it stands.
        arguments: The variables that may be used in it.
        ignore: Patterns for steps to leave out: ``FROM company/base*`` makes do without what it holds.

    Raises:
        DockerfileError: Nothing here can stand in for that image.
    """
    instruction = dockerfile.base
    text = substitute(dockerfile, instruction, instruction.text, arguments)
    match = re.fullmatch(r"(\S+)(?:\s+AS\s+\S+)?", text, re.IGNORECASE)
    if match is None:
        raise dockerfile.error(instruction, f"{instruction.text!r} is not IMAGE or IMAGE AS NAME")
    warnings = []
    for name, value in instruction.flags:
        value = substitute(dockerfile, instruction, value, arguments)
        if name != "platform":
            raise dockerfile.error(instruction, f"there is no option --{name}")
        if value != arguments["TARGETPLATFORM"]:
            here = arguments["TARGETPLATFORM"]
            warnings.append(f"it asks for the platform {value}; it runs on this machine's, {here}")
    image = match[1]
    if image == "scratch":
        raise dockerfile.error(
            instruction,
            "an empty base image needs Docker: without it this machine's system is always there",
            "Name a base image such as python:3.12-slim.",
        )
    repository, _, tag = image.partition("@")[0].rpartition("/")[2].partition(":")
    if "python" in repository or "python" in tag:
        python = _python_version(repository, tag)
        if python is not None and python[0] != 3:
            raise dockerfile.error(instruction, f"{image}: only Python 3 is supported")
        environment = {"PATH": f"/usr/local/bin:{SYSTEM_PATH}", "LANG": "C.UTF-8"}
        return BaseImage(python, environment, ("python3",), tuple(warnings))
    if repository in SYSTEMS:
        warnings.append(f"this machine's own system and Python stand in for {image}")
    elif any(fnmatchcase(f"FROM {image}", pattern) for pattern in ignore):
        warnings.append(
            f"what {image} holds is missing: this machine's own system and Python stand in for it"
        )
    else:
        raise dockerfile.error(
            instruction,
            f"what {image} holds cannot be known without Docker",
            "Start from a Python image such as python:3.12-slim, or from debian or ubuntu.",
        )
    return BaseImage(None, {"PATH": SYSTEM_PATH}, ("/bin/bash",), tuple(warnings))


def _python_version(repository: str, tag: str) -> tuple[int, int] | None:
    """The version in ``python:3.12-slim``, ``python-311:latest`` or ``anything:python3.12-bookworm``."""
    if repository.endswith("python"):
        found = re.match(r"(\d+)(?:\.(\d+))?", tag)
    else:
        found = re.search(r"python-?(\d)\.?(\d+)?", f"{repository}:{tag}")
    if found is None:
        return None
    major, minor = int(found[1]), found[2]
    if minor is None:
        return None if major == 3 else (major, 0)
    return major, int(minor)
