"""Which files .dockerignore keeps out of a build context."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

__all__ = ["ignored"]


def ignored(context: Path) -> Callable[[str, bool], bool]:
    """A test for paths (relative, with slashes) of a build context: true for what is not to be sent.

    The rules are Docker's: patterns are matched from the context's root, ``**`` stands for any number of
    folders, ``!`` makes an exception, the last pattern that matches decides, and a pattern that matches a
    folder matches all that is in it.
    """
    file = context / ".dockerignore"
    rules: list[tuple[re.Pattern[str], bool]] = []
    if file.is_file():
        for line in file.read_text(encoding="utf-8").splitlines():
            text = line.strip()
            if not text or line.startswith("#"):
                continue
            exception = text.startswith("!")
            pattern = text.removeprefix("!").strip().removeprefix("./").strip("/")
            if pattern and pattern != ".":
                rules.append((_compiled(pattern), not exception))
    exceptions = any(not ignore for _, ignore in rules)

    def test(path: str, is_folder: bool) -> bool:
        if is_folder and exceptions:
            return False  # something below may be excepted; files are tested one by one
        verdict = False
        for pattern, ignore in rules:
            if pattern.fullmatch(path):
                verdict = ignore
        return verdict

    return test


def _compiled(pattern: str) -> re.Pattern[str]:
    expression = ""
    position = 0
    while position < len(pattern):
        rest = pattern[position:]
        if rest.startswith("**/"):
            expression += "(?:.*/)?"
            position += 3
        elif rest.startswith("**"):
            expression += ".*"
            position += 2
        elif rest[0] == "*":
            expression += "[^/]*"
            position += 1
        elif rest[0] == "?":
            expression += "[^/]"
            position += 1
        elif rest[0] == "[" and "]" in rest[1:]:
            end = rest.index("]", 2) if len(rest) > 2 and "]" in rest[2:] else rest.index("]", 1)
            inside = rest[1:end].replace("\\", "\\\\")
            expression += f"[{inside}]"
            position += end + 1
        elif rest[0] == "\\" and len(rest) > 1:
            expression += re.escape(rest[1])
            position += 2
        else:
            expression += re.escape(rest[0])
            position += 1
    return re.compile(f"{expression}(?:/.*)?", re.DOTALL)
