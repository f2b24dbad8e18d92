"""Records of other producers on a real broker: other partitioners, large records, foreign progress, small limits."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx
import pytest
from click.testing import CliRunner
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic

from adapters.kafka.consumer import LogReader
from adapters.kafka.topics import create_topics, end_offsets
from adapters.runtime.ports import LOOPBACK, free_ports
from adapters.runtime.retry import poll
from adapters.runtime.settings import Settings, child_environment
from cardwatch.admission import MAX_KEY_BYTES, MAX_VALUE_BYTES, WRONG_PARTITION
from cardwatch.errors import Misconfigured
from cardwatch.events import DeadLetter, Decision, decode
from cardwatch.partitioning import Partitioner, Partitioning
from cardwatch.records import Record
from cardwatch.topics import DEAD_LETTERS, DECISIONS, PROGRESS, TRANSACTIONS
from cli.dead_letters import dead_letters
from infra.local_stack.embedded_kafka import EmbeddedKafka
from infra.local_stack.supervisor import ProcessSpec, Supervisor

pytestmark = pytest.mark.timeout(300)

PARTITIONS = 4
DEADLINE_SECONDS = 120.0
CARDS = [f"holder-{number}" for number in range(8)]
PAYMENTS_PER_PRODUCER = 3
JAVA, LIBRDKAFKA = Partitioner.MURMUR2, Partitioner.CRC32
NAMES = {Partitioner.MURMUR2: "murmur2_random", Partitioner.CRC32: "consistent_random", Partitioner.FNV1A: "fnv1a"}
NOTHING = f"http://{LOOPBACK}:9"
FOREIGN_PROGRESS = [
    b'{"type":"day_audited","day":"2024-05-01"}',
    None,
    b'{"type":"heartbeat","source":"\xff","at":"2024-05-01T00:00:00Z","transaction_ends":{}}',
    b'{"type":"heartbeat","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"type":"heartbeat","source":"mine","at":"2024-05-01T00:00:00Z","transaction_ends":{"p0":3}}',
    b'{"type":"day_monitored","day":"2024-05-01","champion_version":7}',
]


class Log:
    """A broker with the topics, and processes that use it."""

    def __init__(self, settings: Settings, supervisor: Supervisor) -> None:
        self.settings, self._supervisor = settings, supervisor
        self.bootstrap, self.kafka = settings.kafka_bootstrap, settings.kafka

    def produce(
        self, topic: str, records: Sequence[tuple[bytes | None, bytes | None]], partitioner: Partitioner
    ) -> None:
        producer = Producer({"bootstrap.servers": self.bootstrap, "partitioner": NAMES[partitioner], "log_level": 0})
        for key, value in records:
            producer.produce(topic, value, key)
        assert producer.flush(30) == 0

    def read(self, topic: str, count: int) -> list[Record]:
        """Return the committed records of the topic, once there are `count`."""
        found: list[Record] = []
        start = {(topic, partition): 0 for partition in end_offsets(self.kafka, topic)}
        with LogReader(self.kafka, start) as reader:
            poll(
                lambda: found.extend(reader.poll(0.2)) or len(found) >= count,  # type: ignore[func-returns-value]
                timeout_seconds=DEADLINE_SECONDS,
            )
        return found

    @contextmanager
    def service(self, name: str, *arguments: str) -> Iterator[str]:
        """Run a service, and give the address of its metrics once it is alive."""
        [port] = free_ports(1)
        url = f"http://{LOOPBACK}:{port}"
        self._supervisor.start(
            ProcessSpec(
                name=name,
                command=[".venv/bin/python", "-m", f"services.{name}", *arguments],
                environment=child_environment(self.settings, CARDWATCH_WATCH_PORT=str(port)),
                ready=lambda: _answers(f"{url}/livez"),
            )
        )
        yield url
        self._supervisor.check()
        self._supervisor.stop(name)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    home = tmp_path_factory.mktemp("others")
    broker = EmbeddedKafka(Settings(home=home))
    with Supervisor(home) as supervisor:
        supervisor.start(broker.process_spec())
        create_topics(broker.connection, partitions=PARTITIONS)
        settings = Settings(
            home=home,
            kafka_bootstrap=broker.bootstrap,
            partitions=PARTITIONS,
            scoring_url=NOTHING,
            mlflow_url=NOTHING,
            prefect_url=NOTHING,
        )
        yield Log(settings, supervisor)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=2.0).is_success
    except httpx.HTTPError:
        return False


def payment(number: int, card: str) -> bytes:
    return json.dumps(
        {
            "transaction_id": f"t-{number}",
            "card_id": card,
            "merchant_id": "shop",
            "occurred_at": f"2024-05-01T10:00:{number % 60:02d}Z",
            "amount_minor": 1_000,
            "currency": "EUR",
            "merchant_category": "5411",
            "channel": "chip",
            "country": "DE",
        }
    ).encode()


@pytest.mark.parametrize("partitioner", NAMES)
def test_the_partition_of_a_key_is_the_one_that_librdkafka_chooses(log: Log, partitioner: Partitioner) -> None:
    topic = f"keys-{partitioner}"
    admin = AdminClient({"bootstrap.servers": log.bootstrap})
    admin.create_topics([NewTopic(topic, 5, 1)])[topic].result()
    keys = [("\u00e4" * (number % 7) + "k" * (number % 11) + str(number)).encode() for number in range(200)]
    log.produce(topic, [(key, b"") for key in keys], partitioner)
    chosen = {record.key: record.partition for record in log.read(topic, len(keys))}
    partitioning = Partitioning(partitioner, 5)
    assert chosen == {key: partitioning.partition_of(key) for key in keys}
    assert set(chosen.values()) == set(range(5))


def test_records_of_another_partitioner_and_large_ones_become_letters_and_can_be_sent_again(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [(card.encode(), payment(number, card)) for number, card in enumerate(CARDS * PAYMENTS_PER_PRODUCER)]
    others = [
        (card.encode(), payment(1_000 + number, card)) for number, card in enumerate(CARDS * PAYMENTS_PER_PRODUCER)
    ]
    wrong = [
        key
        for key, _ in others
        if Partitioning(JAVA, PARTITIONS).partition_of(key) != Partitioning(LIBRDKAFKA, PARTITIONS).partition_of(key)
    ]
    assert 0 < len(wrong) < len(others)
    large = [
        (b"holder-1", b"not json " + b"x" * 800_000),
        (b"k" * 200_000, payment(2_000, "holder-2")),
        (b"holder-3", b'{"' + b"f" * 300_000 + b'": 1}'),
    ]
    with log.service("stream", "--slot", "others") as url:
        log.produce(TRANSACTIONS, records, JAVA)
        log.produce(TRANSACTIONS, others, LIBRDKAFKA)
        log.produce(TRANSACTIONS, large, JAVA)
        letters = [decode(r.value, DeadLetter) for r in log.read(DEAD_LETTERS, len(wrong) + len(large))]
        assert Counter(letter.reason.startswith(WRONG_PARTITION) for letter in letters) == {
            True: len(wrong),
            False: len(large),
        }
        log.read(DECISIONS, len(records) + len(others) - len(wrong))
        assert max(len(letter.value or b"") for letter in letters) == MAX_VALUE_BYTES
        assert max(len(letter.key or b"") for letter in letters) == MAX_KEY_BYTES
        assert sorted(letter.value_bytes for letter in letters if letter.value_bytes) == [300_007, 800_009]
        assert [letter.key_bytes for letter in letters if letter.key_bytes] == [200_000]
        metrics = httpx.get(f"{url}/metrics", trust_env=False).text
        assert f"cardwatch_stream_wrong_partition_total {len(wrong)}.0" in metrics

        monkeypatch.setenv("CARDWATCH_KAFKA_BOOTSTRAP", log.bootstrap)
        monkeypatch.setenv("CARDWATCH_HOME", str(log.settings.home))
        listed = CliRunner().invoke(dead_letters, ["list", "--limit", "3"], catch_exceptions=False)
        assert f"{len(letters)} dead letters" in listed.output
        tried = CliRunner().invoke(dead_letters, ["resend", "--dry-run"], catch_exceptions=False)
        # The payment under a key of 200,000 bytes is valid under its card.
        assert f"{len(wrong) + 1} would be sent" in tried.output
        sent = CliRunner().invoke(dead_letters, ["resend"], catch_exceptions=False)
        assert f"{len(wrong) + 1} sent" in sent.output
        assert sent.output.count("1 still invalid") == 2
        again = CliRunner().invoke(dead_letters, ["resend"], catch_exceptions=False)
        assert "no dead letters that were not handled before" in again.output

        wanted = len(records) + len(others) + 1
        decisions = [decode(record.value, Decision) for record in log.read(DECISIONS, wanted)]
    assert len({decision.transaction.transaction_id for decision in decisions}) == len(decisions) == wanted
    sequences = defaultdict(list)
    for decision in decisions:
        sequences[decision.transaction.card_id].append(decision.sequence)
    expected = dict.fromkeys(CARDS, 2 * PAYMENTS_PER_PRODUCER) | {"holder-2": 2 * PAYMENTS_PER_PRODUCER + 1}
    assert {card: sorted(found) for card, found in sequences.items()} == {
        card: list(range(number)) for card, number in expected.items()
    }


@pytest.mark.parametrize("name", ["archive", "monitor"])
def test_foreign_progress_records_are_passed_over_and_counted(log: Log, name: str) -> None:
    before = sum(end_offsets(log.kafka, PROGRESS).values())
    log.produce(PROGRESS, [(b"progress", value) for value in FOREIGN_PROGRESS], JAVA)
    with log.service(name) as url:
        counted = f'cardwatch_skipped_records_total{{topic="progress"}} {before + len(FOREIGN_PROGRESS)}.0'
        assert poll(
            lambda: counted in httpx.get(f"{url}/metrics", trust_env=False).text, timeout_seconds=DEADLINE_SECONDS
        )


def test_a_topic_that_accepts_only_small_batches_is_refused_with_the_remedy(log: Log) -> None:
    with pytest.raises(Misconfigured, match=r"topic dead-letters .* 10,000 bytes.* --add-config max\.message\.bytes="):
        _limit(log, "10000")
        create_topics(log.kafka, partitions=PARTITIONS)
    _limit(log, "1048588")
    create_topics(log.kafka, partitions=PARTITIONS)


def _limit(log: Log, max_bytes: str) -> None:
    entry = ConfigEntry("max.message.bytes", max_bytes, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, DEAD_LETTERS, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": log.bootstrap})
    admin.incremental_alter_configs([resource])[resource].result()
