"""A training job as the API knows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.cloud.sagemaker.jobs import Job
from harness.cloud.sagemaker.records import moment
from harness.cloud.sagemaker.validation import S3Location, parse_s3

__all__ = ["MAX_RUNTIME", "MESSAGES", "TrainingJob", "Transition"]

MAX_RUNTIME = 86_400
"""MaxRuntimeInSeconds when the request does not say, virtual seconds."""

MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Stopping": "Stopping the training job",
    "Interrupted": "Managed spot training instances were interrupted",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job waiting time exceeded MaxWaitTimeInSeconds provided",
}
"""StatusMessage of each SecondaryStatus, once it is over."""


TERMINAL = ("Completed", "Failed", "Stopped", "MaxRuntimeExceeded", "MaxWaitTimeExceeded")


@dataclass
class Transition:
    """An item of SecondaryStatusTransitions. Virtual seconds."""

    status: str
    start: float
    end: float | None = None

    def describe(self) -> dict[str, Any]:
        """As the API gives it."""
        item: dict[str, Any] = {"Status": self.status, "StartTime": moment(self.start)}
        if self.end is not None:
            item["EndTime"] = moment(self.end)
        return item | {"StatusMessage": MESSAGES[self.status]}


class TrainingJob(Job):
    """A training job as the API knows it."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self.transitions = [Transition("Starting", self.created)]
        self.downloading: float | None = None
        self.metrics: dict[str, tuple[float, int]] = {}
        """Last value of each metric, and when it was logged, in whole seconds."""
        self.on_metric: Callable[[str, float], object] | None = None
        """Called with the name and each value of a metric, as it is logged."""
        self.tuning_job: str | None = None
        """ARN of the tuning job that started it."""

    @property
    def secondary(self) -> str:
        """SecondaryStatus."""
        return self.transitions[-1].status

    @property
    def finished(self) -> float:
        """When the terminal status began (the last one, if there is none yet)."""
        return self.transitions[-1].start

    def enter(self, secondary: str) -> None:
        """Go to a secondary status: where the last one ends, the next begins."""
        now = self.modified = self._clock.now()
        self.transitions[-1].end = now
        terminal = secondary in TERMINAL
        self.transitions.append(Transition(secondary, now, now if terminal else None))
        if secondary == "Downloading" and self.downloading is None:
            self.downloading = now

    def measure(self, metric: str, value: float, at: int) -> None:
        """Take a value of a metric, logged at a whole second."""
        self.metrics[metric] = (value, at)
        if self.on_metric is not None:
            self.on_metric(metric, value)

    def stop(self, secondary: str = "Stopped") -> None:
        """Begin to stop; the job will end with this secondary status."""
        if self.status == "InProgress":
            self.stopped_by = secondary
            self.status = "Stopping"
            self.enter("Stopping")
            self.interrupt.set()

    def expire(self) -> None:
        self.stop("MaxRuntimeExceeded")

    def finish(self, status: str, reason: str | None = None) -> None:
        self.enter(self.stopped_by if status == "Stopped" and self.stopped_by else status)
        super().finish(status, reason)

    def billable(self) -> float:
        """Seconds with instances: from each Downloading to the next interruption, or to the end."""
        seconds: float = 0
        since: float | None = None
        for transition in self.transitions:
            if transition.status == "Downloading":
                since = transition.start
            elif since is not None and transition.status in ("Interrupted", "Starting", *TERMINAL):
                seconds += transition.start - since
                since = None
        return seconds

    @property
    def uncompressed(self) -> bool:
        """Artifacts are uploaded as they are, not as archives."""
        return bool(self.request["OutputDataConfig"].get("CompressionType") == "NONE")

    @property
    def model_place(self) -> S3Location:
        """S3ModelArtifacts: an archive, or the prefix of what would be in it."""
        return self.artifact("model/" if self.uncompressed else "model.tar.gz")

    def artifact(self, name: str) -> S3Location:
        """Where an artifact goes."""
        base = parse_s3(self.request["OutputDataConfig"]["S3OutputPath"])
        return base.child(f"{self.name}/output/{name}")
