"""Replaying one scenario on a deployed pipeline.

Put the data, start the executions, wait for their end (events say so; nothing polls), look at what they left
behind, compare with what was expected, and write it all down.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.cloud.errors import ServiceError
from harness.cloud.events import Listener
from harness.cloud.faults import NoFaults
from harness.errors import HarnessError
from harness.scenarios import record
from harness.scenarios.binding import Binding
from harness.scenarios.cleanup import CleanUp, until
from harness.scenarios.expectations import evaluate
from harness.scenarios.faults import ScenarioFaults
from harness.scenarios.history import entered_states, retries
from harness.scenarios.model import Scenario
from harness.scenarios.observe import Observer
from harness.scenarios.record import Answer, ExecutionRecord, RunRecord
from harness.scenarios.s3 import Buckets, written
from harness.targets.base import Deployment, Target

__all__ = ["Replayer", "check"]


def check(scenario: Scenario, deployment: Deployment) -> None:
    """Refuse a scenario that does not fit a deployed pipeline.

    Raises:
        ScenarioError: The scenario names something that the pipeline does not have.
    """
    Binding(scenario, deployment)
    ScenarioFaults(scenario, deployment.functions)


class Replayer:
    """Replays scenarios, one after another, on one deployment.

    Args:
        target: Where the pipeline lives.
        runs: The folder that gets a folder a run.
    """

    def __init__(self, target: Target, runs: Path) -> None:
        self._target = target
        self._runs = runs
        self._buckets = Buckets(target)
        self._clean_up = CleanUp(target)

    async def replay(
        self,
        scenario: Scenario,
        deployment: Deployment,
        listener: Listener | None = None,
        *,
        keep: bool = False,
    ) -> RunRecord:
        """Replay a scenario and record it.

        Args:
            scenario: What to replay.
            deployment: The pipeline as it stands on the target.
            listener: Sees every event of the cloud meanwhile.
            keep: Leave the endpoints that the run creates.

        Raises:
            ScenarioError: The scenario names something that the pipeline does not have.
            HarnessError: The execution could not be started.
        """
        await self.settled()
        binding = Binding(scenario, deployment)
        faults = ScenarioFaults(scenario, deployment.functions)
        observer = Observer()
        unobserve = self._target.events.subscribe(observer)
        unlisten = self._target.events.subscribe(listener or (lambda event: None))
        started, anchor = time.time(), time.monotonic()
        try:
            for uri, data in binding.data():
                await self._buckets.place(uri, data, scenario)
            before = self._buckets.snapshot(binding.objects().values())
            self._target.inject(faults)
            try:
                executions = await self._execute(scenario, binding.machine.arn, observer)
            finally:
                self._target.inject(NoFaults())
            real_seconds = time.monotonic() - anchor
            after = self._buckets.snapshot(binding.objects().values())
            objects = {wanted: written(uri, before, after) for wanted, uri in binding.objects().items()}
            answers = await self._ask(scenario, observer.endpoints())
            left = observer.endpoints()
            result = self._record(scenario, deployment, executions, observer)
            result = replace(
                result,
                answers=tuple(answers),
                verdicts=tuple(
                    evaluate(
                        scenario.expect,
                        executions,
                        answers=answers,
                        endpoints=left,
                        objects=objects,
                        unused=faults.unused(),
                    )
                ),
                started=started,
                real_seconds=real_seconds,
            )
        finally:
            unlisten()
            self._clean_up.begin(observer, unobserve, endpoints=not keep)
        record.write(result, observer.events, observer.histories, observer.logs)
        return result

    async def settled(self) -> None:
        """Wait until nothing of the last run goes on."""
        await self._clean_up.finished()

    async def close(self) -> None:
        """Replay no more: the target goes away, and what the last run left with it."""
        await self._clean_up.abandon()

    # The executions ----------------------------------------------------------------------------------

    async def _execute(self, scenario: Scenario, machine: str, observer: Observer) -> list[ExecutionRecord]:
        arns: list[str] = []
        text = json.dumps(scenario.input, ensure_ascii=False)
        try:
            while len(arns) < scenario.executions:
                arns.append(await self._start(scenario, machine, text))
            await until(self._target.events, lambda: observer.ended.issuperset(arns))
        except asyncio.CancelledError:
            await self._stop(arns)
            raise
        return [await self._execution(arn, observer) for arn in arns]

    async def _start(self, scenario: Scenario, machine: str, text: str) -> str:
        try:
            answer = await self._target.call(
                "stepfunctions", "StartExecution", {"stateMachineArn": machine, "input": text}
            )
        except ServiceError as error:
            raise HarnessError(
                f"the execution could not be started: {error}",
                file=scenario.file,
                place=scenario.places.get("input"),
            ) from error
        arn: str = answer["executionArn"]
        return arn

    async def _stop(self, arns: Sequence[str]) -> None:
        for arn in arns:
            with contextlib.suppress(ServiceError):  # it has ended by itself
                await self._target.call(
                    "stepfunctions", "StopExecution", {"executionArn": arn, "cause": "the replay was stopped"}
                )

    async def _execution(self, arn: str, observer: Observer) -> ExecutionRecord:
        answer = await self._target.call("stepfunctions", "DescribeExecution", {"executionArn": arn})
        history = observer.histories[arn]
        return ExecutionRecord(
            arn=arn,
            status=answer["status"],
            input=json.loads(answer["input"]),
            output=json.loads(answer["output"]) if answer.get("output") is not None else None,
            error=answer.get("error"),
            cause=answer.get("cause"),
            path=entered_states(history),
            retries=retries(history),
            started=_seconds(answer["startDate"]),
            ended=_seconds(answer["stopDate"]),
        )

    # What they leave behind --------------------------------------------------------------------------

    async def _ask(self, scenario: Scenario, endpoints: Sequence[str]) -> list[Answer]:
        wanted = scenario.expect.endpoint
        if wanted is None:
            return []
        body = wanted.send.read_bytes()
        answers = []
        for name in endpoints:
            params = {"EndpointName": name, "Body": body, "ContentType": wanted.content_type}
            try:
                answer = await self._target.call("sagemaker-runtime", "InvokeEndpoint", params)
            except ServiceError as error:
                answers.append(Answer(name, None, str(error)))
                continue
            answers.append(Answer(name, _decoded(answer["Body"])))
        return answers

    def _record(
        self,
        scenario: Scenario,
        deployment: Deployment,
        executions: Sequence[ExecutionRecord],
        observer: Observer,
    ) -> RunRecord:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        slug = re.sub(r"[^a-z0-9]+", "-", scenario.file.stem.lower()).strip("-")
        run_id = f"{stamp}-{slug}-{secrets.token_hex(2)}"
        first = min(execution.started for execution in executions)
        last = max(execution.ended for execution in executions)
        return RunRecord(
            id=run_id,
            scenario=scenario.name,
            file=str(scenario.file),
            folder=str(self._runs / run_id),
            bundle=deployment.bundle,
            target=self._target.name,
            containers=self._target.containers,
            executions=tuple(executions),
            jobs=observer.jobs(),
            failures=observer.failures(),
            answers=(),
            verdicts=(),
            warnings=tuple(dict.fromkeys((*deployment.warnings, *observer.warnings))),
            started=0.0,
            virtual_seconds=last - first,
            real_seconds=0.0,
        )


def _seconds(moment: datetime | float) -> float:
    return moment.timestamp() if isinstance(moment, datetime) else float(moment)


def _decoded(body: Any) -> Any:
    """An endpoint's answer: JSON where it is JSON, else text."""
    data: bytes = body if isinstance(body, bytes) else body.read()
    text = data.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except ValueError:
        return text
