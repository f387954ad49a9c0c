"""What becomes of an invocation."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import re
import time

import pytest

from harness import clock
from harness.cloud.errors import ServiceError
from tests.cloud.functions.conftest import Play
from tests.cloud.functions.support import Functions, archive, functions, skipping


def test_a_function_gets_its_event_and_its_context(play: Play[None]) -> None:
    async def story(f: Functions) -> None:
        await f.create(
            """
            def handler(event, context):
                return {
                    "event": event,
                    "id": context.aws_request_id,
                    "arn": context.invoked_function_arn,
                    "name": context.function_name,
                    "version": context.function_version,
                    "memory": context.memory_limit_in_mb,
                    "left": context.get_remaining_time_in_millis(),
                    "group": context.log_group_name,
                    "client": context.client_context.custom,
                }
            """,
            "context",
            Timeout=30,
            MemorySize=256,
        )
        client = base64.b64encode(json.dumps({"custom": {"k": "v"}}).encode()).decode()
        result = await f.result({"text": "grüße", "n": [1, 2.5, None]}, "context", ClientContext=client)
        left = result.pop("left")
        assert 25_000 < left <= 30_000
        assert re.fullmatch(r"[0-9a-f-]{36}", result.pop("id"))
        assert result == {
            "event": {"text": "grüße", "n": [1, 2.5, None]},
            "arn": "arn:aws:lambda:us-east-1:123456789012:function:context",
            "name": "context",
            "version": "$LATEST",
            "memory": "256",
            "group": "/aws/lambda/context",
            "client": {"k": "v"},
        }

    play(story)


def test_no_payload_is_an_empty_object(play: Play[None]) -> None:
    async def story(f: Functions) -> None:
        await f.create("def handler(event, context): return [event]", "empty")
        answer = await f.call("invoke", FunctionName="empty")
        assert json.loads(answer["Payload"]) == [{}]
        assert answer["ExecutedVersion"] == "$LATEST"
        assert answer["StatusCode"] == 200

    play(story)


def test_an_exception_has_awss_shape(play: Play[None]) -> None:
    async def story(f: Functions) -> None:
        await f.create(
            """
            class TooFew(Exception): pass
            def check(event): raise TooFew(f"only {event}")
            def handler(event, context): check(event)
            """,
            "raises",
        )
        error = await f.error(3, "raises")
        assert error["errorType"] == "TooFew"
        assert error["errorMessage"] == "only 3"
        assert re.fullmatch(r"[0-9a-f-]{36}", error["requestId"])
        assert [line.split(",")[0] for line in error["stackTrace"]] == ['  File "/var/task/handler.py"'] * 2
        (logged,) = [line for line in f.log("raises") if line.startswith("[ERROR]")]
        assert logged.startswith("[ERROR] TooFew: only 3\nTraceback (most recent call last):\n")
        assert await f.error(4, "raises")  # the same environment goes on
        assert sum("Init Duration" in line for line in f.log("raises")) == 1

    play(story)


@pytest.mark.parametrize(
    ("name", "code", "handler", "kind", "message"),
    [
        (
            "import",
            "import nothing",
            "handler.handler",
            "Runtime.ImportModuleError",
            "No module named 'nothing'",
        ),
        ("module", "", "other.handler", "Runtime.ImportModuleError", "No module named 'other'"),
        (
            "missing",
            "",
            "handler.nobody",
            "Runtime.HandlerNotFound",
            "Handler 'nobody' missing on module 'handler'",
        ),
        (
            "syntax",
            "def f(:",
            "handler.handler",
            "Runtime.UserCodeSyntaxError",
            "Syntax error in module 'handler'",
        ),
        ("malformed", "", "handler", "Runtime.MalformedHandlerName", "Bad handler 'handler'"),
        ("raising", "raise KeyError('x')", "handler.handler", "KeyError", "'x'"),
    ],
)
def test_a_function_that_cannot_be_loaded(
    play: Play[None], name: str, code: str, handler: str, kind: str, message: str
) -> None:
    async def story(f: Functions) -> None:
        await f.create(code, f"load-{name}", Handler=handler)
        error = await f.error(name=f"load-{name}")
        assert error["errorType"] == kind
        assert message in error["errorMessage"]
        log = f.log(f"load-{name}")
        # As on AWS: the init phase fails, is repeated at the invocation's expense, and fails again.
        phases = [line.split("\t")[1:] for line in log if line.startswith("INIT_REPORT")]
        assert phases == [
            ["Phase: init", "Status: error", f"Error Type: {kind}"],
            ["Phase: invoke", "Status: error", f"Error Type: {kind}"],
        ]
        assert log[-1].endswith(f"Status: error\tError Type: {kind}")

    play(story)


def test_a_result_that_is_not_json(play: Play[None]) -> None:
    async def story(f: Functions) -> None:
        await f.create("def handler(event, context): return {1, 2}", "set")
        error = await f.error(name="set")
        assert error["errorType"] == "Runtime.MarshalError"
        assert "not JSON serializable" in error["errorMessage"]

    play(story)


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("one", "sys.exit(1)", "Runtime exited with error: exit status 1"),
        ("zero", "os._exit(0)", "Runtime exited without providing a reason"),
        ("killed", "os.kill(os.getpid(), signal.SIGKILL)", "Runtime exited with error: signal: killed"),
        ("abort", "os.abort()", "Runtime exited with error: signal: aborted"),
        ("segfault", "ctypes.string_at(0)", "Runtime exited with error: signal: segmentation fault"),
    ],
)
def test_a_function_that_ends_its_process(play: Play[None], name: str, code: str, text: str) -> None:
    async def story(f: Functions) -> None:
        name_ = f"exit-{name}"
        await f.create(
            f"""
            import ctypes, os, signal, sys
            def handler(event, context):
                if event: return "fine"
                print("about to go", end="")
                {code}
            """,
            name_,
        )
        answer = await f.invoke(None, name_)
        error = json.loads(answer["Payload"])
        (request,) = re.findall(r"START RequestId: (\S+)", "\n".join(f.log(name_)))
        assert error == {
            "errorType": "Runtime.ExitError",
            "errorMessage": f"RequestId: {request} Error: {text}",
        }
        log = f.log(name_)
        assert "about to go" in log
        assert f"RequestId: {request} Error: {text}\nRuntime.ExitError" in log
        assert log[-1].endswith("Status: error\tError Type: Runtime.ExitError")
        assert await f.result(1, name_) == "fine"  # in a new environment

    play(story)


def test_a_function_that_ends_while_it_is_loaded(play: Play[None]) -> None:
    async def story(f: Functions) -> None:
        await f.create("import os; print('in'); os._exit(3)", "exit-init")
        error = await f.error(name="exit-init")
        assert error["errorType"] == "Runtime.ExitError"
        assert error["errorMessage"].endswith("Error: Runtime exited with error: exit status 3")
        assert f.log("exit-init").count("in") == 2

    play(story)


def test_a_function_that_takes_too_long_is_killed(play: Play[None]) -> None:
    async def story(f: Functions) -> None:
        await f.create(
            """
            import time
            def handler(event, context):
                print("sleeping")
                time.sleep(event)
            """,
            "slow",
            Timeout=1,
        )
        started = time.monotonic()
        answer = await f.invoke(60, "slow", LogType="Tail")
        assert 1 <= time.monotonic() - started < 10
        (request,) = re.findall(r"START RequestId: (\S+)", "\n".join(f.log("slow")))
        assert json.loads(answer["Payload"]) == {
            "errorType": "Sandbox.Timedout",
            "errorMessage": f"RequestId: {request} Error: Task timed out after 1.00 seconds",
        }
        assert answer["FunctionError"] == "Unhandled"
        tail = base64.b64decode(answer["LogResult"]).decode()
        assert f"{request} Task timed out after 1.00 seconds\n" in tail
        assert "Duration: 1000.00 ms\tBilled Duration: " in tail
        assert tail.endswith("\tStatus: timeout\n")
        assert await f.result(0, "slow") is None
        assert sum("Init Duration" in line for line in f.log("slow")) == 2  # not the same environment

    play(story)


def test_loading_that_takes_too_long_is_repeated_within_the_timeout(play: Play[None]) -> None:
    async def story(f: Functions) -> None:
        await f.create(
            """
            import time
            time.sleep(0.8)
            def handler(event, context): return "loaded"
            """,
            "slow-init",
            Timeout=5,
        )
        f.service.invoker.init_limit = 0.4
        try:
            assert await f.result(name="slow-init") == "loaded"
            assert [
                line.split("\t", 1)[1] for line in f.log("slow-init") if line.startswith("INIT_REPORT")
            ] == ["Phase: init\tStatus: timeout"]
            (duration,) = re.findall(r"\tDuration: ([\d.]+) ms", "\n".join(f.log("slow-init")))
            assert float(duration) >= 800
            await f.call("update_function_configuration", FunctionName="slow-init", Timeout=1)
            await f.call(
                "update_function_code",
                FunctionName="slow-init",
                ZipFile=archive("import time; time.sleep(100)"),
            )
            error = await f.error(name="slow-init")
            assert error["errorType"] == "Sandbox.Timedout"
        finally:
            f.service.invoker.init_limit = 10

    play(story)


def test_a_function_that_needs_too_much_memory_is_killed(play: Play[None]) -> None:
    async def story(f: Functions) -> None:
        await f.create(
            """
            import time
            def handler(megabytes, context):
                held = bytearray(megabytes << 20)
                for place in range(0, len(held), 4096): held[place] = 1
                return len(held)
            """,
            "memory",
            Timeout=20,
        )
        assert await f.result(60, "memory") == 60 << 20
        (used,) = re.findall(r"Max Memory Used: (\d+) MB", "\n".join(f.log("memory")))
        assert 90 <= int(used) <= 110
        error = await f.error(400, "memory")
        assert error["errorType"] == "Runtime.OutOfMemory"
        assert error["errorMessage"].endswith("Error: Runtime exited with error: signal: killed")
        assert (
            "Max Memory Used: 128 MB\tStatus: error\tError Type: Runtime.OutOfMemory" in f.log("memory")[-1]
        )
        await f.call("update_function_configuration", FunctionName="memory", MemorySize=512)
        assert await f.result(400, "memory") == 400 << 20

    play(story)


def test_programs_that_a_function_runs_count_as_its_memory(play: Play[None]) -> None:
    async def story(f: Functions) -> None:
        await f.create(
            """
            import subprocess, sys
            def handler(event, context):
                subprocess.run([sys.executable, "-c", "x = b'x' * (400 << 20); import time; time.sleep(60)"])
            """,
            "child-memory",
            Timeout=20,
        )
        error = await f.error(name="child-memory")
        assert error["errorType"] == "Runtime.OutOfMemory"

    play(story)


def test_a_result_that_is_too_large(play: Play[None]) -> None:
    async def story(f: Functions) -> None:
        await f.create("def handler(size, context): return 'x' * size", "large", MemorySize=512)
        assert len(await f.result(6_000_000, "large")) == 6_000_000
        assert await f.error(6_300_000, "large") == {
            "errorType": "Function.ResponseSizeTooLarge",
            "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
        }
        assert len(await f.result(10, "large")) == 10

    play(story)


def test_payloads_that_are_refused(play: Play[None]) -> None:
    async def story(f: Functions) -> None:
        await f.create("def handler(event, context): return len(event)", "payloads")
        large = json.dumps("x" * 6_291_454).encode()
        assert len(large) == 6_291_456
        answer = await f.call("invoke", FunctionName="payloads", Payload=large)
        assert answer["Payload"] == b"6291454"
        for payload, kind, code, status in (
            (large + b" ", "RequestResponse", "RequestTooLargeException", 413),
            (b'"' + b"x" * 1_048_576 + b'"', "Event", "RequestTooLargeException", 413),
            (b"{not json}", "RequestResponse", "InvalidRequestContentException", 400),
            (b"NaN", "RequestResponse", "InvalidRequestContentException", 400),
            (b"\xff", "RequestResponse", "InvalidRequestContentException", 400),
        ):
            with pytest.raises(ServiceError) as refused:
                await f.call("invoke", FunctionName="payloads", Payload=payload, InvocationType=kind)
            assert (refused.value.code, refused.value.status) == (code, status)

    play(story)


def test_what_does_not_exist(play: Play[None]) -> None:
    async def story(f: Functions) -> None:
        arn = "arn:aws:lambda:us-east-1:123456789012:function:nobody"
        for name, message in (("nobody", arn), ("nobody:7", f"{arn}:7"), (arn, arn)):
            with pytest.raises(ServiceError) as refused:
                await f.call("invoke", FunctionName=name)
            assert refused.value.code == "ResourceNotFoundException"
            assert refused.value.status == 404
            assert refused.value.message == f"Function not found: {message}"

    play(story)


def test_a_dry_run_runs_nothing(play: Play[None]) -> None:
    async def story(f: Functions) -> None:
        await f.create("def handler(event, context): print('ran')", "dry")
        answer = await f.call("invoke", FunctionName="dry", InvocationType="DryRun")
        assert answer == {"StatusCode": 204, "Payload": b""}
        assert f.log("dry") == []

    play(story)


def test_log_lines(play: Play[None]) -> None:
    async def story(f: Functions) -> None:
        await f.create(
            """
            import logging, os, sys
            log = logging.getLogger()
            log.setLevel("INFO")
            print("loading")
            def handler(event, context):
                print("out")
                sys.stderr.write("err\\n")
                log.info("logged %s", event)
                os.system("echo child")
            """,
            "logs",
        )
        answer = await f.invoke(5, "logs", LogType="Tail")
        log = f.log("logs")
        (request,) = re.findall(r"START RequestId: (\S+)", "\n".join(log))
        assert log[0] == "loading"
        assert log[1] == f"START RequestId: {request} Version: $LATEST"
        assert log[2:4] == ["out", "err"]
        assert re.fullmatch(rf"\[INFO\]\t\d{{4}}-\d\d-\d\dT[\d:.]+Z\t{request}\tlogged 5", log[4])
        assert log[5:7] == ["child", f"END RequestId: {request}"]
        assert re.fullmatch(
            rf"REPORT RequestId: {request}\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms\t"
            r"Memory Size: 128 MB\tMax Memory Used: \d+ MB\tInit Duration: [\d.]+ ms",
            log[7],
        )
        assert base64.b64decode(answer["LogResult"]).decode() == "".join(f"{line}\n" for line in log)
        ((_, stream),) = [key for key in f.cloud.logs if key[0] == "/aws/lambda/logs"]
        assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", stream)
        events = [event for event in f.events if event.subject == "logs"]
        assert [event.data["line"] for event in events if event.kind == "function.log"] == log
        phases = [
            (event.data["phase"], event.data.get("status")) for event in events if event.kind == "function"
        ]
        assert phases == [("init", "success"), ("start", None), ("end", "success")]

    play(story)


def test_the_tail_of_the_log_is_its_last_4_kilobytes(play: Play[None]) -> None:
    async def story(f: Functions) -> None:
        await f.create("def handler(event, context): print('x' * 100_000)", "tail")
        answer = await f.invoke(name="tail", LogType="Tail")
        tail = base64.b64decode(answer["LogResult"])
        assert len(tail) == 4096
        assert b"REPORT RequestId" in tail
        assert "x" * 100_000 in f.log("tail")

    play(story)


def test_logs_as_json(play: Play[None]) -> None:
    async def story(f: Functions) -> None:
        await f.create(
            """
            import logging
            def handler(event, context): logging.getLogger().warning("careful")
            """,
            "json",
            LoggingConfig={"LogFormat": "JSON", "LogGroup": "/mine"},
        )
        await f.result(name="json")
        lines = [
            json.loads(line)
            for (group, _), lines in f.cloud.logs.items()
            if group == "/mine"
            for line in lines
        ]
        kinds = [line.get("type") or line["level"] for line in lines]
        assert kinds == ["platform.start", "WARN" if "WARN" in kinds else "WARNING", "platform.report"]
        assert lines[1]["message"] == "careful"
        assert lines[2]["record"]["metrics"]["memorySizeMB"] == 128

    play(story)


def test_events_are_accepted_and_delivered() -> None:
    async def story() -> None:
        async with functions(skipping()) as f:
            await f.create("def handler(event, context): print('got', event)")
            answer = await f.invoke({"n": 1}, InvocationType="Event")
            assert answer == {"StatusCode": 202, "Payload": b""}
            assert f.log() == []
            await asyncio.gather(*f.cloud.tasks)
            assert "got {'n': 1}" in f.log()

    clock.run(story())


def test_an_event_that_fails_is_tried_twice_again_and_buried() -> None:
    async def story() -> None:
        async with functions(skipping()) as f:
            target = "arn:aws:sqs:us-east-1:123456789012:dead"
            await f.create(
                "def handler(event, context): raise ValueError('no')", DeadLetterConfig={"TargetArn": target}
            )
            await f.invoke({"n": 1}, InvocationType="Event")
            await asyncio.gather(*f.cloud.tasks)
            starts = [event for event in f.events if event.data.get("phase") == "start"]
            gaps = [later.at - earlier.at for earlier, later in itertools.pairwise(starts)]
            assert [round(gap / 60) for gap in gaps] == [1, 2]
            assert len({event.data["request_id"] for event in starts}) == 1
            service, operation, params = f.cloud.calls[-1]
            assert (service, operation) == ("sqs", "SendMessage")
            assert params["MessageBody"] == '{"n": 1}'
            assert params["MessageAttributes"]["ErrorMessage"]["StringValue"] == "no"

    clock.run(story())


def test_virtual_time_runs_at_wall_speed_while_a_function_does() -> None:
    async def story() -> None:
        async with functions(skipping()) as f:
            await f.create("import time\ndef handler(event, context): time.sleep(0.5)")
            woken = False

            async def other() -> None:
                nonlocal woken
                await f.cloud.clock.sleep(3600)
                woken = True

            task = asyncio.create_task(other())
            await asyncio.sleep(0)
            before = f.cloud.clock.now()
            await f.result()
            assert 0.5 <= f.cloud.clock.now() - before < 30
            assert not woken
            task.cancel()

    clock.run(story())
