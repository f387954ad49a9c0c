"""What SageMaker's instance types have: processors, memory, GPUs.

Almost all follow one rule: a size has a number of vCPUs, a family an amount of memory for each of them. The
others are listed. Source: the instance types' pages of EC2, on which SageMaker's are based.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

__all__ = ["Resources", "limits", "resources"]

GIB = 2**30


@dataclass(frozen=True)
class Resources:
    """What an instance has.

    Attributes:
        processors: vCPUs.
        memory: In bytes.
        gpus: GPUs or other accelerators.
    """

    processors: int
    memory: int
    gpus: int = 0


_GIB_PER_PROCESSOR = {
    "c": 2.0,
    "m": 4.0,
    "r": 8.0,
    "t": 4.0,
    "c4": 1.875,
    "c5n": 2.625,
    "g4dn": 4.0,
    "g5": 4.0,
    "g6": 4.0,
    "g6e": 8.0,
    "g7": 4.0,
    "g7e": 8.0,
    "inf1": 2.0,
    "inf2": 4.0,
    "p4d": 12.0,
    "p4de": 12.0,
}
"""By family, else by the family's first letter."""

_GPUS = {
    "g4dn": {"12xlarge": 4},
    "g5": {"12xlarge": 4, "24xlarge": 4, "48xlarge": 8},
    "g6": {"12xlarge": 4, "24xlarge": 4, "48xlarge": 8},
    "g6e": {"12xlarge": 4, "24xlarge": 4, "48xlarge": 8},
    "g7": {"12xlarge": 2, "24xlarge": 4, "48xlarge": 8},
    "g7e": {"12xlarge": 2, "24xlarge": 4, "48xlarge": 8},
    "inf1": {"6xlarge": 4, "24xlarge": 16},
    "inf2": {"24xlarge": 6, "48xlarge": 12},
    "p4d": {"24xlarge": 8},
    "p4de": {"24xlarge": 8},
}
"""Accelerators of the sizes that have more than one."""

_LISTED = {
    "c5.9xlarge": (36, 72, 0),
    "c5.18xlarge": (72, 144, 0),
    "c4.8xlarge": (36, 60, 0),
    "dl1.24xlarge": (96, 768, 8),
    "inf2.8xlarge": (32, 128, 1),
    "p2.xlarge": (4, 61, 1),
    "p2.8xlarge": (32, 488, 8),
    "p2.16xlarge": (64, 732, 16),
    "p3.2xlarge": (8, 61, 1),
    "p3.8xlarge": (32, 244, 4),
    "p3.16xlarge": (64, 488, 8),
    "p3dn.24xlarge": (96, 768, 8),
    "p5.4xlarge": (16, 256, 1),
    "p5.48xlarge": (192, 2048, 8),
    "p5e.48xlarge": (192, 2048, 8),
    "p5en.48xlarge": (192, 2048, 8),
    "p6-b200.48xlarge": (192, 2048, 8),
    "p6-b300.48xlarge": (192, 4096, 8),
    "p6e-gb200.36xlarge": (144, 960, 4),
    "t2.medium": (2, 4, 0),
    "t3.medium": (2, 4, 0),
    "trn1.2xlarge": (8, 32, 1),
    "trn1.32xlarge": (128, 512, 16),
    "trn1n.32xlarge": (128, 512, 16),
    "trn2.48xlarge": (192, 2048, 16),
}
"""vCPUs, GiB and accelerators of what does not follow the rule."""

_SIZES = {"medium": 1, "large": 2}


def resources(instance_type: str) -> Resources | None:
    """What an instance of a type has; None of a type that is not known.

    Args:
        instance_type: E.g. ``ml.m5.xlarge``.
    """
    match = re.fullmatch(r"ml\.([a-z0-9-]+)\.(\d*)(medium|large|xlarge)", instance_type)
    if match is None:
        return None
    family, number, unit = match.groups()
    size = number + unit
    if listed := _LISTED.get(f"{family}.{size}"):
        processors, gib, gpus = listed
        return Resources(processors, gib * GIB, gpus)
    each = _GIB_PER_PROCESSOR.get(family) or _GIB_PER_PROCESSOR.get(_plain(family))
    if each is None:
        return None
    processors = _SIZES.get(unit) or 4 * int(number or 1)
    gpus = _GPUS[family].get(size, 1) if family in _GPUS else 0
    return Resources(processors, int(processors * each * GIB), gpus)


def _plain(family: str) -> str:
    """``c`` for ``c7i-flex``: families of one letter follow its rule, whatever comes after the number."""
    match = re.fullmatch(r"([cmrt])\d+[a-z]*(-flex)?", family)
    return match[1] if match else ""


def limits(instance_type: str) -> tuple[int | None, float | None]:
    """What a container on an instance of this type may use of this machine.

    Returns:
        Bytes of memory, None when this machine has less; processors, None when it has no more of them.
    """
    found = resources(instance_type)
    if found is None:
        return None, None
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    processors = os.cpu_count() or 1
    return (
        found.memory if found.memory < memory else None,
        float(found.processors) if found.processors < processors else None,
    )
