"""How an update moves an endpoint's traffic from the fleet it has (blue) to a new one (green), or back.

A blue/green deployment brings up the whole green fleet beside the blue one and then shifts the traffic: all
at once, a canary first, or in equal steps. A rolling one exchanges the instances batch by batch. Between the
steps the green fleet bakes: alarms are watched, in virtual time.

Source: SageMaker developer guide, "Deployment guardrails"; API reference, DeploymentConfig. Texts of its own
failures, and that an alarm which does not exist fails an update, are unconfirmed.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.sagemaker.access import SAGEMAKER
from harness.cloud.sagemaker.endpoints.variants import Fleet, StartFailed, Variant
from harness.cloud.sagemaker.validation import invalid, null
from harness.cloud.service import CloudContext

__all__ = ["DeploymentPolicy", "RollbackFailed", "Rollout", "RolloutFailed"]

ALARM_PAUSE = 30.0
"""Virtual seconds between two looks at the alarms."""

Shift = Callable[[float], None]
"""Told which share of the traffic, from 0 to 1, the green fleet gets from now on."""


class RolloutFailed(Exception):
    """The new version must not stay; the text is the FailureReason."""


class RollbackFailed(Exception):
    """The old version cannot be had back either; the text is the FailureReason."""


class DeploymentPolicy:
    """A DeploymentConfig, checked.

    Args:
        request: The DeploymentConfig; empty for a plain one, all at once.

    Raises:
        ServiceError: ValidationException.
    """

    def __init__(self, request: Mapping[str, Any]) -> None:
        self.request = request
        self.alarms = [
            alarm["AlarmName"]
            for alarm in request.get("AutoRollbackConfiguration", {}).get("Alarms", ())
            if "AlarmName" in alarm
        ]
        self.rolling: Mapping[str, Any] | None = request.get("RollingUpdatePolicy")
        blue_green: Mapping[str, Any] = request.get("BlueGreenUpdatePolicy", {})
        if self.rolling is not None and blue_green:
            raise invalid("BlueGreenUpdatePolicy and RollingUpdatePolicy cannot both be specified.")
        self._routing = blue_green.get("TrafficRoutingConfiguration", {"Type": "ALL_AT_ONCE"})
        policy = self.rolling or blue_green
        self.wait: int = (self.rolling or self._routing).get("WaitIntervalInSeconds", 0)
        self.termination_wait: int = blue_green.get("TerminationWaitInSeconds", 0)
        self.limit: int | None = policy.get("MaximumExecutionTimeoutInSeconds")
        self._check()

    def _check(self) -> None:
        for kind, member in (("CANARY", "CanarySize"), ("LINEAR", "LinearStepSize")):
            given = member in self._routing
            place = "deploymentConfig.blueGreenUpdatePolicy.trafficRoutingConfiguration"
            if self._routing["Type"] == kind and not given:
                raise null(f"{place}.{member[0].lower()}{member[1:]}")
            if self._routing["Type"] != kind and given:
                raise invalid(f"{member} can only be specified with the traffic routing type {kind}.")

    def check_for(self, counts: list[int]) -> None:
        """Refuse step sizes and waits that do not fit an endpoint.

        Args:
            counts: How many instances each variant will have.

        Raises:
            ServiceError: ValidationException.
        """
        total = max(counts)
        if self.rolling is not None:
            _within(self.rolling["MaximumBatchSize"], total, 0.05, 0.5, "MaximumBatchSize")
            if "RollbackMaximumBatchSize" in self.rolling:
                _within(self.rolling["RollbackMaximumBatchSize"], total, 0.05, 1, "RollbackMaximumBatchSize")
            waits = self.wait * len(self.batches(total))
        else:
            if self._routing["Type"] == "CANARY":
                _within(self._routing["CanarySize"], total, 0, 0.5, "CanarySize")
            if self._routing["Type"] == "LINEAR":
                _within(self._routing["LinearStepSize"], total, 0.1, 0.5, "LinearStepSize")
            waits = self.wait * (len(self.shares(total)) - 1) + self.termination_wait
        if self.limit is not None and waits > self.limit:
            raise invalid(
                f"MaximumExecutionTimeoutInSeconds ({self.limit}) must be larger than the total waiting time "
                f"({waits})."
            )

    def shares(self, total: int) -> list[float]:
        """The green fleet's shares of the traffic, step by step, of a blue/green deployment.

        Args:
            total: Instances of the largest variant.
        """
        if self._routing["Type"] == "CANARY":
            return [_share(self._routing["CanarySize"], total), 1.0]
        if self._routing["Type"] == "LINEAR":
            return _steps(_share(self._routing["LinearStepSize"], total))
        return [1.0]

    def batches(self, total: int) -> list[float]:
        """The green fleet's shares of the instances, batch by batch, of a rolling deployment."""
        assert self.rolling is not None  # asked for a rolling deployment
        return _steps(_batch(self.rolling["MaximumBatchSize"], total) / total)

    def rollback_batches(self, total: int, share: float) -> list[float]:
        """The green fleet's shares of the instances on the way back from `share`."""
        assert self.rolling is not None  # asked for a rolling deployment
        size = self.rolling.get("RollbackMaximumBatchSize")
        step = _batch(size, total) / total if size else 1.0
        return [max(0.0, share - back) for back in _steps(step) if share - back > -step]


class Rollout:
    """One update.

    Args:
        cloud: Where it happens.
        policy: How.
        blue: What serves.
        green: What is to serve, not started.
        shift: Moves the traffic.
    """

    def __init__(
        self, cloud: CloudContext, policy: DeploymentPolicy, blue: Fleet, green: Fleet, shift: Shift
    ) -> None:
        self._cloud = cloud
        self._policy = policy
        self._blue = blue
        self._green = green
        self._shift = shift
        self._share = 0.0
        self._total = max(variant.desired_count for variant in green.variants.values())
        self._before = {name: len(variant.instances) for name, variant in blue.variants.items()}
        started = cloud.clock.now()
        self._deadline = started + policy.limit if policy.limit is not None else math.inf

    async def run(self, provisioned: Callable[[], Awaitable[None]]) -> None:
        """Bring up the green fleet and give it the traffic. The blue one still runs, or what is left of it.

        Args:
            provisioned: Awaited when the (first batch of the) green fleet is up, before it gets traffic.

        Raises:
            RolloutFailed: It cannot be; `roll_back` must follow.
        """
        if self._policy.rolling is not None:
            await self._roll(provisioned)
            return
        await self._start(None)
        await provisioned()
        for share in self._policy.shares(self._total):
            self._move(share)
            if share < 1:
                await self._bake(self._policy.wait)
        await self._bake(self._policy.termination_wait)

    async def _roll(self, provisioned: Callable[[], Awaitable[None]]) -> None:
        for number, share in enumerate(self._policy.batches(self._total)):
            if number == 0:
                await self._start(partial(_first, share))
                await provisioned()
            else:
                await self._real(self._scale_green(share))
            self._move(share)
            await self._bake(self._policy.wait)
            await self._real(self._scale_blue(share))

    async def roll_back(self) -> None:
        """Give the traffic back to the blue fleet and stop the green one.

        Raises:
            RollbackFailed: The blue fleet could not be brought back; both serve.
        """
        if self._policy.rolling is not None:
            for share in self._policy.rollback_batches(self._total, self._share):
                try:
                    await self._real(self._scale_blue(share))
                except RolloutFailed as error:
                    raise RollbackFailed(str(error)) from error
                self._shift(share)
        self._shift(0.0)
        self._green.enter("Deleting")
        with self._cloud.clock.work("job"):
            await self._green.stop()

    async def _start(self, count: Callable[[Variant], int] | None) -> None:
        await self._real(self._green.start(count))

    async def _scale_green(self, share: float) -> None:
        await self._green.scale(lambda variant: _new(share, variant.desired_count))

    async def _scale_blue(self, share: float) -> None:
        await self._blue.scale(lambda variant: _old(share, self._before[variant.name]))

    async def _real(self, step: Awaitable[None]) -> None:
        """Do something that takes real time."""
        with self._cloud.clock.work("job"):
            try:
                await step
            except StartFailed as error:
                raise RolloutFailed(str(error)) from error

    def _move(self, share: float) -> None:
        self._green.enter("ActivatingTraffic")
        self._share = share
        self._shift(share)

    async def _bake(self, seconds: float) -> None:
        """Watch the alarms for some virtual seconds, once at least."""
        self._green.enter("Baking")
        clock = self._cloud.clock
        until = clock.now() + seconds
        while True:
            await self._look_at_alarms()
            now = clock.now()
            if now >= self._deadline and now < until:
                raise RolloutFailed(f"The deployment did not complete within {self._policy.limit} seconds.")
            if now >= until:
                return
            step = now + ALARM_PAUSE if self._policy.alarms else until
            await clock.sleep_until(min(step, until, self._deadline))

    async def _look_at_alarms(self) -> None:
        names = self._policy.alarms
        if not names:
            return
        try:
            found = await self._cloud.call(
                "cloudwatch",
                "DescribeAlarms",
                {"AlarmNames": names, "AlarmTypes": ["MetricAlarm", "CompositeAlarm"]},
                caller=SAGEMAKER,
            )
        except ServiceError as error:
            raise RolloutFailed(f"The alarms could not be read: {error.code}: {error.message}") from error
        alarms = [*found.get("MetricAlarms", ()), *found.get("CompositeAlarms", ())]
        states = {alarm["AlarmName"]: alarm["StateValue"] for alarm in alarms}
        missing = [name for name in names if name not in states]
        if missing:
            raise RolloutFailed(f"CloudWatch alarms do not exist: {', '.join(missing)}.")
        tripped = [name for name in names if states[name] == "ALARM"]
        if tripped:
            raise RolloutFailed(
                "One or more CloudWatch alarms went into the state ALARM during the deployment: "
                f"{', '.join(tripped)}."
            )


def _within(size: Mapping[str, Any], total: int, least: float, most: float, what: str) -> None:
    share = size["Value"] / 100 if size["Type"] == "CAPACITY_PERCENT" else size["Value"] / total
    if not least <= share <= most:
        raise invalid(
            f"{what} must be between {least:.0%} and {most:.0%} of the variant's total instance count "
            f"({total})."
        )


def _share(size: Mapping[str, Any], total: int) -> float:
    value: int = size["Value"]
    return value / 100 if size["Type"] == "CAPACITY_PERCENT" else value / total


def _batch(size: Mapping[str, Any], total: int) -> int:
    return max(1, math.floor(_share(size, total) * total + 1e-9))


def _steps(step: float) -> list[float]:
    """Multiples of `step` up to 1, which is the last."""
    count = math.ceil(1 / step - 1e-9)
    return [min(1.0, number * step) for number in range(1, count)] + [1.0]


def _first(share: float, variant: Variant) -> int:
    return _new(share, variant.desired_count)


def _new(share: float, count: int) -> int:
    """How many of `count` new instances there are when they get a share of the traffic: one at least."""
    return max(1, round(share * count))


def _old(share: float, count: int) -> int:
    """How many of `count` old instances there still are then: one at least, as long as any are needed."""
    return 0 if share >= 1 else max(1, count - round(share * count))
