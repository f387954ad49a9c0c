"""SageMaker and SageMaker Runtime.

The control plane keeps SageMaker's own records and status machines (`api` lists its operations, one module
per resource carries them out); the work is done by real containers:

* `training` and `training_run`: a training job pulls its channels (`channels`, `pipes`), runs its `hosts`,
  keeps its `checkpoints` and `metrics`, and uploads what they left (`training_output`).
* `access`: what a container may reach, and whether SageMaker can assume a role.
* `transform` and `transform_run`: a transform job sends every object to a serving container.
* `models`, `endpoint_configs`, `endpoints`, `variants`, `runtime`: an endpoint keeps serving containers up,
  and InvokeEndpoint talks to them.
* `serving` and `http`: a serving container, and how to talk to one.
* `jobs`: how every job lives on the cloud's clock.

What a container finds and leaves behind is in `harness.containers.contract`.
"""

from harness.cloud.sagemaker.api import SageMaker
from harness.cloud.sagemaker.runtime import SageMakerRuntime

__all__ = ["SageMaker", "SageMakerRuntime"]
