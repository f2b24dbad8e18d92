"""SageMaker jobs, state machines that wait for them, and rules that start state machines."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from typing import Any

import pytest

Client = Callable[[str], Any]
NewName = Callable[[str], str]

pytestmark = pytest.mark.proves("ours", "jobs run, state machines wait for them, rules start them")


def test_a_processing_job_runs_with_its_environment_inputs_and_outputs(jobs: Any, client: Client) -> None:
    client("s3").put_object(Bucket=jobs.bucket, Key="in/deep/word.txt", Body=b"hello")
    result = jobs.processing(
        """
        import os, pathlib
        word = (pathlib.Path(os.environ["GIVEN"]) / "deep" / "word.txt").read_text()
        (pathlib.Path(os.environ["MADE"]) / "out.txt").write_text(word.upper() + os.environ["MORE"])
        """,
        Environment={"GIVEN": "/opt/ml/processing/in", "MADE": "/opt/ml/processing/out", "MORE": "!"},
        ProcessingInputs=[
            {
                "InputName": "words",
                "S3Input": {
                    "S3Uri": f"s3://{jobs.bucket}/in/",
                    "LocalPath": "/opt/ml/processing/in",
                    "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                },
            }
        ],
        ProcessingOutputConfig={
            "Outputs": [
                {
                    "OutputName": "made",
                    "S3Output": {
                        "S3Uri": f"s3://{jobs.bucket}/out",
                        "LocalPath": "/opt/ml/processing/out",
                        "S3UploadMode": "EndOfJob",
                    },
                }
            ]
        },
    )
    assert result["ProcessingJobStatus"] == "Completed", result.get("FailureReason")
    assert client("s3").get_object(Bucket=jobs.bucket, Key="out/out.txt")["Body"].read() == b"HELLO!"


def test_a_failed_job_has_the_last_output_of_its_program_as_its_reason(jobs: Any) -> None:
    result = jobs.processing("import sys\nprint('on my way')\nsys.exit('there is no such day')")
    assert result["ProcessingJobStatus"] == "Failed"
    assert "exit status 1" in result["FailureReason"] and "there is no such day" in result["FailureReason"]


def test_a_job_that_takes_too_long_is_ended(jobs: Any) -> None:
    result = jobs.processing("import time\ntime.sleep(60)", StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert result["ProcessingJobStatus"] == "Failed" and "longer than 1 s" in result["FailureReason"]


def test_the_model_folder_of_a_training_job_becomes_its_archive(jobs: Any, client: Client) -> None:
    result = jobs.training(
        """
        import json, os, pathlib
        folder = pathlib.Path(os.environ["SM_MODEL_DIR"])
        (folder / "model.json").write_text(json.loads(os.environ["SM_HPS"])["depth"])
        """,
        HyperParameters={"depth": "6"},
    )
    assert result["TrainingJobStatus"] == "Completed", result.get("FailureReason")
    where = result["ModelArtifacts"]["S3ModelArtifacts"]
    assert where == f"s3://{jobs.bucket}/fitted/{result['TrainingJobName']}/output/model.tar.gz"
    packed = client("s3").get_object(Bucket=jobs.bucket, Key=where.removeprefix(f"s3://{jobs.bucket}/"))["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        member = archive.extractfile("model.json")
        assert member is not None and member.read() == b"6"


def test_a_state_machine_waits_for_a_processing_job_and_then_uses_a_training_jobs_model(
    jobs: Any, client: Client
) -> None:
    note = f"""
        import boto3, os
        boto3.client("s3").put_object(Bucket="{jobs.bucket}", Key="day", Body=os.environ["DAY"].encode())
    """
    fit = {"TrainingJobName.$": "States.Format('fit-{}', States.UUID())", **jobs.training_request("pass")}
    machine = jobs.machine(
        {
            "Assemble": jobs.processing_state(note, ResultPath=None, Next="Fit"),
            "Fit": {
                "Type": "Task",
                "Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync",
                "Parameters": fit,
                "ResultSelector": {"url.$": "$.ModelArtifacts.S3ModelArtifacts"},
                "End": True,
            },
        },
        "Assemble",
    )
    result = jobs.run(machine, {"day": "2025-01-31"})
    assert result["status"] == "SUCCEEDED", result.get("cause")
    assert json.loads(result["output"])["url"].startswith(f"s3://{jobs.bucket}/fitted/fit-")
    assert client("s3").get_object(Bucket=jobs.bucket, Key="day")["Body"].read() == b"2025-01-31"


def test_a_failed_job_fails_its_state_with_the_reason_and_may_be_caught(jobs: Any) -> None:
    catch = [{"ErrorEquals": ["States.TaskFailed"], "ResultPath": "$.error", "Next": "Caught"}]
    states = {
        "Work": jobs.processing_state("raise SystemExit('it did not work')", Catch=catch, End=True),
        "Caught": {"Type": "Pass", "End": True},
    }
    result = jobs.run(jobs.machine(states, "Work"), {"day": "2025-01-31"})
    assert result["status"] == "SUCCEEDED"
    assert "it did not work" in json.loads(result["output"])["error"]["Cause"]


def test_a_rule_starts_a_state_machine_with_the_part_of_the_event_that_it_names(
    jobs: Any, client: Client, new_name: NewName
) -> None:
    machine, events, bus = (
        jobs.machine({"Only": {"Type": "Pass", "End": True}}, "Only"),
        client("events"),
        new_name("bus"),
    )
    events.create_event_bus(Name=bus)
    pattern = json.dumps({"source": ["cardwatch"], "detail-type": ["DriftDetected"]})
    events.put_rule(Name="drift", EventBusName=bus, EventPattern=pattern)
    target = {"Id": "retrain", "Arn": machine, "RoleArn": jobs.role, "InputPath": "$.detail"}
    events.put_targets(Rule="drift", EventBusName=bus, Targets=[target])
    for kind in ("SomethingElse", "DriftDetected"):
        entry = {"Source": "cardwatch", "DetailType": kind, "Detail": '{"day": "2025-01-31"}', "EventBusName": bus}
        assert events.put_events(Entries=[entry])["FailedEntryCount"] == 0
    [started] = jobs.states.list_executions(stateMachineArn=machine)["executions"]
    assert json.loads(jobs.execution(started["executionArn"])["output"]) == {"day": "2025-01-31"}


def test_a_definition_is_checked_without_a_state_machine(jobs: Any) -> None:
    check = jobs.states.validate_state_machine_definition
    good = {"StartAt": "Only", "States": {"Only": {"Type": "Pass", "End": True}}}
    assert check(definition=json.dumps(good))["result"] == "OK"
    assert check(definition=json.dumps({"StartAt": "Nowhere", "States": 3}))["result"] == "FAIL"
