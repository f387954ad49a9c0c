"""Environments: what a function finds around it, how long it lives, how many there are."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from harness import clock
from harness.cloud.errors import ServiceError
from harness.cloud.events import Event
from harness.cloud.functions import runtimes, template
from harness.project.cache import cache_folder
from tests.cloud.functions.conftest import Play
from tests.cloud.functions.support import Functions, archive, functions

linux = pytest.mark.skipif(sys.platform != "linux", reason="environments are isolated on Linux only")

COUNT = """
    import os, time
    calls = 0
    def handler(seconds, context):
        global calls
        calls += 1
        time.sleep(seconds or 0)
        return [os.environ["AWS_LAMBDA_LOG_STREAM_NAME"][-32:], calls]
"""


# What is there ---------------------------------------------------------------------------------------------


def test_nothing_of_the_caller_reaches_a_function(
    play: Play[None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret = "sentinel-do-not-leak"
    home = tmp_path / "home"
    (home / ".aws").mkdir(parents=True)
    (home / ".aws/credentials").write_text(
        f"[default]\naws_access_key_id={secret}\naws_secret_access_key=x\n"
    )
    monkeypatch.setenv("HARNESS_CACHE", str(cache_folder()))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    monkeypatch.setenv("HTTPS_PROXY", f"http://{secret}:1")
    monkeypatch.setenv("SENTINEL", secret)

    async def story() -> None:
        async with functions() as f:  # its own, so that the template, too, is started with these about
            await f.create(
                f"""
                import os, pathlib, boto3
                def seen(path):
                    try: return pathlib.Path(path).read_text(errors="replace")
                    except OSError: return None
                def handler(event, context):
                    client = boto3.client("s3")
                    key = [client._request_signer._credentials.access_key, client.meta.endpoint_url]
                    key += [client.meta.region_name, boto3.Session().get_credentials().access_key]
                    environs = [seen(p) for p in pathlib.Path("/proc").glob("*/environ")]
                    return [dict(os.environ), key, seen({str(home / ".aws/credentials")!r}), environs]
                """,
                Environment={"Variables": {"MINE": "1", "LANG": "C"}},
            )
            environment, key, credentials, environs = await f.result()
            assert secret not in str([environment, key, credentials, environs])
            assert key == ["ASIA-function-f", f.cloud.endpoint_url, f.cloud.region, "ASIA-function-f"]
            assert environment.keys() - {"_X_AMZN_TRACE_ID"} == {
                "AWS_ACCESS_KEY_ID",
                "AWS_DEFAULT_REGION",
                "AWS_DISABLE_HOST_PREFIX_INJECTION",
                "AWS_EC2_METADATA_DISABLED",
                "AWS_ENDPOINT_URL",
                "AWS_EXECUTION_ENV",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
                "AWS_LAMBDA_FUNCTION_NAME",
                "AWS_LAMBDA_FUNCTION_VERSION",
                "AWS_LAMBDA_INITIALIZATION_TYPE",
                "AWS_LAMBDA_LOG_GROUP_NAME",
                "AWS_LAMBDA_LOG_STREAM_NAME",
                "AWS_LAMBDA_RUNTIME_API",
                "AWS_REGION",
                "AWS_SECRET_ACCESS_KEY",
                "AWS_SESSION_TOKEN",
                "LAMBDA_RUNTIME_DIR",
                "LAMBDA_TASK_ROOT",
                "LANG",
                "LD_LIBRARY_PATH",
                "MINE",
                "PATH",
                "PYTHONPATH",
                "TZ",
                "_HANDLER",
            }
            assert environment["MINE"] == "1"
            assert environment["LANG"] == "C"
            assert environment["AWS_ENDPOINT_URL"] == f.cloud.endpoint_url

    clock.run(story())


@linux
def test_the_file_system_is_lambdas(play: Play[None]) -> None:
    async def story(f: Functions) -> None:
        await f.create(
            """
            import os, pathlib, sys
            def write(path):
                try: pathlib.Path(path).write_text("x")
                except OSError as error: return error.strerror
            def handler(event, context):
                here = [os.getcwd(), __file__, os.environ["LAMBDA_TASK_ROOT"], sys.path[:4]]
                written = {path: write(path) for path in (
                    "/var/task/handler.py", "/var/task/new", "/opt/new", "/usr/new", "/etc/new", "/new",
                    "/tmp/new",
                )}
                return [here, written, os.listdir("/tmp"), sorted(os.listdir("/var")), os.getuid()]
            """,
            "files",
        )
        here, written, tmp, var, user = await f.result(name="files")
        path = ["/var/task", "/opt/python/lib/python3.11/site-packages", "/opt/python", "/var/runtime"]
        assert here == ["/var/task", "/var/task/handler.py", "/var/task", path]
        assert written.pop("/tmp/new") is None
        assert set(written.values()) == {"Read-only file system"}
        assert tmp == ["new"]
        assert var == ["harness", "lang", "runtime", "task"]
        assert user != 0

    play(story)


@linux
def test_tmp_is_private_and_as_large_as_asked_for(play: Play[None]) -> None:
    async def story(f: Functions) -> None:
        await f.create(
            """
            import os, pathlib
            def handler(megabytes, context):
                before = os.listdir("/tmp")
                try:
                    for n in range(megabytes): pathlib.Path(f"/tmp/{n}").write_bytes(bytes(1 << 20))
                except OSError as error: return error.strerror
                return before
            """,
            "tmp",
            EphemeralStorage={"Size": 512},
            Timeout=30,
        )
        assert await f.result(2, "tmp") == []
        assert sorted(await f.result(2, "tmp")) == ["0", "1"]  # a warm environment still has them
        await f.call("update_function_configuration", FunctionName="tmp", Description="new")
        assert await f.result(1, "tmp") == []
        assert await f.result(513, "tmp") == "No space left on device"

    play(story)


@linux
def test_layers_lie_at_opt(play: Play[None]) -> None:
    async def story(f: Functions) -> None:
        layers = []
        for name, files in (
            ("one", {"python/both.py": "x = 1", "python/one.py": "", "bin/tool": "#!/bin/sh\necho tool"}),
            ("two", {"python/both.py": "x = 2", "python/lib/python3.11/site-packages/site_one.py": "y = 3"}),
        ):
            layer = await f.call("publish_layer_version", LayerName=name, Content={"ZipFile": archive(files)})
            layers.append(layer["LayerVersionArn"])
        await f.create(
            """
            import both, one, site_one, os
            def handler(event, context):
                return [both.x, both.__file__, site_one.y, sorted(os.listdir("/opt"))]
            """,
            "layers",
            Layers=layers,
        )
        assert await f.result(name="layers") == [2, "/opt/python/both.py", 3, ["bin", "python"]]

    play(story)


def test_a_function_may_bring_its_own_boto3(play: Play[None]) -> None:
    async def story(f: Functions) -> None:
        files = {
            "handler.py": """
                import boto3, sys
                def handler(event, context): return [boto3.__version__, "botocore" in sys.modules]
            """,
            "boto3/__init__.py": "__version__ = 'mine'",
        }
        await f.create(files, "own-boto3")
        assert await f.result(name="own-boto3") == ["mine", False]

    play(story)


def test_packages_of_the_interpreter_are_not_there(play: Play[None]) -> None:
    """pytest is installed where this runs; on AWS it would not be. Nor would the template's own modules."""

    async def story(f: Functions) -> None:
        await f.create(
            """
            import importlib.util
            def handler(event, context): return [bool(importlib.util.find_spec(name)) for name in event]
            """,
            "packages",
        )
        names = ["boto3", "pytest", "pip", "harness", "zygote", "sandbox", "kernel"]
        assert await f.result(names, "packages") == [True] + [False] * 6

    play(story)


# How long it lives -----------------------------------------------------------------------------------------


def test_a_warm_environment_is_used_again(play: Play[None]) -> None:
    async def story(f: Functions) -> None:
        await f.create(COUNT, "warm")
        first, second = await f.result(name="warm"), await f.result(name="warm")
        assert second == [first[0], 2]

    play(story)


def test_the_environment_used_last_is_used_first(play: Play[None]) -> None:
    async def story(f: Functions) -> None:
        await f.create(COUNT, "lifo")
        short, long = await asyncio.gather(f.result(0.1, "lifo"), f.result(0.5, "lifo"))
        assert short[0] != long[0]
        assert await f.result(name="lifo") == [long[0], 2]

    play(story)


def test_invocations_run_at_the_same_time(play: Play[None]) -> None:
    async def story(f: Functions) -> None:
        await f.create(COUNT, "parallel", Timeout=30)
        await asyncio.gather(*(f.result(0, "parallel") for _ in range(4)))
        started = time.monotonic()
        results = await asyncio.gather(*(f.result(1, "parallel") for _ in range(4)))
        assert time.monotonic() - started < 3
        assert len({stream for stream, _ in results}) == 4

    play(story)


def test_an_update_takes_effect_at_once(play: Play[None]) -> None:
    async def story(f: Functions) -> None:
        await f.create("def handler(event, context): return 1", "update")
        assert await f.result(name="update") == 1
        # Same size, so that nothing but the content tells them apart.
        await f.call(
            "update_function_code",
            FunctionName="update",
            ZipFile=archive("def handler(event, context): return 2"),
        )
        assert await f.result(name="update") == 2
        await f.call(
            "update_function_configuration", FunctionName="update", Environment={"Variables": {"A": "1"}}
        )
        await f.call(
            "update_function_code",
            FunctionName="update",
            ZipFile=archive("import os\ndef handler(event, context): return os.environ['A']"),
        )
        assert await f.result(name="update") == "1"

    play(story)


def test_an_invocation_under_way_ends_with_the_code_it_began_with(play: Play[None]) -> None:
    async def story(f: Functions) -> None:
        await f.create(COUNT, "under-way", Timeout=30)
        task = asyncio.create_task(f.result(0.5, "under-way"))
        await _started(f, "under-way", task)
        await f.call(
            "update_function_code",
            FunctionName="under-way",
            ZipFile=archive("def handler(event, context): return 'new'"),
        )
        assert await f.result(name="under-way") == "new"
        assert (await task)[1] == 1
        assert await f.result(name="under-way") == "new"

    play(story)


async def _started(f: Functions, name: str, invocation: asyncio.Task[Any]) -> None:
    """Wait until the invocation has reached its handler, or has failed before."""
    started = asyncio.Event()

    def look(event: Event) -> None:
        if event.subject == name and event.data.get("phase") == "start":
            started.set()

    forget = f.cloud.events.subscribe(look)
    invocation.add_done_callback(lambda _: started.set())
    await started.wait()
    forget()
    if invocation.done():
        await invocation


@linux
def test_what_a_function_leaves_running_ends_with_its_environment(play: Play[None]) -> None:
    async def story(f: Functions) -> None:
        await f.create(
            """
            import os, subprocess, sys
            def handler(event, context):
                # A daemon: a session of its own, its parent gone.
                code = "import os, time\\nif os.fork() == 0: os.setsid(); time.sleep(600)"
                subprocess.run([sys.executable, "-c", code, "mark-of-the-daemon"], check=True)
            """,
            "daemon",
            Timeout=30,
        )
        await f.result(name="daemon")
        assert _processes("mark-of-the-daemon")
        await f.call("delete_function", FunctionName="daemon")
        await asyncio.gather(*f.cloud.tasks)
        assert not _processes("mark-of-the-daemon")

    play(story)


def _processes(mark: str) -> list[int]:
    """Processes with a word on their command line."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if mark in (folder / "cmdline").read_bytes().decode(errors="replace"):
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


def test_an_invocation_that_is_cancelled_ends_its_environment(play: Play[None]) -> None:
    async def story(f: Functions) -> None:
        await f.create(COUNT, "cancelled", Timeout=30)
        first = await f.result(0, "cancelled")
        await f.call("put_function_concurrency", FunctionName="cancelled", ReservedConcurrentExecutions=1)
        task = asyncio.create_task(f.result(20, "cancelled"))
        await _started(f, "cancelled", task)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await f.result(0, "cancelled"))[0] != first[0]
        await f.call("delete_function_concurrency", FunctionName="cancelled")

    play(story)


@linux
def test_a_template_process_that_dies_is_replaced() -> None:
    async def story() -> None:
        async with functions() as f:
            await f.create(COUNT, Timeout=30)
            first = await f.result(0)
            task = asyncio.create_task(f.error(20))
            await _started(f, "f", task)
            template_process = (await f.service.invoker.templates.get("f", "python3.11"))._process
            assert template_process is not None
            os.kill(template_process.pid, signal.SIGKILL)
            assert (await task)["errorType"] == "Runtime.ExitError"
            assert (await f.result(0))[0] != first[0]

    clock.run(story())


# How many --------------------------------------------------------------------------------------------------


def test_reserved_concurrency_limits(play: Play[None]) -> None:
    async def story(f: Functions) -> None:
        await f.create(COUNT, "reserved", Timeout=30)
        await f.call("put_function_concurrency", FunctionName="reserved", ReservedConcurrentExecutions=1)
        task = asyncio.create_task(f.result(0.5, "reserved"))
        await _started(f, "reserved", task)
        with pytest.raises(ServiceError) as throttled:
            await f.invoke(0, "reserved")
        assert throttled.value.code == "TooManyRequestsException"
        assert throttled.value.message == "Rate Exceeded."
        assert throttled.value.status == 429
        assert throttled.value.fields["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
        await task
        assert await f.result(0, "reserved")
        await f.call("put_function_concurrency", FunctionName="reserved", ReservedConcurrentExecutions=0)
        with pytest.raises(ServiceError, match="Rate Exceeded"):
            await f.invoke(0, "reserved")
        await f.call("delete_function_concurrency", FunctionName="reserved")
        assert await f.result(0, "reserved")

    play(story)


def test_the_account_has_a_limit(play: Play[None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.cloud.functions.invocations.ACCOUNT_CONCURRENCY", 1)

    async def story(f: Functions) -> None:
        await f.create(COUNT, "limited", Timeout=30)
        task = asyncio.create_task(f.result(0.5, "limited"))
        await _started(f, "limited", task)
        with pytest.raises(ServiceError) as throttled:
            await f.invoke(0, "limited")
        assert throttled.value.fields["Reason"] == "ConcurrentInvocationLimitExceeded"
        await task

    play(story)


# Where it runs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("declared", ["python3.12", "python3.13"])
def test_a_function_runs_on_the_interpreter_it_declares(play: Play[None], declared: str) -> None:
    if runtimes.find(declared).substitute:
        pytest.skip(f"{declared} is not on this machine")

    async def story(f: Functions) -> None:
        code = """
            import os, sys
            def handler(event, context): return [sys.version_info[:2], os.environ["AWS_EXECUTION_ENV"]]
        """
        name = declared.replace(".", "-")
        await f.create(code, name, Runtime=declared)
        for _ in range(2):
            version, environment = await f.result(name=name)
            assert "python{}.{}".format(*version) == declared
            assert environment == f"AWS_Lambda_{declared}"
        assert [event for event in f.events if event.kind == "warning" and event.subject == name] == []

    play(story)


def test_an_interpreter_that_is_missing_is_replaced_and_said_so(play: Play[None]) -> None:
    declared = "python3.14"
    runtime = runtimes.find(declared)
    if not runtime.substitute:
        pytest.skip(f"{declared} is on this machine")

    async def story(f: Functions) -> None:
        code = "import sys\ndef handler(event, context): return '{}.{}'.format(*sys.version_info)"
        await f.create(code, "missing-runtime", Runtime=declared)
        for _ in range(2):
            assert await f.result(name="missing-runtime") == runtime.version
            await f.call("update_function_configuration", FunctionName="missing-runtime", Timeout=9)
        said = [event for event in f.events if event.kind == "warning" and event.subject == "missing-runtime"]
        assert [event.data["message"] for event in said] == [
            f"it declares {declared}, which is not here; it runs on Python {runtime.version}"
        ]

    play(story)


def test_without_namespaces_functions_still_run_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def launch(self: Any, config: dict[str, Any]) -> str | None:
        return "no namespaces" if config["stage"] == "isolate" else await original(self, config)

    original = template.TemplateProcess._launch
    monkeypatch.setattr(template.TemplateProcess, "_launch", launch)

    async def story() -> None:
        async with functions() as f:
            layer = await f.call(
                "publish_layer_version", LayerName="l", Content={"ZipFile": archive({"python/l.py": "x = 1"})}
            )
            await f.create(
                """
                import boto3, os, l
                def handler(event, context): return [os.environ["LAMBDA_TASK_ROOT"], os.getcwd(), l.x]
                """,
                Layers=[layer["LayerVersionArn"]],
            )
            root, here, x = await f.result()
            assert root == here != "/var/task"
            assert x == 1
            (said,) = f.warnings()
            assert "no namespaces" in said

    clock.run(story())


def test_the_packages_of_an_interpreter_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = runtimes.find(f"python{sys.version_info.major}.{sys.version_info.minor}")
    made = runtimes.packages(runtime, cache_folder())

    def forbidden() -> str:
        raise AssertionError("uv was asked")

    monkeypatch.setattr("uv.find_uv_bin", forbidden)
    assert runtimes.packages(runtime, cache_folder()) == made
    assert (made / "awslambdaric").is_dir()
    assert not runtime.substitute


def test_packages_that_cannot_be_had_leave_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from harness.errors import EnvironmentFault

    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)
    runtime = runtimes.find(f"python{sys.version_info.major}.{sys.version_info.minor}")
    with pytest.raises(EnvironmentFault, match=r"awslambdaric==.* cannot be installed"):
        runtimes.packages(runtime, tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache/functions").iterdir()] == [".locks"]
