"""How long a function takes to answer: cold (the template process is up, no environment is) and warm.

    python -m benchmarks.functions [--rounds N]

The handler's module creates ``boto3.client("sagemaker")``, as the functions of a pipeline do. Times are from
the Invoke call to its answer, inside the process of the cloud; the design asks for less than 60 ms cold.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import statistics
import time
import zipfile

from harness import clock
from harness.cloud.cloud import Cloud

HANDLER = """
import boto3

client = boto3.client("sagemaker")


def handler(event, context):
    return event
"""

ROLE = "arn:aws:iam::123456789012:role/benchmark"


def archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as opened:
        opened.writestr("handler.py", HANDLER)
    return content.getvalue()


async def measure(rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each answer: the very first, cold ones, warm ones."""
    times: dict[str, list[float]] = {"first": [], "cold": [], "warm": []}
    async with Cloud() as cloud:

        async def invoke() -> float:
            started = time.perf_counter()
            answer = await cloud.call("lambda", "Invoke", {"FunctionName": "benchmark", "Payload": b"{}"})
            assert "FunctionError" not in answer, answer
            return (time.perf_counter() - started) * 1000

        await cloud.call(
            "lambda",
            "CreateFunction",
            {
                "FunctionName": "benchmark",
                "Runtime": "python3.12",
                "Role": ROLE,
                "Handler": "handler.handler",
                "Code": {"ZipFile": archive()},
                "Timeout": 60,
            },
        )
        times["first"].append(await invoke())
        await asyncio.sleep(3)  # the template reads the models of common services while it has nothing to do
        for number in range(rounds):
            change = {"FunctionName": "benchmark", "Description": str(number)}  # ends the environments
            await cloud.call("lambda", "UpdateFunctionConfiguration", change)
            times["cold"].append(await invoke())
        for _ in range(rounds):
            times["warm"].append(await invoke())
    return times


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    for name, values in clock.run(measure(rounds)).items():
        spread = f"{min(values):7.1f} .. {max(values):7.1f}" if len(values) > 1 else ""
        print(f"{name:6}{statistics.median(values):9.1f} ms   {spread}")


if __name__ == "__main__":
    main()
