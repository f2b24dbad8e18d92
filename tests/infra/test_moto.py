"""What we add to moto, each at small scale with programs made for it; our own system on it: `test_aws_local.py`."""

from __future__ import annotations

import json
import textwrap
import time
import warnings
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from infra.moto.lambda_.batch_delivery import BatchDelivery, ExhaustedBatch, FailureRules, ShardCallbacks
from infra.moto.lambda_.runtime import InvocationResult

ROLE = "arn:aws:iam::123456789012:role/anybody"
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/cardwatch-lambda:1"

Client = Callable[[str], Any]

pytestmark = pytest.mark.proves(
    "ours", "functions of images run, and an event source mapping hands over a shard's records"
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


class Functions:
    """Makes Lambda functions out of a few lines of Python."""

    def __init__(self, client: Client, folder: Path) -> None:
        self._lambda, self._logs, self.folder = client("lambda"), client("logs"), folder

    def make(self, code: str, *, timeout: int = 10, **variables: str) -> str:
        module = f"handler_{next(_number)}"
        (self.folder / f"{module}.py").write_text(textwrap.dedent(code))
        name = new_name("function")
        self._logs.create_log_group(logGroupName=f"/aws/lambda/{name}")
        self._lambda.create_function(
            FunctionName=name,
            PackageType="Image",
            Code={"ImageUri": IMAGE},
            ImageConfig={"Command": [f"{module}.handle"]},
            Role=ROLE,
            Timeout=timeout,
            Environment={"Variables": {"PYTHONPATH": str(self.folder), "SEEN": str(self.folder / module), **variables}},
        )
        return name

    def invoke(self, name: str, event: Any = None) -> tuple[Any, str | None]:
        answer = self._lambda.invoke(FunctionName=name, Payload=json.dumps(event))
        return json.loads(answer["Payload"].read()), answer.get("FunctionError")


@pytest.fixture(scope="module", autouse=True)
def role(client: Client) -> None:
    """The role of everything here."""
    services = ["lambda", "sagemaker", "states"]
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": f"{service}.amazonaws.com"}}
            for service in services
        ],
    }
    client("iam").create_role(RoleName="anybody", AssumeRolePolicyDocument=json.dumps(trust))


@pytest.fixture
def functions(client: Client, tmp_path: Path) -> Functions:
    return Functions(client, tmp_path)


def test_a_function_is_really_run_and_stays_warm(functions: Functions) -> None:
    name = functions.make(
        """
        import os
        calls = 0
        def handle(event, context):
            global calls
            calls += 1
            return {"calls": calls, "pid": os.getpid(), "got": event, "name": context.function_name}
        """
    )
    first, _ = functions.invoke(name, {"a": 1})
    second, _ = functions.invoke(name, {"a": 2})
    assert first["got"] == {"a": 1} and first["name"] == name and first["calls"] == 1
    assert second["calls"] == 2 and second["pid"] == first["pid"]


def test_a_function_finds_aws_its_own_environment_and_disk_and_nothing_else_of_ours(
    functions: Functions, local_aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = functions.make(
        """
        import boto3, os
        def handle(event, context):
            boto3.client("s3").create_bucket(
                Bucket="made-by-a-function", CreateBucketConfiguration={"LocationConstraint": os.environ["AWS_REGION"]}
            )
            return dict(os.environ)
        """,
        CARDWATCH_ENDPOINT="the-endpoint",
    )
    found, error = functions.invoke(name)
    assert error is None
    assert found["AWS_ENDPOINT_URL"] == local_aws
    assert sorted(key for key in found if key.startswith("CARDWATCH_")) == ["CARDWATCH_ENDPOINT", "CARDWATCH_HOME"]


def test_an_exception_is_a_function_error_with_its_type_and_message(functions: Functions) -> None:
    name = functions.make("def handle(event, context): raise KeyError('nobody')")
    told, error = functions.invoke(name)
    assert error and told["errorType"] == "KeyError" and told["errorMessage"] == "'nobody'"


def test_a_module_that_cannot_be_imported_is_a_function_error(functions: Functions) -> None:
    told, error = functions.invoke(functions.make("import nothing_of_this_name"))
    assert error and told["errorType"] == "ModuleNotFoundError"


def test_a_function_that_takes_too_long_is_ended_and_the_next_call_starts_afresh(functions: Functions) -> None:
    name = functions.make(
        """
        import os, time
        def handle(event, context):
            if event == "sleep":
                time.sleep(60)
            return os.getpid(), context.get_remaining_time_in_millis()
        """,
        timeout=1,
    )
    (before, left_ms), _ = functions.invoke(name)
    told, error = functions.invoke(name, "sleep")
    (after, _), _ = functions.invoke(name)
    assert error and told["errorMessage"] == "Task timed out after 1.00 seconds"
    assert 0 < left_ms <= 1_000 and after != before


def test_a_function_that_dies_is_a_function_error(functions: Functions) -> None:
    name = functions.make(
        """
        import os
        def handle(event, context):
            print("last words", flush=True)
            os._exit(3)
        """
    )
    told, error = functions.invoke(name)
    assert error and told["errorType"] == "Runtime.ExitError" and "last words" in told["errorMessage"]


def test_what_a_function_prints_is_in_its_log_group(functions: Functions, client: Client) -> None:
    name = functions.make("def handle(event, context): print('hello from inside')")
    functions.invoke(name)
    events = client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    assert "hello from inside" in [event["message"] for event in events]


def test_a_changed_configuration_makes_a_new_container(functions: Functions, client: Client) -> None:
    name = functions.make("import os\ndef handle(event, context): return os.environ.get('WHICH')")
    variables = client("lambda").get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    assert functions.invoke(name)[0] is None
    client("lambda").update_function_configuration(
        FunctionName=name, Environment={"Variables": {**variables, "WHICH": "the new one"}}
    )
    assert functions.invoke(name)[0] == "the new one"


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


class Streams:
    """A stream, a function that reads it as its event source, and what the function has seen."""

    def __init__(self, client: Client, functions: Functions) -> None:
        self._kinesis, self._lambda, self._sqs = client("kinesis"), client("lambda"), client("sqs")
        self._functions = functions

    def make(self, shards: int = 1) -> str:
        name = new_name("stream")
        self._kinesis.create_stream(StreamName=name, ShardCount=shards)
        return name

    def arn(self, stream: str) -> str:
        return str(self._kinesis.describe_stream(StreamName=stream)["StreamDescription"]["StreamARN"])

    def put(self, stream: str, *values: str, key: str = "one") -> list[str]:
        records = [{"Data": value.encode(), "PartitionKey": key} for value in values]
        answer = self._kinesis.put_records(StreamName=stream, Records=records)
        return [record["SequenceNumber"] for record in answer["Records"]]

    def read(self, stream: str, code: str, **rules: Any) -> tuple[str, Path]:
        """Map a function with the body `code` onto the stream. Gives the mapping, and where it notes what it sees."""
        body = textwrap.indent(textwrap.dedent(code), "    ")
        function = self._functions.make(f"{READ}\ndef react(values, numbers):\n{body}")
        variables = self._lambda.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
        mapping = self._lambda.create_event_source_mapping(
            EventSourceArn=self.arn(stream), FunctionName=function, StartingPosition="TRIM_HORIZON", **rules
        )
        return mapping["UUID"], Path(variables["SEEN"])

    def queue(self) -> tuple[str, str]:
        url = self._sqs.create_queue(QueueName=new_name("abandoned"))["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        return url, arn

    def abandoned(self, url: str) -> list[dict[str, Any]]:
        found = self._sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(message["Body"]) for message in found]


@pytest.fixture
def streams(client: Client, functions: Functions) -> Streams:
    return Streams(client, functions)


def seen(file: Path) -> list[list[str]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def flat(batches: list[list[str]]) -> list[str]:
    return [value for batch in batches for value in batch]


def test_sequence_numbers_are_as_long_as_on_aws_and_grow(streams: Streams) -> None:
    numbers = streams.put(streams.make(), "a", "b", "c")
    assert {len(number) for number in numbers} == {56}
    assert numbers == sorted(numbers)


def test_records_put_before_and_after_the_mapping_arrive_in_order_in_batches_of_its_size(streams: Streams) -> None:
    stream = streams.make()
    streams.put(stream, *"abcde")
    _, file = streams.read(stream, "pass", BatchSize=2)
    wait_until(lambda: flat(seen(file)) == list("abcde"), "five records")
    streams.put(stream, "f")
    wait_until(lambda: flat(seen(file)) == list("abcdef"), "the sixth record")
    assert seen(file)[:3] == [["a", "b"], ["c", "d"], ["e"]]


def test_a_failing_batch_is_tried_again_as_a_whole_before_what_follows(streams: Streams) -> None:
    stream = streams.make()
    streams.put(stream, *"abc")
    _, file = streams.read(
        stream,
        """
        import os
        mark = os.environ["SEEN"] + ".failed"
        if not os.path.exists(mark):
            open(mark, "w").close()
            raise RuntimeError("not yet")
        """,
        BatchSize=2,
    )
    wait_until(lambda: len(seen(file)) == 3, "three invocations")
    assert seen(file) == [["a", "b"], ["a", "b"], ["c"]]


def test_a_reported_failure_brings_back_the_batch_from_that_record_on(streams: Streams) -> None:
    stream = streams.make()
    streams.put(stream, *"abcd")
    _, file = streams.read(
        stream,
        """
        import os
        mark = os.environ["SEEN"] + ".failed"
        if os.path.exists(mark):
            return {"batchItemFailures": []}
        open(mark, "w").close()
        return {"batchItemFailures": [{"itemIdentifier": numbers[3]}, {"itemIdentifier": numbers[2]}]}
        """,
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )
    wait_until(lambda: len(seen(file)) == 2, "two invocations")
    assert seen(file) == [list("abcd"), list("cd")]


def test_a_poison_record_is_found_by_bisecting_and_told_to_the_destination(streams: Streams) -> None:
    stream, (url, queue_arn) = streams.make(), streams.queue()
    numbers = streams.put(stream, "a", "b", "poison", "d")
    _, file = streams.read(
        stream,
        "if 'poison' in values: raise ValueError('it is poison')",
        BisectBatchOnFunctionError=True,
        MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": queue_arn}},
    )
    [told] = wait_until(lambda: streams.abandoned(url), "the message about the poison record")
    batch = told["KinesisBatchInfo"]
    assert told["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert told["requestContext"]["approximateInvokeCount"] == 2
    assert batch["startSequenceNumber"] == batch["endSequenceNumber"] == numbers[2]
    assert batch["batchSize"] == 1 and batch["streamArn"] == streams.arn(stream)
    wait_until(lambda: seen(file)[-1] == ["d"], "the record after it")
    assert seen(file) == [["a", "b", "poison", "d"], ["a", "b"], ["poison", "d"], ["poison"], ["poison"], ["d"]]


def test_each_shard_is_read_for_itself_so_a_failing_one_holds_up_no_other(streams: Streams) -> None:
    stream = streams.make(shards=2)
    _, file = streams.read(stream, "if values[0] == 'bad': raise ValueError('never')")
    streams.put(stream, "bad", key="a")  # md5 of a: 0x0c..., the lower half; of c: 0x4a..; of b: 0x92...
    wait_until(lambda: seen(file), "the first invocation")
    streams.put(stream, "good", key="b")
    wait_until(lambda: ["good"] in seen(file), "the other shard's record")


def test_a_mapping_that_is_deleted_reads_no_more(streams: Streams, client: Client) -> None:
    stream = streams.make()
    mapping, file = streams.read(stream, "pass")
    streams.put(stream, "a")
    wait_until(lambda: seen(file) == [["a"]], "the first record")
    client("lambda").delete_event_source_mapping(UUID=mapping)
    _, other = streams.read(stream, "pass")
    wait_until(lambda: seen(other) == [["a"]], "the first record, by another reader")  # so the first one has stopped
    streams.put(stream, "b")
    wait_until(lambda: seen(other) == [["a"], ["b"]], "the second record, by another reader")
    assert seen(file) == [["a"]]


def test_every_addition_to_moto_says_why_it_is_there() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # what moto imports has some
        from infra.moto.extension import EXTENSIONS  # noqa: PLC0415
    assert len(EXTENSIONS) > 20
    assert not [f"{each.service} {each.call}" for each in EXTENSIONS if len(each.reason) < 20]
    assert not [f"{each.owner} {each.name}" for each in EXTENSIONS if not each.name]


def test_a_bucket_policy_against_calls_without_tls_lets_calls_through(client: Client) -> None:
    s3, name = client("s3"), new_name("bucket")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))
    s3.put_object(Bucket=name, Key="a", Body=b"a")
    assert s3.get_object(Bucket=name, Key="a")["Body"].read() == b"a"


def test_a_bucket_that_was_versioned_once_can_be_emptied(client: Client) -> None:
    s3, name = client("s3"), new_name("bucket")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=name, Key="a", Body=b"a")
    s3.delete_object(Bucket=name, Key="a")
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Suspended"})
    found = s3.list_object_versions(Bucket=name)
    for each in [*found["Versions"], *found["DeleteMarkers"]]:
        s3.delete_objects(Bucket=name, Delete={"Objects": [{"Key": each["Key"], "VersionId": each["VersionId"]}]})
    s3.delete_bucket(Bucket=name)


def delivered(
    rules: FailureRules, answers: list[InvocationResult], *, age_seconds: float = 0.0
) -> tuple[list[str], list[ExhaustedBatch]]:
    """What a function was asked for records 1, 2 and 3 while it gave these answers, and what was given up."""
    asked: list[str] = []
    given_up: list[ExhaustedBatch] = []
    coming = iter(answers)

    def invoke(records: Sequence[str]) -> InvocationResult:
        asked.append("".join(records))
        return next(coming)

    shard = ShardCallbacks(invoke, str, lambda _record: age_seconds, lambda attempts: attempts < 5, given_up.append)
    BatchDelivery(rules, shard).deliver(["1", "2", "3"])
    return asked, given_up


FAILED, TAKEN = InvocationResult("{}", failed=True), InvocationResult("null", failed=False)


def reported(*numbers: object) -> InvocationResult:
    return InvocationResult(
        json.dumps({"batchItemFailures": [{"itemIdentifier": number} for number in numbers]}), failed=False
    )


def test_a_batch_that_is_too_old_is_given_up_after_its_next_failure() -> None:
    asked, [given_up] = delivered(FailureRules(max_age_seconds=60), [FAILED], age_seconds=61.0)
    assert asked == ["123"] and given_up.condition == "RecordAgeExceeded" and list(given_up.records) == ["1", "2", "3"]


def test_without_end_a_batch_is_tried_until_it_is_taken() -> None:
    assert delivered(FailureRules(), [FAILED, FAILED, FAILED, TAKEN]) == (["123"] * 4, [])


def test_attempts_are_counted_anew_when_some_records_were_taken() -> None:
    answers = [FAILED, reported("2"), FAILED, TAKEN]
    assert delivered(FailureRules(partial=True, max_retries=1), answers) == (["123", "123", "23", "23"], [])


@pytest.mark.parametrize("wrong", [reported("9"), reported(""), reported(None), InvocationResult("[]", failed=False)])
def test_an_answer_that_aws_would_not_understand_is_a_failure_of_the_whole_batch(wrong: InvocationResult) -> None:
    assert delivered(FailureRules(partial=True), [wrong, TAKEN]) == (["123", "123"], [])


def test_partial_answers_count_for_nothing_where_the_mapping_does_not_ask_for_them() -> None:
    assert delivered(FailureRules(), [reported("2")]) == (["123"], [])
