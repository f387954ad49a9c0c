"""Which training jobs of a tuning job are stopped before they end by themselves.

A rule is asked after every value of the objective metric that a training job logs: one value is one epoch.

Sources: SageMaker developer guide, "Stop Training Jobs Early"; API reference, HyperbandStrategyConfig; Li et
al., "A System for Massively Parallel Hyperparameter Tuning", for successive halving without waiting.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from harness.cloud.sagemaker.tuning.job import Trial

__all__ = ["Halving", "MedianRule", "StoppingRule", "max_resource", "stopping_rule"]


class StoppingRule(Protocol):
    """A way to find training jobs that are not worth going on."""

    def stops(self, trial: Trial, trials: Sequence[Trial]) -> bool:
        """Whether a training job is to be stopped.

        Args:
            trial: It has just logged a value.
            trials: All training jobs of the tuning job, in the order in which they were started.
        """


class MedianRule:
    """TrainingJobEarlyStoppingType Auto.

    A training job is stopped when its last value is worse than the median of the averages that the training
    jobs before it had up to the same epoch.
    """

    def stops(self, trial: Trial, trials: Sequence[Trial]) -> bool:
        epoch = len(trial.curve)
        averages = [
            statistics.fmean(other.scores[:epoch])
            for other in trials
            if other.value is not None and len(other.curve) >= epoch
        ]
        return bool(averages) and trial.scores[-1] < statistics.median(averages)


class Halving:
    """Hyperband, as brackets of successive halving in which nobody waits.

    At its rungs a training job is stopped unless it is among the best third of those of its bracket that
    have come so far. The first rung of the first bracket is `least`; each next rung is three times as far,
    and each next bracket leaves out one more of the first rungs.

    Args:
        least: Epochs after which a training job may be stopped.
        most: Epochs after which it is.
    """

    FACTOR = 3

    def __init__(self, least: int, most: int) -> None:
        self._most = most
        rungs = []
        while least < most:
            rungs.append(least)
            least *= self.FACTOR
        self._brackets = [rungs[skipped:] for skipped in range(len(rungs) or 1)]
        self._reached: dict[tuple[int, int], list[float]] = {}
        """By bracket and rung, the scores of those that have come to it."""

    def stops(self, trial: Trial, trials: Sequence[Trial]) -> bool:
        epoch = len(trial.curve)
        if epoch > self._most:  # one that ends by itself after the last epoch is let end
            return True
        bracket = trials.index(trial) % len(self._brackets)
        if epoch not in self._brackets[bracket]:
            return False
        score = trial.scores[-1]
        reached = self._reached.setdefault((bracket, epoch), [])
        reached.append(score)
        better = sum(other > score for other in reached)
        return better >= max(1, len(reached) // self.FACTOR)


EPOCHS = ("epochs", "numepochs", "n-epochs", "n_epochs", "num_epochs")
"""Static hyperparameters from which MaxResource is taken when the request does not give it."""


def max_resource(config: Mapping[str, Any], static: Mapping[str, str]) -> int | None:
    """MaxResource of a Hyperband search; None when neither the request nor a static hyperparameter tells."""
    given: int | None = config.get("StrategyConfig", {}).get("HyperbandStrategyConfig", {}).get("MaxResource")
    if given is not None:
        return given
    return next((int(static[name]) for name in EPOCHS if static.get(name, "").isdecimal()), None)


def stopping_rule(config: Mapping[str, Any], static: Mapping[str, str]) -> StoppingRule | None:
    """The rule of a HyperParameterTuningJobConfig that has been checked; None when there is none.

    Args:
        config: It.
        static: The static hyperparameters of the training jobs.
    """
    if config["Strategy"] == "Hyperband":
        most = max_resource(config, static)
        assert most is not None  # it has been checked
        return Halving(
            config.get("StrategyConfig", {}).get("HyperbandStrategyConfig", {}).get("MinResource", 1), most
        )
    return MedianRule() if config.get("TrainingJobEarlyStoppingType") == "Auto" else None
