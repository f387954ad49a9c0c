"""A server that answers at once: the floor below which no time over HTTP can come.

    python -m benchmarks.engines.floor PORT

It speaks just enough HTTP and Step Functions for `benchmarks.engines.workloads`: every execution has
succeeded by the time it is described, with the output that the workload of its state machine's name
expects. Answers have the members and headers that AWS's have, for reading them is the client's work
whatever the server. It interprets nothing, checks nothing and keeps nothing, so what is left is the
client, the loopback and one asyncio protocol.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import Any

from benchmarks.engines.workloads import FIRST, WORKLOADS

HOST = "127.0.0.1"
_ARN = "arn:aws:states:us-east-1:123456789012"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_OPERATION = re.compile(rb"\r\nx-amz-target: *AWSStepFunctions\.(\w+)", re.IGNORECASE)
_TIME = 1_700_000_000.123
_INPUTS = {workload.name: json.dumps(workload.input) for workload in (*WORKLOADS, FIRST)}
_OUTPUTS = {workload.name: json.dumps(workload.output) for workload in (*WORKLOADS, FIRST)}
_HEAD = (
    b"HTTP/1.1 200 OK\r\n"
    b"x-amzn-RequestId: 7f0f1f3c-6f0e-4c6e-9d0b-3c5a8f2b1e4d\r\n"
    b"Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n"
    b"Content-Type: application/x-amz-json-1.0\r\n"
    b"Content-Length: %d\r\n\r\n"
)


def answer(operation: str, params: dict[str, Any]) -> dict[str, Any]:
    """What an operation of the workloads answers."""
    match operation:
        case "CreateStateMachine":
            return {"stateMachineArn": f"{_ARN}:stateMachine:{params['name']}", "creationDate": _TIME}
        case "StartExecution":
            machine = params["stateMachineArn"].rpartition(":")[2]
            return {"executionArn": f"{_ARN}:execution:{machine}:{params['name']}", "startDate": _TIME}
        case "DescribeExecution":
            arn = params["executionArn"]
            machine, name = arn.split(":")[-2:]
            return {
                "executionArn": arn,
                "stateMachineArn": f"{_ARN}:stateMachine:{machine}",
                "name": name,
                "status": "SUCCEEDED",
                "startDate": _TIME,
                "stopDate": _TIME,
                "input": _INPUTS[machine],
                "inputDetails": {"included": True},
                "output": _OUTPUTS[machine],
                "outputDetails": {"included": True},
                "redriveCount": 0,
                "redriveStatus": "NOT_REDRIVABLE",
                "redriveStatusReason": "Execution is SUCCEEDED and cannot be redriven",
            }
    raise ValueError(f"no workload calls {operation}")


class Canned(asyncio.Protocol):
    """One connection; a request may come in pieces, but the client does not pipeline."""

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or length is None or len(body) < int(length[1]):
            return
        self._received = b""
        operation = _OPERATION.search(head)
        assert operation is not None
        content = json.dumps(answer(operation[1].decode(), json.loads(body))).encode()
        self._transport.write(_HEAD % len(content) + content)


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Canned, HOST, port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
