"""AWS Step Functions, over the interpreter in `harness.asl`.

`api` puts the `operations` together; `machines` and `executions` keep what there is, `versions` and `aliases`
what is published of it; `definitions` says what is wrong with a definition; `integrations` does the work of
Task states, workers that of `activities`; `tokens` waits for callbacks.
"""

from __future__ import annotations

from harness.cloud.stepfunctions.api import StepFunctions

__all__ = ["StepFunctions"]
