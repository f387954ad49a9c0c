"""How times, paths and values are written for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["compact_path", "duration", "offset", "relative", "size", "value"]


def duration(seconds: float) -> str:
    """``0.4 s``, ``3 min 5 s``, ``1 d 2 h``: two units at most."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    whole = round(seconds)
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    parts: list[str] = []
    for name, length in units:
        count, whole = divmod(whole, length)
        if count or parts:
            parts.append(f"{count} {name}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part)


def offset(seconds: float) -> str:
    """Time since the start of an execution, as ``+1:02:03``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"+{hours}:{minutes:02}:{rest:02}"


def relative(path: str | Path) -> str:
    """A path as short as it can be from here."""
    try:
        return str(Path(path).resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def size(count: int) -> str:
    """Bytes, as ``12.3 MB``."""
    amount = float(count)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def value(data: Any, limit: int = 400) -> str:
    """A JSON value on one line, cut to a readable length."""
    text = json.dumps(data, ensure_ascii=False)
    return text if len(text) <= limit else f"{text[:limit]}..."


def compact_path(states: Sequence[str], longest: int = 12) -> str:
    """States joined by arrows, with rounds of a loop written once: ``A → (B → C) ×45 → D``.

    Args:
        states: The states, in order.
        longest: The most states a loop may have to be recognised.
    """
    parts = []
    position = 0
    while position < len(states):
        best_length, best_rounds = 1, 1
        for length in range(1, min(longest, (len(states) - position) // 2) + 1):
            round_ = states[position : position + length]
            rounds = 1
            while states[position + rounds * length : position + (rounds + 1) * length] == round_:
                rounds += 1
            if rounds > 1 and rounds * length > best_rounds * best_length:
                best_length, best_rounds = length, rounds
        inside = " → ".join(states[position : position + best_length])
        if best_rounds > 1:
            inside = f"({inside}) ×{best_rounds}" if best_length > 1 else f"{inside} ×{best_rounds}"
        parts.append(inside)
        position += best_length * best_rounds
    return " → ".join(parts)
