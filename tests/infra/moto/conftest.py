"""Programs, models and jobs for the tests of the local AWS. All tests share one server and use unique names."""

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

Client = Callable[[str], Any]

ROLE = "arn:aws:iam::123456789012:role/test-role"
REGISTRY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
FUNCTION_IMAGE = f"{REGISTRY}/cardwatch-lambda:1"
MODEL_IMAGE = f"{REGISTRY}/cardwatch-test-fake:1"
BUCKET = "moto-tests"
CLUSTER = {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}}

READ = """
import base64, json, os
def handle(event, context):
    kinesis = [record["kinesis"] for record in event["Records"]]
    values = [base64.b64decode(each["data"]).decode() for each in kinesis]
    numbers = [each["sequenceNumber"] for each in kinesis]
    with open(os.environ["SEEN"], "a") as seen:
        seen.write(json.dumps(values) + "\\n")
    return react(values, numbers)
"""


_number = count()


def unique_name(what: str) -> str:
    """Return a name that no other test has."""
    return f"{what}-{next(_number)}"


def poll_until(condition: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
    """Return the value of `condition` as soon as it is true. Fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.05)
    return found


class Functions:
    """Creates and invokes Lambda functions of a few lines of Python."""

    def __init__(self, client: Client, folder: Path) -> None:
        self._lambda, self._logs, self.folder = client("lambda"), client("logs"), folder

    def create(self, code: str, *, timeout: int = 10, **variables: str) -> str:
        module = f"handler_{next(_number)}"
        (self.folder / f"{module}.py").write_text(textwrap.dedent(code))
        name = unique_name("function")
        self._logs.create_log_group(logGroupName=f"/aws/lambda/{name}")
        self._lambda.create_function(
            FunctionName=name,
            PackageType="Image",
            Code={"ImageUri": FUNCTION_IMAGE},
            ImageConfig={"Command": [f"{module}.handle"]},
            Role=ROLE,
            Timeout=timeout,
            Environment={"Variables": {"PYTHONPATH": str(self.folder), "SEEN": str(self.folder / module), **variables}},
        )
        return name

    def invoke(self, name: str, event: Any = None) -> tuple[Any, str | None]:
        answer = self._lambda.invoke(FunctionName=name, Payload=json.dumps(event))
        return json.loads(answer["Payload"].read()), answer.get("FunctionError")


class Streams:
    """Creates streams, functions that read them as their event source, and queues for exhausted batches."""

    def __init__(self, client: Client, functions: Functions) -> None:
        self._kinesis, self._lambda, self._sqs = client("kinesis"), client("lambda"), client("sqs")
        self._functions = functions

    def create(self, shards: int = 1) -> str:
        name = unique_name("stream")
        self._kinesis.create_stream(StreamName=name, ShardCount=shards)
        return name

    def arn(self, stream: str) -> str:
        return str(self._kinesis.describe_stream(StreamName=stream)["StreamDescription"]["StreamARN"])

    def put(self, stream: str, *values: str, key: str = "one") -> list[str]:
        records = [{"Data": value.encode(), "PartitionKey": key} for value in values]
        answer = self._kinesis.put_records(StreamName=stream, Records=records)
        return [record["SequenceNumber"] for record in answer["Records"]]

    def read(self, stream: str, code: str, **rules: Any) -> tuple[str, Path]:
        """Map a function with the body `code` to the stream. Return the mapping and the file of delivered values."""
        body = textwrap.indent(textwrap.dedent(code), "    ")
        function = self._functions.create(f"{READ}\ndef react(values, numbers):\n{body}")
        variables = self._lambda.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
        mapping = self._lambda.create_event_source_mapping(
            EventSourceArn=self.arn(stream), FunctionName=function, StartingPosition="TRIM_HORIZON", **rules
        )
        return mapping["UUID"], Path(variables["SEEN"])

    def create_queue(self) -> tuple[str, str]:
        url = self._sqs.create_queue(QueueName=unique_name("exhausted"))["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        return url, arn

    def exhausted(self, url: str) -> list[dict[str, Any]]:
        found = self._sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(message["Body"]) for message in found]


class Models:
    """Creates and invokes endpoints of fake models."""

    def __init__(self, client: Client) -> None:
        self.sagemaker, self.runtime, self.s3 = client("sagemaker"), client("sagemaker-runtime"), client("s3")

    def config(self, *names: str, shadow: str = "", capture: bool = False) -> str:
        """Create a configuration with a variant for each model's name, all of the same weight."""
        config = unique_name("config")
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
        name = unique_name("endpoint")
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
        poll_until(lambda: self.status(name) == expected, f"the endpoint is {expected}")
        return name

    def update(self, endpoint: str, config: str, **options: Any) -> None:
        self.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=config, **options)
        poll_until(lambda: self.status(endpoint) != "Updating", "the endpoint's update has ended")

    def status(self, endpoint: str) -> str:
        return str(self.sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"])

    def invoke_endpoint(self, endpoint: str, body: bytes = b"x", **options: Any) -> dict[str, Any]:
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
        model, packed = unique_name("model"), io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            member = tarfile.TarInfo("name.txt")
            member.size = len(name)
            archive.addfile(member, io.BytesIO(name.encode()))
        self.s3.put_object(Bucket=BUCKET, Key=f"{model}/model.tar.gz", Body=packed.getvalue())
        self.sagemaker.create_model(
            ModelName=model,
            ExecutionRoleArn=ROLE,
            PrimaryContainer={
                "Image": MODEL_IMAGE,
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


class Jobs:
    """Runs jobs and state machines of a few lines of Python."""

    role, bucket = ROLE, BUCKET

    def __init__(self, client: Client, folder: Path) -> None:
        self.sagemaker, self.states, self.folder = client("sagemaker"), client("stepfunctions"), folder

    def program(self, code: str) -> list[str]:
        file = self.folder / f"{unique_name('program')}.py"
        file.write_text(textwrap.dedent(code))
        return ["python", str(file)]

    def processing(self, code: str, **options: Any) -> dict[str, Any]:
        name = unique_name("job")
        self.sagemaker.create_processing_job(
            ProcessingJobName=name,
            RoleArn=ROLE,
            AppSpecification={"ImageUri": MODEL_IMAGE, "ContainerEntrypoint": self.program(code)},
            ProcessingResources=CLUSTER,
            **options,
        )
        return self.ended("processing", ProcessingJobName=name)

    def training(self, code: str, **options: Any) -> dict[str, Any]:
        name = unique_name("fit")
        self.sagemaker.create_training_job(TrainingJobName=name, **{**self.training_request(code), **options})
        return self.ended("training", TrainingJobName=name)

    def training_request(self, code: str) -> dict[str, Any]:
        return {
            "RoleArn": ROLE,
            "AlgorithmSpecification": {
                "TrainingImage": MODEL_IMAGE,
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
        poll_until(lambda: describe(**name)[state] != "InProgress", "the job has ended")
        return dict(describe(**name))

    def machine(self, states: dict[str, Any], start: str) -> str:
        created = self.states.create_state_machine(
            name=unique_name("machine"), roleArn=ROLE, definition=json.dumps({"StartAt": start, "States": states})
        )
        return str(created["stateMachineArn"])

    def run(self, arn: str, given: Any = None) -> dict[str, Any]:
        started = self.states.start_execution(
            stateMachineArn=arn, name=unique_name("run"), input=json.dumps(given or {})
        )
        return self.execution(started["executionArn"])

    def execution(self, arn: str) -> dict[str, Any]:
        poll_until(lambda: self.states.describe_execution(executionArn=arn)["status"] != "RUNNING", "the machine ends")
        return dict(self.states.describe_execution(executionArn=arn))

    def processing_state(self, code: str, **more: Any) -> dict[str, Any]:
        return {
            "Type": "Task",
            "Resource": "arn:aws:states:::sagemaker:createProcessingJob.sync",
            "Parameters": {
                "ProcessingJobName.$": f"States.Format('{unique_name('step')}-{{}}', States.UUID())",
                "RoleArn": ROLE,
                "Environment": {"DAY.$": "$.day"},
                "AppSpecification": {"ImageUri": MODEL_IMAGE, "ContainerEntrypoint": self.program(code)},
                "ProcessingResources": CLUSTER,
            },
            **more,
        }


@pytest.fixture(scope="session", autouse=True)
def role_and_bucket(client: Client) -> None:
    """Create the role and the bucket that all tests use."""
    services = ["lambda", "sagemaker", "states"]
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": f"{service}.amazonaws.com"}}
            for service in services
        ],
    }
    client("iam").create_role(RoleName="test-role", AssumeRolePolicyDocument=json.dumps(trust))
    client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})


@pytest.fixture
def functions(client: Client, tmp_path: Path) -> Functions:
    return Functions(client, tmp_path)


@pytest.fixture
def streams(client: Client, functions: Functions) -> Streams:
    return Streams(client, functions)


@pytest.fixture
def models(client: Client) -> Models:
    return Models(client)


@pytest.fixture
def jobs(client: Client, tmp_path: Path) -> Jobs:
    return Jobs(client, tmp_path)


@pytest.fixture(scope="session")
def new_name() -> Callable[[str], str]:
    return unique_name


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., Any]:
    return poll_until
