"""Python packages for layers and functions, resolved with uv.

What uv installs is turned into a `Tree` in which nothing remembers this machine: no byte code, no scripts
with a path in their first line, no record of who installed what and when.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from harness.errors import EnvironmentFault, InputError
from harness.project.archive import Member, Tree, read_tree
from harness.project.interpreters import PackageTarget

__all__ = ["installed", "requirements_key", "unpinned"]

_MACHINE_FILES = {"INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"}
"""Files of a .dist-info folder that say how a package came here, not what it is."""


def requirements_key(requirements: Path, target: PackageTarget) -> str:
    """SHA-256, in hex, of everything that decides what `installed` yields.

    Raises:
        InputError: The file cannot be read, or names another file.
    """
    text = _read(requirements)
    for number, line in _lines(text):
        if re.match(r"-(r|c|e|-requirement|-constraint|-editable)\b|\.{0,2}/|file:", line):
            raise InputError(
                f"refers to something outside the file: {line}",
                file=requirements,
                place=f"line {number}",
                hint="write the packages themselves here, so that the file alone decides what is installed",
            )
    what = "\n".join(("packages 1", target.python, target.platform, *(line for _, line in _lines(text))))
    return hashlib.sha256(what.encode()).hexdigest()


def unpinned(requirements: Path, members: Iterable[str]) -> list[str]:
    """The packages whose version the file leaves open, so that another day may bring another one.

    Args:
        requirements: What was asked for.
        members: Paths of what was installed, in which the packages' .dist-info folders are found.
    """
    pinned = set()
    for _, line in _lines(_read(requirements)):
        what = line.partition(";")[0].partition(" --")[0].strip()
        if re.search(r"===?[^*]+$", what) or " @ " in what:
            pinned.add(_normalised(re.split(r"[\[\s=@]", what, maxsplit=1)[0]))
    found = (re.search(r"(?:^|/)([^/-]+)-[^/]+\.dist-info/METADATA$", member) for member in members)
    return sorted({_normalised(match[1]) for match in found if match} - pinned)


def _normalised(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed(requirements: Path, target: PackageTarget) -> Tree:
    """The packages, with all they depend on.

    Raises:
        InputError: The packages cannot be resolved for the target.
        EnvironmentFault: The packages cannot be downloaded.
    """
    from uv import find_uv_bin  # not needed when everything comes from the cache

    with tempfile.TemporaryDirectory(prefix="harness-packages-") as folder:
        command = [
            *(find_uv_bin(), "pip", "install", "--quiet", "--no-progress"),
            *("--target", folder, "--python", sys.executable),
            *("--python-version", target.python, "--python-platform", target.platform),
            *("--only-binary", ":all:", "--link-mode", "copy", "--requirement", str(requirements)),
        ]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            raise _failure(done.stderr.strip(), requirements, target)
        return _without_machine(read_tree(Path(folder)))


def _failure(output: str, requirements: Path, target: PackageTarget) -> InputError | EnvironmentFault:
    where = f"for Python {target.python} on {target.platform}"
    if re.search(r"error sending request|[Ff]ailed to fetch|dns error|offline|network", output):
        return EnvironmentFault(
            f"packages {where} cannot be downloaded:\n{output}",
            file=requirements,
            hint="once they have been downloaded, no network is needed",
        )
    return InputError(
        f"uv cannot install these packages {where}:\n{output}",
        file=requirements,
        hint="packages must have a wheel for that platform",
    )


def _without_machine(tree: Tree) -> dict[str, Member]:
    kept = {}
    for path, member in tree.items():
        top, _, rest = path.partition("/")
        if top == "bin" or path == ".lock":
            continue
        if top.endswith(".dist-info") and rest in _MACHINE_FILES:
            continue
        kept[path] = member
    for path in kept:
        if path.endswith(".dist-info/RECORD"):
            kept[path] = Member(_record(kept[path].content, kept.keys()))
    return kept


def _record(content: bytes, kept: Collection[str]) -> bytes:
    """RECORD lists a package's files; keep the lines whose files are kept, in a fixed order."""
    rows = [row for row in csv.reader(io.StringIO(content.decode())) if row and row[0] in kept]
    output = io.StringIO()
    csv.writer(output, lineterminator="\n").writerows(sorted(rows))
    return output.getvalue().encode()


def _read(requirements: Path) -> str:
    try:
        return requirements.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", file=requirements) from error


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines without comments and blanks; continued lines joined."""
    pending, start = "", 0
    for number, raw in enumerate(text.splitlines(), start=1):
        line = re.sub(r"(^|\s)#.*$", "", raw).rstrip()
        start = start if pending else number
        if line.endswith("\\"):
            pending += line[:-1] + " "
            continue
        line = " ".join((pending + line).split())
        pending = ""
        if line:
            yield start, line
