"""``harness up --empty``: a local cloud with nothing on it, for other programs."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from harness.cli.app import app
from tests.cli.processes import Workspace, alive

DEFINITION = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 3600, "End": True}}}
ROLE = "arn:aws:iam::123456789012:role/any"


@pytest.fixture
def nowhere(tmp_path: Path) -> Workspace:
    """A folder in which there is no project."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "nowhere").mkdir()
    return Workspace(tmp_path / "nowhere", tmp_path / "tmp")


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        (["--detach"], "harness up --empty &"),
        (["--project", "somewhere"], "harness up --project FOLDER"),
    ],
)
def test_options_that_make_no_sense_with_it(options: list[str], advice: str):
    result = CliRunner().invoke(app, ["up", "--empty", *options])
    assert result.exit_code == 2
    assert options[0] in result.stderr
    assert advice in result.stderr


@pytest.mark.slow
def test_a_cloud_without_a_project(nowhere: Workspace):
    with nowhere.started("up", "--empty", "--port", "0") as up:
        endpoint = up.read_until("local cloud at").split()[-1]
        assert f"AWS_ENDPOINT_URL={endpoint}" in up.read_until("^export ")

        def client(service: str) -> Any:
            return boto3.client(
                service,
                endpoint_url=endpoint,
                region_name="us-east-1",
                aws_access_key_id="test",
                aws_secret_access_key="test",
            )

        states = client("stepfunctions")
        assert states.list_state_machines()["stateMachines"] == []
        machine = states.create_state_machine(name="m", definition=json.dumps(DEFINITION), roleArn=ROLE)
        execution = states.start_execution(stateMachineArn=machine["stateMachineArn"])["executionArn"]
        described = states.describe_execution(executionArn=execution)
        while described["status"] == "RUNNING":
            described = states.describe_execution(executionArn=execution)
        assert described["status"] == "SUCCEEDED"
        # Time jumps over the hour.
        assert (described["stopDate"] - described["startDate"]).total_seconds() >= 3600

        client("s3").create_bucket(Bucket="bucket")
        with pytest.raises(ClientError, match="image"):
            client("sagemaker").create_model(
                ModelName="m", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "no-such-image"}
            )
        family = up.family()
        assert up.interrupt(signal.SIGTERM) == 128 + signal.SIGTERM
        assert alive(family) == []
    assert nowhere.leftovers() == []
    assert list(nowhere.root.iterdir()) == []
