"""What the template process does, and what each fork of it does then: be an environment."""

from __future__ import annotations

import importlib
import os
import sys
import time
from typing import Any

from .filesystem import BYTECODE, enter, isolate
from .layout import LAYER_ROOT, TASK_ROOT
from .serve import Template

OURS = ("sandbox", "zygote")
"""The packages this program consists of; a function may well have a module of the same name."""

BOTO = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3")
"""Packages loaded ahead that a function may bring its own version of."""


def main(config: dict[str, Any]) -> None:
    if config["stage"] == "isolate":
        isolate(config)
    site = importlib.import_module("site")  # what it does besides adding site-packages
    site.setquit()
    site.setcopyright()
    site.sethelper()
    sys.path.insert(0, config["runtime"])
    become(Template(config).serve(), config)


def become(request: dict[str, Any], config: dict[str, Any]) -> None:
    """Be an environment: run the function's invocations until killed."""
    if request["isolated"]:
        enter(request)
        task, layers, cache = TASK_ROOT, LAYER_ROOT, request["cache"] and BYTECODE
    else:
        task, layers = (
            os.path.join(config["packages"], request[kind] or "none") for kind in ("code", "layers")
        )
        cache = request["cache"] and os.path.join(config["cache"], request["cache"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    os.chdir(task)
    sys.argv = [os.path.join(config["runtime"], "bootstrap.py"), request["handler"]]
    if cache:
        sys.pycache_prefix = cache
    else:
        sys.dont_write_bytecode = True
    forget(OURS)
    version = "python{}.{}".format(*sys.version_info)
    own = [task, f"{layers}/python/lib/{version}/site-packages", f"{layers}/python"]
    more = request["environment"].get("PYTHONPATH", "").split(":")
    sys.path[:0] = own + [folder for folder in more if folder and folder not in sys.path]
    sys.path_importer_cache.clear()
    if any(os.path.exists(f"{folder}/{name}{end}") for folder in own for name in BOTO for end in ("", ".py")):
        forget(BOTO)

    bootstrap = importlib.import_module("awslambdaric.bootstrap")
    client: Any = importlib.import_module("awslambdaric.lambda_runtime_client")
    client.runtime_client = importlib.import_module("runtime_client")
    client.runtime_client.initialize_client(client._user_agent())
    if {"AWS_LAMBDA_LOG_FORMAT", "AWS_LAMBDA_LOG_LEVEL"} & request["environment"].keys():
        importlib.reload(bootstrap)  # it looks at them while it is imported
    threads = importlib.import_module("awslambdaric.lambda_config").LambdaConfigProvider(sys.argv)
    bootstrap.run(
        request["handler"],
        client.LambdaRuntimeClient(threads.api_address, threads.use_thread_polling),
    )


def forget(packages: tuple[str, ...]) -> None:
    """Drop modules, so that the function can bring its own."""
    for name in [name for name in sys.modules if name.split(".")[0] in packages]:
        del sys.modules[name]
