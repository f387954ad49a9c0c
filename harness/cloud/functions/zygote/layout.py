"""Where things are for a function."""

from __future__ import annotations

TASK_ROOT = "/var/task"
LAYER_ROOT = "/opt"
RUNTIME_ROOT = "/var/runtime"
LANGUAGE_ROOT = "/var/lang"
LIBRARIES = ":".join(
    [
        *(f"{LANGUAGE_ROOT}/lib", "/lib64", "/usr/lib64", RUNTIME_ROOT, f"{RUNTIME_ROOT}/lib"),
        *(TASK_ROOT, f"{TASK_ROOT}/lib", f"{LAYER_ROOT}/lib"),
    ]
)
"""LD_LIBRARY_PATH; the loader reads it when the template is started."""

FLAGS = ("-I", "-S")
"""How the interpreter is started: it looks neither at the environment nor at its own site-packages, which a
function on AWS does not have."""
