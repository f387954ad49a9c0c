"""Map Runs: listed, described, changed."""

from __future__ import annotations

from collections import Counter
from typing import Any

from harness.asl.maps.run import ChildStatus, MapRun
from harness.cloud.service import Request
from harness.cloud.stepfunctions import errors
from harness.cloud.stepfunctions.operations.base import Answer, Operations, listed, moment
from harness.cloud.stepfunctions.pagination import page

__all__ = ["MapRunOperations"]


class MapRunOperations(Operations):
    """ListMapRuns, DescribeMapRun and UpdateMapRun."""

    async def list_map_runs(self, request: Request) -> Answer:
        params = request.params
        record = self.executions.get(params["executionArn"])
        runs, token = page(
            self.map_runs.of(record.arn),
            scope=f"map runs {record.arn}",
            limit=params.get("maxResults"),
            token=params.get("nextToken"),
            newest_first=True,
        )
        items = []
        for kept in runs:
            run = kept.run
            item: Answer = {
                "executionArn": run.execution_arn,
                "mapRunArn": run.arn,
                "stateMachineArn": run.machine,
                "startDate": moment(run.started),
            }
            if run.stopped is not None:
                item["stopDate"] = moment(run.stopped)
            items.append(item)
        return listed(items, "mapRuns", token)

    async def describe_map_run(self, request: Request) -> Answer:
        run = self.map_runs.get(request.params["mapRunArn"]).run
        executions_written, items_written = run.results_written
        answer: Answer = {
            "mapRunArn": run.arn,
            "executionArn": run.execution_arn,
            "status": run.status,
            "startDate": moment(run.started),
            "maxConcurrency": run.concurrency,
            "toleratedFailurePercentage": run.tolerated_percentage or 0.0,
            "toleratedFailureCount": int(run.tolerated_count or 0),
            "itemCounts": _counts(run, run.items, items_written),
            "executionCounts": _counts(run, run.executions, executions_written),
            "redriveCount": run.redrives,
        }
        if run.redriven is not None:
            answer["redriveDate"] = moment(run.redriven)
        if run.stopped is not None:
            answer["stopDate"] = moment(run.stopped)
        return answer

    async def update_map_run(self, request: Request) -> Answer:
        """The settings take effect at once: more child executions start, or the run fails."""
        params = dict(request.params)
        arn = params.pop("mapRunArn")
        run = self.map_runs.get(arn).run
        if not params:
            raise errors.validation_failed(
                "At least one of maxConcurrency, toleratedFailureCount and toleratedFailurePercentage must "
                "be specified"
            )
        if run.status != "RUNNING":
            raise errors.validation_failed(f"Map Run is {run.status} and cannot be updated: '{arn}'")
        run.update(
            concurrency=params.get("maxConcurrency"),
            tolerated_count=params.get("toleratedFailureCount"),
            tolerated_percentage=params.get("toleratedFailurePercentage"),
        )
        return {}


def _counts(run: MapRun, counts: Counter[ChildStatus], written: int) -> dict[str, Any]:
    return {
        "pending": counts["PENDING"],
        "running": counts["RUNNING"],
        "succeeded": counts["SUCCEEDED"],
        "failed": counts["FAILED"],
        "timedOut": counts["TIMED_OUT"],
        "aborted": counts["ABORTED"],
        "total": sum(counts.values()),
        "resultsWritten": written,
        "failuresNotRedrivable": 0,
        "pendingRedrive": counts["PENDING_REDRIVE"],
    }
