"""Both functions as Lambda calls them, on moto's DynamoDB, Kinesis, S3 and SQS; there is no endpoint."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from uuid import uuid4

import boto3
import numpy as np
import pytest
from msgspec import json as msgspec_json
from numpy.typing import NDArray

from adapters.archive.reference_tables import ReferenceTableStore
from adapters.aws.dynamodb import create_table
from adapters.aws.object_keys import TABLES_PREFIX
from adapters.aws.reference_table_cache import REFRESH_SECONDS, TABLES_KEPT, ReferenceTableCache
from adapters.aws.s3 import Bucket
from adapters.feature_store.dynamodb import DynamoDbStore
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.decision.records import Preview
from cardwatch.errors import CorruptTable, Misconfigured, ScoringUnavailable
from cardwatch.events import DeadLetter, Decision, Transaction, decode, encode
from cardwatch.features.reference_builder import ReferenceBuilder
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.ports import Scores
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from services.scoring.api.card_states import CardStateReader
from services.scoring.api.preview import PreviewScorer
from services.scoring.aws import handler as score_handler
from services.scoring.aws.remote_preview import RemotePreviewScorer
from services.stream.aws import handler as stream_handler
from services.stream.aws.delivery import MAX_MESSAGE_BYTES

REGION = "eu-central-1"
CONTEXT = SimpleNamespace(function_name="cardwatch-test-stream")


class Cloud(NamedTuple):
    """The resources that the settings of the functions name."""

    bucket: str
    queue: str
    stream: str
    table: str

    def client(self, service: str) -> Any:
        return boto3.client(service, region_name=REGION)

    def decisions(self) -> list[bytes]:
        kinesis = self.client("kinesis")
        [shard] = kinesis.list_shards(StreamName=self.stream)["Shards"]
        iterator = kinesis.get_shard_iterator(
            StreamName=self.stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        return [record["Data"] for record in kinesis.get_records(ShardIterator=iterator)["Records"]]

    def objects(self, prefix: str) -> dict[str, bytes]:
        bucket = Bucket(self.bucket)
        return {found.key: bucket.get(found.key) for found in bucket.objects(prefix)}

    def letters(self) -> list[DeadLetter]:
        answer = self.client("sqs").receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10)
        return [decode(message["Body"].encode(), DeadLetter) for message in answer.get("Messages", [])]


@pytest.fixture
def cloud(dynamodb_endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cloud]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", dynamodb_endpoint)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    name = f"cardwatch-{uuid4().hex[:12]}"
    made = Cloud(name, "", f"{name}-decisions", f"dynamodb://{name}-cards?region={REGION}&endpoint={dynamodb_endpoint}")
    create_table(made.table)
    made.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    made.client("kinesis").create_stream(StreamName=made.stream, ShardCount=1)
    made = made._replace(queue=made.client("sqs").create_queue(QueueName=f"{name}-dead-letters")["QueueUrl"])
    for key, value in {
        "STORE_URL": made.table, "DATA_BUCKET": name, "DECISIONS_STREAM": made.stream, "ENDPOINT": f"{name}-scoring",
        "DEAD_LETTERS_QUEUE": made.queue, "HOME": str(tmp_path), "DEADLINE_MS": "500",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"CARDWATCH_{key}", value)
    stream_handler._function.cache_clear()
    score_handler._function.cache_clear()
    yield made
    stream_handler._function.cache_clear()
    score_handler._function.cache_clear()


@pytest.fixture(scope="module")
def transactions() -> Sequence[Transaction]:
    return Simulation(SimulationSettings(seed=4, cards=50, merchants=200)).day(0).transactions[:12]


def event_of(values: Mapping[str, bytes] | Sequence[tuple[str, bytes]], *, shard: int = 0) -> dict[str, Any]:
    """Return an event of an event source mapping of Kinesis."""
    pairs = list(values.items()) if isinstance(values, Mapping) else values
    return {
        "Records": [
            {
                "eventID": f"shardId-{shard:012}:{10**55 + number}",
                "eventSource": "aws:kinesis",
                "kinesis": {
                    "partitionKey": key,
                    "sequenceNumber": str(10**55 + number),
                    "data": base64.b64encode(value).decode(),
                    "approximateArrivalTimestamp": time.time(),  # noqa: TID251 (what AWS says)
                },
            }
            for number, (key, value) in enumerate(pairs)
        ]
    }


def of(transactions: Sequence[Transaction]) -> list[tuple[str, bytes]]:
    return [(transaction.card_id, encode(transaction)) for transaction in transactions]


@pytest.mark.proves("moto", "decisions reach Kinesis and S3, dead letters SQS")
def test_a_batch_is_decided_delivered_to_stream_and_bucket_and_counted_in_metrics(
    cloud: Cloud, transactions: Sequence[Transaction], capsys: pytest.CaptureFixture[str]
) -> None:
    answer = stream_handler.handle(event_of([*of(transactions), ("card", b"{}")], shard=2), CONTEXT)
    assert answer == {"batchItemFailures": []}
    delivered = cloud.decisions()
    assert {decode(line, Decision).transaction.transaction_id for line in delivered} == {
        each.transaction_id for each in transactions
    }
    assert cloud.objects("decisions/") == {f"decisions/shard=2/{0:020}.jsonl": b"\n".join(delivered) + b"\n"}
    [letter] = cloud.letters()
    assert (letter.partition, letter.offset, letter.value) == (2, len(transactions), b"{}")
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["Decisions"], told["DeadLetters"], told["Degraded"]) == (12, 1, 12)
    assert told["Function"] == CONTEXT.function_name


def event_of_kafka(partitions: Mapping[int, Sequence[tuple[str, bytes]]]) -> dict[str, Any]:
    """Return an event of an event source mapping of MSK."""
    return {
        "eventSource": "aws:kafka",
        "records": {
            f"transactions-{partition}": [
                {
                    "topic": "transactions", "partition": partition, "offset": offset, "timestamp": 1_700_000_000_000,
                    "key": base64.b64encode(key.encode()).decode(), "value": base64.b64encode(value).decode(),
                }
                for offset, (key, value) in enumerate(pairs)
            ]
            for partition, pairs in partitions.items()
        },
    }  # fmt: skip


@pytest.mark.proves("moto", "records of MSK, in events as AWS documents them, are decided")
def test_records_of_kafka_are_decided_by_partition_and_redelivered_ones_are_recognized(
    cloud: Cloud, transactions: Sequence[Transaction]
) -> None:
    pairs = of(transactions)
    event = event_of_kafka({5: pairs[:7], 6: pairs[7:]})
    stream_handler.handle(event, CONTEXT)
    once = [decode(line, Decision) for line in cloud.decisions()]
    stream_handler.handle(event, CONTEXT)
    assert {decision.transaction.transaction_id for decision in once} == {each.transaction_id for each in transactions}
    assert {(decision.partition, decision.offset) for decision in once} == {
        *((5, offset) for offset in range(7)), *((6, offset) for offset in range(5)),
    }  # fmt: skip
    assert set(cloud.decisions()) == {encode(decision) for decision in once}


def test_a_dead_letter_that_is_too_large_for_a_message_lies_in_the_bucket(cloud: Cloud) -> None:
    poison = b"x" * (MAX_MESSAGE_BYTES + 1)
    stream_handler.handle(event_of({"card": poison}), CONTEXT)
    [letter] = cloud.letters()
    [(key, whole)] = cloud.objects("dead-letters/").items()
    assert key in letter.reason
    assert decode(whole, DeadLetter).value == poison


def test_a_setting_that_is_missing_is_named(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CARDWATCH_ENDPOINT")
    monkeypatch.delenv("CARDWATCH_DATA_BUCKET")
    for handle in (stream_handler.handle, score_handler.handle):
        with pytest.raises(Misconfigured, match="CARDWATCH_ENDPOINT, CARDWATCH_DATA_BUCKET"):
            handle({}, CONTEXT)


@pytest.mark.proves("moto", "the key of the control share is read from Secrets Manager")
def test_functions_with_a_control_share_read_its_key_from_a_secret_and_do_not_start_without(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, transactions: Sequence[Transaction]
) -> None:
    file = tmp_path / "policy.toml"
    file.write_text("[decision.control]\nshare = 0.5\ncap_minor = 5000\n", encoding="utf-8")
    monkeypatch.setenv("CARDWATCH_POLICY_FILE", str(file))
    for handle in (stream_handler.handle, score_handler.handle):
        with pytest.raises(Misconfigured, match="CARDWATCH_CONTROL_KEY"):
            handle({}, CONTEXT)
    monkeypatch.setenv("CARDWATCH_CONTROL_KEY_SECRET", f"{cloud.bucket}-control")
    for handle in (stream_handler.handle, score_handler.handle):
        with pytest.raises(Misconfigured, match=f"the secret {cloud.bucket}-control refuses a call"):
            handle({}, CONTEXT)
    secrets = cloud.client("secretsmanager")
    made = secrets.create_secret(Name=f"{cloud.bucket}-control", SecretString="a key of at least 16 characters")
    monkeypatch.setenv("CARDWATCH_CONTROL_KEY_SECRET", made["ARN"])
    assert stream_handler.handle(event_of(of(transactions)), CONTEXT) == {"batchItemFailures": []}
    assert score_handler.handle({"body": encode(transactions[-1]).decode()}, CONTEXT)["statusCode"] == 200


@pytest.mark.proves("moto", "a preview reads the states in DynamoDB")
@pytest.mark.parametrize("encoded", [False, True])
def test_a_preview_reads_the_states_of_the_stream_and_changes_nothing(
    cloud: Cloud, transactions: Sequence[Transaction], encoded: bool
) -> None:
    stream_handler.handle(event_of(of(transactions[:-1])), CONTEXT)
    asked = transactions[-1]
    seen_before = sum(each.card_id == asked.card_id for each in transactions[:-1])
    body = encode(asked)
    event = {
        "body": base64.b64encode(body).decode() if encoded else body.decode(),
        "isBase64Encoded": encoded,
    }
    for _ in range(2):
        response = score_handler.handle(event, CONTEXT)
        assert response["statusCode"] == 200
        answer = msgspec_json.decode(response["body"], type=Preview)
        assert (answer.transaction_id, answer.sequence) == (asked.transaction_id, seen_before)
        assert answer.degraded
        assert "SageMaker endpoint" in (answer.degraded_reason or "")


@pytest.mark.parametrize(
    ("event", "status", "told"),
    [
        ({"body": None}, 422, "empty"),
        ({"body": "{}"}, 422, "transaction_id"),
        ({"body": "%%", "isBase64Encoded": True}, 422, "base64"),
        ({"body": "x" * 20_000}, 413, "20,000 bytes"),
    ],
)
def test_an_invalid_request_is_refused_with_the_reason(
    cloud: Cloud, event: dict[str, Any], status: int, told: str
) -> None:
    response = score_handler.handle(event, CONTEXT)
    assert response["statusCode"] == status
    assert told in json.loads(response["body"])["error"]


class Fixed:
    """A scorer that finds everything alarming, or does not answer."""

    answers = True

    def score(
        self,
        rows: NDArray[np.float32],
        reasons_above: NDArray[np.float64],
        *,
        schema_hash: str,
        transaction_ids: Sequence[str] = (),
    ) -> Scores:
        if not self.answers:
            raise ScoringUnavailable("no answer within 0.25 s")
        return Scores(
            model_version="3",
            model_digest="d",
            margins=np.full(len(rows), 4.5, np.float32),
            probabilities=np.full(len(rows), 0.99),
            reasons=[["amount_high"]] * len(rows),
        )


def test_a_preview_is_decided_by_the_model_or_degraded(
    cloud: Cloud, transactions: Sequence[Transaction], tmp_path: Path
) -> None:
    policy, scorer = DecisionPolicy(), Fixed()
    states = CardStateReader(lambda: DynamoDbStore(cloud.table, readonly=True), None, time.monotonic)
    question = RemotePreviewScorer(
        PreviewScorer(states, ReferenceTableStore(tmp_path / "tables"), policy), scorer, policy
    )
    by_model = question.preview(transactions[0])
    assert (by_model.margin, by_model.probability, by_model.model_version) == (4.5, 0.99, "3")
    assert by_model.reasons == ["amount_high"]
    scorer.answers = False
    by_rules = question.preview(transactions[0])
    assert (by_rules.margin, by_rules.degraded, by_rules.degraded_reason) == (None, True, "no answer within 0.25 s")
    states.close()


def test_the_newest_tables_are_found_and_a_missing_one_is_not_replaced_by_the_empty_one(
    cloud: Cloud, tmp_path: Path
) -> None:
    bucket, now = Bucket(cloud.bucket), [0.0]
    mirror = ReferenceTableCache(bucket, tmp_path / "mirror", lambda: now[0])
    mirror.refresh()
    days = [date(2025, 3, 1) + timedelta(days=number) for number in range(TABLES_KEPT + 3)]
    tables = {day: ReferenceBuilder().build(day) for day in days}
    source = ReferenceTableStore(tmp_path / "source")
    for table in tables.values():
        source.put(table)
    for file in (tmp_path / "source").iterdir():
        bucket.put(TABLES_PREFIX + file.name, file)
    mirror.refresh()
    assert mirror.newest(days[-1]).table_id == ReferenceTable.empty().table_id  # it has looked a moment ago
    now[0] += REFRESH_SECONDS
    mirror.refresh()
    assert mirror.newest(days[-1]).table_id == tables[days[-1]].table_id
    assert len(list((tmp_path / "mirror").glob("*.table"))) == TABLES_KEPT
    with pytest.raises(CorruptTable, match="begin at"):
        mirror.newest(days[2])
