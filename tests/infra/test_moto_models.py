"""What we add to moto's SageMaker, Step Functions and EventBridge, each at small scale with programs made for it."""

from __future__ import annotations

import io
import json
import tarfile
import textwrap
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

Client = Callable[[str], Any]

ROLE = "arn:aws:iam::123456789012:role/some-models"
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/cardwatch-test-fake:1"
BUCKET = "some-models"

pytestmark = pytest.mark.proves(
    "ours", "models answer behind endpoints, jobs run, state machines wait for them, rules start them"
)

_number = count()


def new_name(what: str) -> str:
    return f"{what}-{next(_number)}"


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module", autouse=True)
def ground(client: Client) -> None:
    """A role and a bucket for everything here."""
    client("iam").create_role(RoleName="some-models", AssumeRolePolicyDocument="{}")
    client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})


class Models:
    """Endpoints of fake models."""

    def __init__(self, client: Client) -> None:
        self.sagemaker, self.runtime, self.s3 = client("sagemaker"), client("sagemaker-runtime"), client("s3")

    def config(self, *names: str, shadow: str = "", capture: bool = False) -> str:
        """A configuration with a variant for each model's name, all of the same weight."""
        config = new_name("config")
        options = {}
        if shadow:
            options["ShadowProductionVariants"] = [self._variant(shadow)]
        if capture:
            options["DataCaptureConfig"] = {
                "EnableCapture": True,
                "InitialSamplingPercentage": 100,
                "DestinationS3Uri": f"s3://{BUCKET}/capture",
                "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
                "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
            }
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=config, ProductionVariants=[self._variant(name) for name in names], **options
        )
        return config

    def endpoint(self, config: str, expected: str = "InService") -> str:
        name = new_name("endpoint")
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
        wait_until(lambda: self.status(name) == expected, f"the endpoint is {expected}")
        return name

    def update(self, endpoint: str, config: str, **options: Any) -> None:
        self.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=config, **options)
        wait_until(lambda: self.status(endpoint) != "Updating", "the endpoint's update has ended")

    def status(self, endpoint: str) -> str:
        return str(self.sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"])

    def ask(self, endpoint: str, body: bytes = b"x", **options: Any) -> dict[str, Any]:
        answer = self.runtime.invoke_endpoint(
            EndpointName=endpoint, Body=body, ContentType="application/octet-stream", **options
        )
        return {**json.loads(answer["Body"].read()), "answer": answer}

    def captured(self, endpoint: str, variant: str) -> list[dict[str, Any]]:
        prefix = f"capture/{endpoint}/{variant}/"
        found = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        bodies = [self.s3.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read() for each in found]
        return [json.loads(line) for body in bodies for line in body.splitlines()]

    def _variant(self, name: str) -> dict[str, Any]:
        model, packed = new_name("model"), io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            member = tarfile.TarInfo("name.txt")
            member.size = len(name)
            archive.addfile(member, io.BytesIO(name.encode()))
        self.s3.put_object(Bucket=BUCKET, Key=f"{model}/model.tar.gz", Body=packed.getvalue())
        self.sagemaker.create_model(
            ModelName=model,
            ExecutionRoleArn=ROLE,
            PrimaryContainer={
                "Image": IMAGE,
                "ModelDataUrl": f"s3://{BUCKET}/{model}/model.tar.gz",
                "Environment": {"MODEL": "/opt/ml/model"},
            },
        )
        return {
            "VariantName": name,
            "ModelName": model,
            "InstanceType": "ml.c5.large",
            "InitialInstanceCount": 1,
            "InitialVariantWeight": 1,
        }


@pytest.fixture
def models(client: Client) -> Models:
    return Models(client)


def test_an_endpoint_starts_its_model_and_passes_on_bytes_types_and_attributes(models: Models) -> None:
    endpoint = models.endpoint(models.config("first"))
    told = models.ask(endpoint, b"\xff\x00\x80", CustomAttributes="deadline-ms=250")
    assert told["model"] == "first" and told["sent"] == "ff0080" and told["arguments"] == ["serve"]
    assert told["type"] == "application/octet-stream"
    assert told["answer"]["InvokedProductionVariant"] == "first"
    assert told["answer"]["CustomAttributes"] == "echo=deadline-ms=250"


def test_what_a_model_refuses_is_a_model_error_with_its_status_and_words(models: Models) -> None:
    endpoint = models.endpoint(models.config("first"))
    with pytest.raises(ClientError) as refused:
        models.ask(endpoint, b"fail")
    assert refused.value.response["Error"]["Code"] == "ModelError"
    assert refused.value.response["OriginalStatusCode"] == 503
    assert refused.value.response["OriginalMessage"] == "no champion"


def test_an_unknown_endpoint_is_a_validation_error(models: Models) -> None:
    with pytest.raises(ClientError, match="ValidationError"):
        models.ask("nobody")


def test_variants_answer_by_turns_and_one_may_be_named(models: Models) -> None:
    endpoint = models.endpoint(models.config("one", "two"))
    assert sorted(models.ask(endpoint)["model"] for _ in range(4)) == ["one", "one", "two", "two"]
    assert models.ask(endpoint, TargetVariant="two")["model"] == "two"


def test_an_updated_endpoint_answers_with_the_new_model_and_never_with_none(models: Models) -> None:
    endpoint, second = models.endpoint(models.config("first")), models.config("second")
    models.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=second)
    answers = [models.ask(endpoint)["model"]]
    wait_until(
        lambda: answers.append(models.ask(endpoint)["model"]) or models.status(endpoint) == "InService",
        "the endpoint is updated",
    )
    assert models.ask(endpoint)["model"] == "second"
    assert answers == sorted(answers) and set(answers) <= {"first", "second"}
    assert models.sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"] == second


def test_an_update_to_a_model_that_does_not_start_leaves_the_old_one_answering(models: Models) -> None:
    config = models.config("first")
    endpoint = models.endpoint(config)
    models.update(endpoint, models.config("broken"))
    told = models.sagemaker.describe_endpoint(EndpointName=endpoint)
    assert told["EndpointStatus"] == "InService" and told["EndpointConfigName"] == config
    assert "this model cannot be loaded" in told["FailureReason"]
    assert models.ask(endpoint)["model"] == "first"


def test_an_endpoint_whose_model_does_not_start_has_failed_with_its_last_words(models: Models) -> None:
    endpoint = models.endpoint(models.config("broken"), expected="Failed")
    told = models.sagemaker.describe_endpoint(EndpointName=endpoint)
    assert "this model cannot be loaded" in told["FailureReason"]


def test_an_alarm_in_the_time_that_is_watched_brings_the_old_model_back(models: Models, client: Client) -> None:
    config, alarm = models.config("first"), new_name("alarm")
    client("cloudwatch").put_metric_alarm(
        AlarmName=alarm,
        MetricName="Invocation5XXErrors",
        Namespace="AWS/SageMaker",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    endpoint = models.endpoint(config)
    client("cloudwatch").set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="a test")
    deployment = {
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": alarm}]},
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0},
            "TerminationWaitInSeconds": 60,
        },
    }
    models.update(endpoint, models.config("second"), DeploymentConfig=deployment)
    told = models.sagemaker.describe_endpoint(EndpointName=endpoint)
    assert told["EndpointConfigName"] == config and alarm in told["FailureReason"]
    assert told["LastDeploymentConfig"]["AutoRollbackConfiguration"] == deployment["AutoRollbackConfiguration"]
    assert models.ask(endpoint)["model"] == "first"


def test_a_shadow_gets_a_copy_and_both_answers_are_captured(models: Models) -> None:
    endpoint = models.endpoint(models.config("champion", shadow="challenger", capture=True))
    assert models.ask(endpoint, b"\xff")["model"] == "champion"
    [shadow] = wait_until(lambda: models.captured(endpoint, "challenger"), "the shadow's answer is captured")
    [shown] = models.captured(endpoint, "champion")
    assert (
        shown["captureData"]["endpointInput"]["data"] == "/w=="
        and json.loads(shadow["captureData"]["endpointOutput"]["data"])["model"] == "challenger"
    )
    described = models.sagemaker.describe_endpoint(EndpointName=endpoint)
    assert [variant["VariantName"] for variant in described["ShadowProductionVariants"]] == ["challenger"]


class Jobs:
    """Jobs and state machines made of a few lines of Python."""

    def __init__(self, client: Client, folder: Path) -> None:
        self.sagemaker, self.states, self.folder = client("sagemaker"), client("stepfunctions"), folder

    def program(self, code: str) -> list[str]:
        file = self.folder / f"{new_name('program')}.py"
        file.write_text(textwrap.dedent(code))
        return ["python", str(file)]

    def processing(self, code: str, **options: Any) -> dict[str, Any]:
        name = new_name("job")
        self.sagemaker.create_processing_job(
            ProcessingJobName=name,
            RoleArn=ROLE,
            AppSpecification={"ImageUri": IMAGE, "ContainerEntrypoint": self.program(code)},
            ProcessingResources=CLUSTER,
            **options,
        )
        return self.ended("processing", ProcessingJobName=name)

    def training(self, code: str, **options: Any) -> dict[str, Any]:
        name = new_name("fit")
        self.sagemaker.create_training_job(TrainingJobName=name, **{**self.training_request(code), **options})
        return self.ended("training", TrainingJobName=name)

    def training_request(self, code: str) -> dict[str, Any]:
        return {
            "RoleArn": ROLE,
            "AlgorithmSpecification": {
                "TrainingImage": IMAGE,
                "TrainingInputMode": "File",
                "ContainerEntrypoint": self.program(code),
            },
            "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/fitted"},
            "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        }

    def ended(self, kind: str, **name: str) -> dict[str, Any]:
        describe = getattr(self.sagemaker, f"describe_{kind}_job")
        state = f"{kind.title()}JobStatus"
        wait_until(lambda: describe(**name)[state] != "InProgress", "the job has ended")
        return dict(describe(**name))

    def machine(self, states: dict[str, Any], start: str) -> str:
        made = self.states.create_state_machine(
            name=new_name("machine"), roleArn=ROLE, definition=json.dumps({"StartAt": start, "States": states})
        )
        return str(made["stateMachineArn"])

    def run(self, arn: str, given: Any = None) -> dict[str, Any]:
        started = self.states.start_execution(stateMachineArn=arn, name=new_name("run"), input=json.dumps(given or {}))
        return self.execution(started["executionArn"])

    def execution(self, arn: str) -> dict[str, Any]:
        wait_until(lambda: self.states.describe_execution(executionArn=arn)["status"] != "RUNNING", "the machine ends")
        return dict(self.states.describe_execution(executionArn=arn))


CLUSTER = {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}}


@pytest.fixture
def jobs(client: Client, tmp_path: Path) -> Jobs:
    return Jobs(client, tmp_path)


def test_a_processing_job_runs_with_its_environment_inputs_and_outputs(jobs: Jobs, client: Client) -> None:
    client("s3").put_object(Bucket=BUCKET, Key="in/deep/word.txt", Body=b"hello")
    told = jobs.processing(
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
                    "S3Uri": f"s3://{BUCKET}/in/",
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
                        "S3Uri": f"s3://{BUCKET}/out",
                        "LocalPath": "/opt/ml/processing/out",
                        "S3UploadMode": "EndOfJob",
                    },
                }
            ]
        },
    )
    assert told["ProcessingJobStatus"] == "Completed", told.get("FailureReason")
    assert client("s3").get_object(Bucket=BUCKET, Key="out/out.txt")["Body"].read() == b"HELLO!"


def test_a_job_that_fails_says_what_its_program_said_last(jobs: Jobs) -> None:
    told = jobs.processing("import sys\nprint('on my way')\nsys.exit('there is no such day')")
    assert told["ProcessingJobStatus"] == "Failed"
    assert "exit status 1" in told["FailureReason"] and "there is no such day" in told["FailureReason"]


def test_a_job_that_takes_too_long_is_ended(jobs: Jobs) -> None:
    told = jobs.processing("import time\ntime.sleep(60)", StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert told["ProcessingJobStatus"] == "Failed" and "longer than 1 s" in told["FailureReason"]


def test_what_a_training_job_leaves_becomes_its_model_archive(jobs: Jobs, client: Client) -> None:
    told = jobs.training(
        """
        import json, os, pathlib
        folder = pathlib.Path(os.environ["SM_MODEL_DIR"])
        (folder / "model.json").write_text(json.loads(os.environ["SM_HPS"])["depth"])
        """,
        HyperParameters={"depth": "6"},
    )
    assert told["TrainingJobStatus"] == "Completed", told.get("FailureReason")
    where = told["ModelArtifacts"]["S3ModelArtifacts"]
    assert where == f"s3://{BUCKET}/fitted/{told['TrainingJobName']}/output/model.tar.gz"
    packed = client("s3").get_object(Bucket=BUCKET, Key=where.removeprefix(f"s3://{BUCKET}/"))["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        member = archive.extractfile("model.json")
        assert member is not None and member.read() == b"6"


def processing_state(jobs: Jobs, code: str, **more: Any) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::sagemaker:createProcessingJob.sync",
        "Parameters": {
            "ProcessingJobName.$": f"States.Format('{new_name('step')}-{{}}', States.UUID())",
            "RoleArn": ROLE,
            "Environment": {"DAY.$": "$.day"},
            "AppSpecification": {"ImageUri": IMAGE, "ContainerEntrypoint": jobs.program(code)},
            "ProcessingResources": CLUSTER,
        },
        **more,
    }


def test_a_state_machine_waits_for_a_processing_job_and_then_uses_a_training_jobs_model(
    jobs: Jobs, client: Client
) -> None:
    note = f"""
        import boto3, os
        boto3.client("s3").put_object(Bucket="{BUCKET}", Key="day", Body=os.environ["DAY"].encode())
    """
    fit = {"TrainingJobName.$": "States.Format('fit-{}', States.UUID())", **jobs.training_request("pass")}
    machine = jobs.machine(
        {
            "Assemble": processing_state(jobs, note, ResultPath=None, Next="Fit"),
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
    told = jobs.run(machine, {"day": "2025-01-31"})
    assert told["status"] == "SUCCEEDED", told.get("cause")
    assert json.loads(told["output"])["url"].startswith(f"s3://{BUCKET}/fitted/fit-")
    assert client("s3").get_object(Bucket=BUCKET, Key="day")["Body"].read() == b"2025-01-31"


def test_a_failed_job_fails_its_state_with_the_reason_and_may_be_caught(jobs: Jobs) -> None:
    catch = [{"ErrorEquals": ["States.TaskFailed"], "ResultPath": "$.error", "Next": "Caught"}]
    states = {
        "Work": processing_state(jobs, "raise SystemExit('it did not work')", Catch=catch, End=True),
        "Caught": {"Type": "Pass", "End": True},
    }
    told = jobs.run(jobs.machine(states, "Work"), {"day": "2025-01-31"})
    assert told["status"] == "SUCCEEDED"
    assert "it did not work" in json.loads(told["output"])["error"]["Cause"]


def test_a_rule_starts_a_state_machine_with_the_part_of_the_event_that_it_names(jobs: Jobs, client: Client) -> None:
    machine, events, bus = (
        jobs.machine({"Only": {"Type": "Pass", "End": True}}, "Only"),
        client("events"),
        new_name("bus"),
    )
    events.create_event_bus(Name=bus)
    pattern = json.dumps({"source": ["cardwatch"], "detail-type": ["DriftDetected"]})
    events.put_rule(Name="drift", EventBusName=bus, EventPattern=pattern)
    target = {"Id": "retrain", "Arn": machine, "RoleArn": ROLE, "InputPath": "$.detail"}
    events.put_targets(Rule="drift", EventBusName=bus, Targets=[target])
    for kind in ("SomethingElse", "DriftDetected"):
        entry = {"Source": "cardwatch", "DetailType": kind, "Detail": '{"day": "2025-01-31"}', "EventBusName": bus}
        assert events.put_events(Entries=[entry])["FailedEntryCount"] == 0
    [started] = jobs.states.list_executions(stateMachineArn=machine)["executions"]
    assert json.loads(jobs.execution(started["executionArn"])["output"]) == {"day": "2025-01-31"}


def test_a_definition_is_checked_without_a_state_machine(jobs: Jobs) -> None:
    check = jobs.states.validate_state_machine_definition
    good = {"StartAt": "Only", "States": {"Only": {"Type": "Pass", "End": True}}}
    assert check(definition=json.dumps(good))["result"] == "OK"
    assert check(definition=json.dumps({"StartAt": "Nowhere", "States": 3}))["result"] == "FAIL"


def test_a_group_of_model_packages_keeps_its_policy_and_goes_when_it_is_empty(models: Models) -> None:
    sagemaker, group = models.sagemaker, new_name("group")
    sagemaker.create_model_package_group(ModelPackageGroupName=group)
    sagemaker.put_model_package_group_policy(ModelPackageGroupName=group, ResourcePolicy='{"Statement": []}')
    assert sagemaker.get_model_package_group_policy(ModelPackageGroupName=group)["ResourcePolicy"]
    package = sagemaker.create_model_package(ModelPackageGroupName=group, ModelApprovalStatus="Approved")
    with pytest.raises(ClientError, match="it has model packages"):
        sagemaker.delete_model_package_group(ModelPackageGroupName=group)
    sagemaker.delete_model_package(ModelPackageName=package["ModelPackageArn"])
    sagemaker.delete_model_package_group_policy(ModelPackageGroupName=group)
    sagemaker.delete_model_package_group(ModelPackageGroupName=group)
    with pytest.raises(ClientError, match="does not exist"):
        sagemaker.describe_model_package_group(ModelPackageGroupName=group)
