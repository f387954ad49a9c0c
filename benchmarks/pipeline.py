"""What the harness adds to the containers' own run time, for the reference pipeline's happy path.

    python -m benchmarks pipeline

Each figure is the wall time of the whole command, as a user sees it, beside the time that the run's jobs
(training, transform, the endpoint's start) took from start to end: the containers' own. Caches are
warm. The bars are in DESIGN: 2.5 s more than the containers when the command brings up a cloud of its own,
0.5 s where one is already up.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

RUNS = 5
SCENARIO = "scenarios/happy.yaml"
HARNESS = [sys.executable, "-m", "harness.cli"]


def main() -> None:
    once()  # fills the caches
    measure("a cloud of its own", 2.5)
    subprocess.run([*HARNESS, "up", "--detach", "--port", "0"], check=True, stdout=subprocess.DEVNULL)
    try:
        once()  # deploys, and warms the functions
        measure("a cloud that is up", 0.5)
    finally:
        subprocess.run([*HARNESS, "down"], check=True, stdout=subprocess.DEVNULL)


def measure(name: str, bar: float) -> None:
    runs = [once() for _ in range(RUNS)]
    wall = statistics.median(wall for wall, _ in runs)
    own = statistics.median(own for _, own in runs)
    added = statistics.median(wall - own for wall, own in runs)
    print(
        f"{name}: {wall:.2f} s, of which the containers {own:.2f} s; "
        f"the harness adds {added:.2f} s (bar {bar} s)",
        flush=True,
    )


def once() -> tuple[float, float]:
    """Replay once.

    Returns:
        Seconds the command took, and seconds its jobs took.
    """
    began = time.monotonic()
    done = subprocess.run([*HARNESS, "run", SCENARIO, "--json"], check=True, stdout=subprocess.PIPE)
    wall = time.monotonic() - began
    (run,) = json.loads(done.stdout)["runs"]
    return wall, sum(job["real"] for job in run["jobs"])


if __name__ == "__main__":
    main()
