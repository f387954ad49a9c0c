"""SageMaker and SageMaker Runtime.

The control plane keeps SageMaker's own records and status machines (`api` lists its operations); the work is
done by real containers:

* `training`: a training job pulls its channels (`channels`, `pipes`), runs its `hosts`, keeps its checkpoints
  and metrics, and uploads what they left.
* `processing`, `tuning`: jobs that run containers of any kind, and jobs that run training jobs.
* `transform`: every record of every object goes to a serving container.
* `models`: models and the registry.
* `endpoints`: fleets of serving containers, and how one version follows another.
* `invocations`: what `runtime` does with a request for an endpoint.
* `serving` and `http`: a serving container, and how to talk to one.
* `jobs`: how every job lives on the cloud's clock. `access`: what a container may reach.

What a container finds and leaves behind is in `harness.containers.contract`.
"""

from harness.cloud.sagemaker.api import SageMaker
from harness.cloud.sagemaker.runtime import SageMakerRuntime

__all__ = ["SageMaker", "SageMakerRuntime"]
