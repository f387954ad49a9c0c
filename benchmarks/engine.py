"""The Step Functions API side by side: the harness, ministack, moto, LocalStack, and a floor.

    python -m benchmarks.engine [--rounds N] [--only NAME ...]

Each engine runs in an environment of its own, made from PyPI on the first run; Step Functions Local takes
part when the variable STEPFUNCTIONS_LOCAL_JAR names its jar. A round starts one engine after another, so
that only one runs at a time: from the start of its process to the end of its first execution (the cold
start), then the workloads, each a few times. The client is boto3, one for each engine. The floor is the
same client against a server that answers at once: what is left when an engine takes no time at all.

The table has medians over all rounds, and in brackets how many times the harness's own time that is. An
engine whose executions did not succeed, or came to something else than they should, gets no figure but a
mark, and the reason is printed below. README.md beside this file says how to read it.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import signal
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from benchmarks.engines.peers import ENGINES, FLOOR, Engine, Unavailable, install, step_functions_local
from benchmarks.engines.server import Server, started
from benchmarks.engines.workloads import FIRST, WORKLOADS, Client, Workload, WrongResult, pause

OURS = ENGINES[0].name
ROUNDS = 5
REPEATS = 5
"""Times each workload runs in a round, after one run that is not counted."""

FASTER = 3.0
OF_FLOOR = 1.3
"""The bars: so many times faster than the fastest peer, or within so many times the floor."""

COLUMNS = (*WORKLOADS, FIRST)

FAILURES = (WrongResult, TimeoutError, BotoCoreError, ClientError)


@dataclass
class Figures:
    """What was measured of one engine.

    Attributes:
        seconds: By the workload's name.
        problems: By the workload's name: why there is no figure.
    """

    seconds: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    problems: dict[str, str] = field(default_factory=dict)

    def median(self, workload: Workload) -> float | None:
        """Of the seconds; None when there is no figure to rely on."""
        if workload.name in self.problems or not self.seconds[workload.name]:
            return None
        return statistics.median(self.seconds[workload.name])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"(default: {ROUNDS})")
    parser.add_argument("--only", action="append", metavar="NAME", help="only these peers, e.g. --only moto")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that servers are stopped
    try:
        compare(options.rounds, options.only)
    except KeyboardInterrupt:
        sys.exit(130)


def compare(rounds: int, only: list[str] | None) -> None:
    """Measure, and print the table."""
    absent: dict[str, str] = {}
    engines = chosen(only, absent)
    programs: dict[str, Path] = {}
    for engine in engines:
        try:
            programs[engine.name] = install(engine)
        except Unavailable as reason:
            absent[engine.name] = str(reason)
    figures = {name: Figures() for name in programs}
    load = os.getloadavg()[0]
    for number in range(rounds + 1):  # the first fills the caches of the disk, and is not counted
        for engine in engines:
            if engine.name in absent:
                continue
            print(
                f"{f'round {number}' if number else 'warming up'}: {engine.name}", file=sys.stderr, flush=True
            )
            taken = figures[engine.name] if number else Figures()
            try:
                with started(engine, programs[engine.name]) as server:
                    measure(engine, server, taken, REPEATS if number else 1)
            except Unavailable as reason:
                absent[engine.name] = str(reason)
    print_machine(rounds, load)
    print_table({name: taken for name, taken in figures.items() if name not in absent}, absent)
    print_verdicts(figures)


def chosen(only: list[str] | None, absent: dict[str, str]) -> list[Engine]:
    """The engines to measure; what cannot be had is put into `absent`, with the reason."""
    engines = [*ENGINES]
    try:
        engines.append(step_functions_local())
    except Unavailable as reason:
        absent["Step Functions Local"] = str(reason)
    if only:
        wanted = tuple(name.lower() for name in only)
        peers = [engine for engine in engines[1:] if engine.name.lower().startswith(wanted)]
        if len(peers) < len(wanted):
            known = ", ".join(engine.name for engine in engines[1:])
            sys.exit(f"--only {' '.join(only)}: the peers are {known}")
        engines = [engines[0], *peers]
    return [FLOOR, *engines]


def measure(engine: Engine, server: Server, figures: Figures, repeats: int) -> None:
    """One round of one engine.

    Raises:
        Unavailable: It never answered.
    """
    client = Client(server.endpoint)
    server.wait_for_port()
    machine = create_first(engine, server, client)
    with noted(figures, FIRST):
        client.run(FIRST, machine)
        figures.seconds[FIRST.name].append(time.perf_counter() - server.began)
    for workload in WORKLOADS:
        with noted(figures, workload):
            machine = client.create(workload)
            client.run(workload, machine)
            figures.seconds[workload.name] += [client.run(workload, machine) for _ in range(repeats)]


def create_first(engine: Engine, server: Server, client: Client) -> str:
    """Create the first state machine; a server may open its port before it can do that.

    Raises:
        Unavailable: It cannot before the deadline.
    """
    while True:
        try:
            engine.prepare(server.endpoint)
            return client.create(FIRST)
        except (OSError, BotoCoreError, ClientError) as error:
            server.check(str(error))
            pause(0.002)


@contextmanager
def noted(figures: Figures, workload: Workload) -> Iterator[None]:
    """Note it when a workload fails."""
    try:
        yield
    except FAILURES as error:
        figures.problems[workload.name] = f"{type(error).__name__}: {error}"


# What is printed --------------------------------------------------------------------------------------------


def print_machine(rounds: int, load: float) -> None:
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    now = datetime.datetime.now(datetime.UTC)
    print(
        f"{now:%Y-%m-%d %H:%M} UTC; {cpu}, {os.cpu_count()} cores; "
        f"load {load:.1f} before the first round, {os.getloadavg()[0]:.1f} after the last"
    )
    print(
        f"client and harness on Python {platform.python_version()}, peers on {ENGINES[1].python}; "
        f"medians of {rounds} cold starts and {rounds * REPEATS} runs of each workload"
    )


def print_table(figures: dict[str, Figures], absent: dict[str, str]) -> None:
    """The table, and why figures are missing."""
    print()
    print("| engine |", " | ".join(workload.title for workload in COLUMNS), "|")
    print("|---|" + "---|" * len(COLUMNS))
    ours = figures.get(OURS, Figures())
    notes = [f"{name}: absent: {reason}" for name, reason in absent.items()]
    for name, taken in figures.items():
        cells = []
        for workload in COLUMNS:
            seconds, own = taken.median(workload), ours.median(workload)
            if name == FLOOR.name and workload is FIRST:
                cells.append("")
            elif seconds is None:
                cells.append("failed")
                notes.append(
                    f"{name}: {workload.title}: {taken.problems.get(workload.name, 'never measured')}"
                )
            else:
                ratio = f" ({seconds / own:.2f}x)" if own and name != OURS else ""
                cells.append(f"{seconds * 1000:.1f} ms{ratio}")
        print(f"| {name} |", " | ".join(cells), "|")
    print()
    for note in notes:
        print(note)


def print_verdicts(figures: dict[str, Figures]) -> None:
    """Each bar, and whether it is met. Ratios are rounded to our disadvantage."""
    for workload in COLUMNS:
        ours = figures[OURS].median(workload)
        peers = {
            name: seconds
            for name, taken in figures.items()
            if name not in (OURS, FLOOR.name) and (seconds := taken.median(workload)) is not None
        }
        floor = figures[FLOOR.name].median(workload)
        if ours is None or not peers:
            print(f"{workload.title}: no verdict, nothing to compare")
            continue
        fastest = min(peers, key=lambda name: peers[name])
        faster = peers[fastest] / ours
        text = f"{_rounded(faster, ROUND_FLOOR)}x as fast as {fastest}"
        if workload is FIRST:
            met, bar = faster >= 1, "1x"
        else:
            assert floor is not None
            met, bar = (
                faster >= FASTER or ours <= OF_FLOOR * floor,
                f"{FASTER:g}x, or {OF_FLOOR:g}x the floor",
            )
            text += f", {_rounded(ours / floor, ROUND_CEILING)}x the floor"
        print(f"{workload.title}: {text} (bar: {bar}): {'met' if met else 'NOT MET'}")


def _rounded(ratio: float, how: str) -> Decimal:
    return Decimal(ratio).quantize(Decimal("0.01"), how)


if __name__ == "__main__":
    main()
