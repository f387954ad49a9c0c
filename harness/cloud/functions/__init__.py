"""Lambda.

`service` is the API; `invocations` decides which environment handles an event, `environment` is one such, and
`zygote` is the process they are forked from.
"""

from harness.cloud.functions.service import Lambda

__all__ = ["Lambda"]
