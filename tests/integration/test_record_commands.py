"""`cardwatch send`, `decisions` and `dead-letters` against a real broker and a real stream worker."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from adapters.archive.writer import ArchiveWriter
from adapters.kafka.offsets import OffsetReader
from adapters.kafka.producer import LogWriter
from adapters.kafka.topics import create_topics, end_offsets
from adapters.records import delivery
from adapters.records.ranges import read_range
from adapters.runtime.ports import LOOPBACK, free_ports
from adapters.runtime.retry import poll
from adapters.runtime.settings import Settings, child_environment
from cardwatch.errors import BrokerUnavailable, CardwatchError, Misconfigured
from cardwatch.events import Label, LabelSource, decode
from cardwatch.records import Record
from cardwatch.topics import DECISIONS, LABELS, TRANSACTIONS
from cli.main import main
from infra.local_stack.embedded_kafka import EmbeddedKafka
from infra.local_stack.supervisor import ProcessSpec, Supervisor
from tests.integration.span_collector import SpanCollector, span_collector

pytestmark = pytest.mark.timeout(300)

PARTITIONS = 2
DEADLINE_SECONDS = 120.0
NOTHING = f"http://{LOOPBACK}:9"
CARD_NUMBER = "4111111111111111"


class Commands:
    """`cardwatch` with the settings of a broker, and a stream worker that may be started."""

    def __init__(self, settings: Settings, supervisor: Supervisor, folder: Path) -> None:
        self.settings, self._supervisor, self._folder = settings, supervisor, folder
        self.environment = child_environment(settings)

    def start_worker(self, **variables: str) -> None:
        [port] = free_ports(1)
        self._supervisor.start(
            ProcessSpec(
                name="stream",
                command=[sys.executable, "-m", "services.stream", "--slot", "commands"],
                environment={**self.environment, "CARDWATCH_WATCH_PORT": str(port), **variables},
                ready=lambda: _is_ready(f"http://{LOOPBACK}:{port}/readyz"),
            )
        )

    def run(self, *arguments: str, stdin: bytes | None = None) -> Result:
        # Without `main`, which turns errors of Cardwatch into a message, they are raised here.
        with main.make_context("cardwatch", [arguments[0]], resilient_parsing=True) as context:
            command = main.get_command(context, arguments[0])
        assert command is not None
        return CliRunner().invoke(command, arguments[1:], input=stdin, env=self.settings.to_environment())

    def ok(self, *arguments: str, stdin: bytes | None = None) -> str:
        result = self.run(*arguments, stdin=stdin)
        assert result.exit_code == 0, (result.output, result.exception)
        return result.stdout

    def error(self, *arguments: str, kind: type[CardwatchError] = CardwatchError) -> str:
        result = self.run(*arguments)
        assert isinstance(result.exception, kind), (result.output, result.exception)
        return str(result.exception)

    def file(self, *records: object) -> str:
        path = self._folder / "payments.jsonl"
        path.write_text("".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in records))
        return str(path)

    def produce(self, key: bytes, value: bytes, partition: int) -> None:
        producer = Producer({"bootstrap.servers": self.settings.kafka_bootstrap})
        producer.produce(TRANSACTIONS, value, key, partition)
        assert producer.flush(30) == 0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    home = tmp_path_factory.mktemp("commands")
    kafka = EmbeddedKafka(Settings(home=home))
    with Supervisor(home) as supervisor:
        supervisor.start(kafka.process_spec())
        create_topics(kafka.connection, partitions=PARTITIONS)
        settings = Settings(
            home=home, kafka_bootstrap=kafka.bootstrap, partitions=PARTITIONS, scoring_url=NOTHING, mlflow_url=NOTHING
        )
        yield Commands(settings, supervisor, home)


@pytest.fixture(scope="module")
def collector() -> Iterator[SpanCollector]:
    with span_collector() as running:
        yield running


@pytest.fixture(scope="module")
def commands(broker: Commands, collector: SpanCollector) -> Commands:
    """With a worker, which traces what a producer traces, and one transaction that was sent before it was there."""
    said = broker.error("send", broker.file(payment("early")), "--timeout", "1.5")
    assert "1 of 1 transactions have no decision within 1.5 s" in said
    assert "is decided up to 0, as before it was sent. Is a stream worker running" in said
    waits = broker.error("decisions", "show", said.rpartition("show ")[2].strip("`"))
    assert "It waits: the stream workers have decided transactions[" in waits
    assert "0 decisions were looked at: decisions[" in waits
    broker.start_worker(CARDWATCH_TRACES_URL=collector.url, CARDWATCH_TRACES_SHARE="0")
    shown = poll(lambda: broker.run("decisions", "show", "early").stdout, timeout_seconds=DEADLINE_SECONDS)
    assert "approve by rules" in shown
    return broker


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=2.0).is_success
    except httpx.HTTPError:
        return False


def payment(name: str, card: str = "card-1", **more: object) -> dict[str, Any]:
    return {
        "transaction_id": name,
        "card_id": card,
        "merchant_id": "shop",
        "occurred_at": "2024-05-01T10:00:00Z",
        "amount_minor": 1_000,
        "currency": "EUR",
        "merchant_category": "5411",
        "channel": "chip",
        "country": "DE",
        **more,
    }


def decided(output: str) -> dict[str, dict[str, Any]]:
    """The decisions of JSON lines, by transaction."""
    return {each["transaction"]["transaction_id"]: each for each in map(json.loads, output.splitlines())}


def test_transactions_get_their_decisions_of_record_once_however_often_they_are_sent(commands: Commands) -> None:
    file = commands.file(*[payment(f"once-{number}", f"card-{number % 3}") for number in range(7)])
    first = decided(commands.ok("send", file, "--json"))
    assert len(first) == 7
    ends = end_offsets(commands.settings.kafka, DECISIONS)
    again = commands.run("send", file, "--json")
    assert decided(again.stdout) == first
    assert again.stderr.count("was decided before, at ") == 7
    assert len(decided(commands.ok("decisions", "tail", "--from-beginning", "--no-follow", "--json"))) == 8
    # The transactions of the repeats have no decisions, only markers.
    for partition, end in end_offsets(commands.settings.kafka, DECISIONS).items():
        assert end - ends[partition] < 7
    position = f"{first['once-3']['partition']}:{first['once-3']['offset']}"
    assert decided(commands.ok("decisions", "show", position, "--json")) == {"once-3": first["once-3"]}
    assert decided(commands.ok("decisions", "show", "once-3", "--json")) == {"once-3": first["once-3"]}


def test_a_broker_that_goes_away_while_decisions_are_awaited_ends_nothing_before_the_time_is_over(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed, answers = OffsetReader.committed, [True]

    def away_after_the_first_answer(reader: OffsetReader, topic: str, partitions: list[int]) -> dict[int, int]:
        if not answers:
            raise BrokerUnavailable("it was stopped.")
        answers.pop()
        return committed(reader, topic, partitions)

    monkeypatch.setattr(OffsetReader, "committed", away_after_the_first_answer)
    assert list(decided(commands.ok("send", commands.file(payment("away")), "--json"))) == ["away"]
    answers.append(True)
    monkeypatch.setattr(delivery, "key_of", lambda _: None)  # as if there were no decision
    said = commands.error("send", commands.file(payment("away-2")), "--timeout", "2")
    assert "1 of 1 transactions have no decision within 2 s. All are in the log" in said
    assert "The broker is away: it was stopped. Later: `cardwatch decisions show " in said


def test_ctrl_c_while_decisions_are_awaited_tells_what_is_in_the_log(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_delivery: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(delivery.Delivery, "steps", interrupted)
    result = commands.run("send", commands.file(payment("stopped-1"), payment("stopped-2")))
    assert result.exit_code == 1
    told = "2 of 2 transactions are in the log and will be decided, of 0 the decision was seen."
    assert told in result.stderr
    assert "Aborted!" in result.stderr


def test_bad_lines_are_refused_before_anything_is_sent_or_left_out(commands: Commands) -> None:
    before = end_offsets(commands.settings.kafka, TRANSACTIONS)
    file = commands.file(payment("good"), payment("bad", amount_minor="1"), "nonsense")
    refused = commands.error("send", file, kind=Misconfigured)
    assert "nothing was sent, because 2 of 3 lines" in refused
    assert "line 2: $.amount_minor: Expected `int`, got `str`" in refused
    assert end_offsets(commands.settings.kafka, TRANSACTIONS) == before
    sent = commands.run("send", "-", "--on-error", "skip", "--json", stdin=Path(file).read_bytes())
    assert (sent.exit_code, list(decided(sent.stdout))) == (0, ["good"])
    assert sent.stderr.count("left out: line ") == 2


def test_one_transaction_from_options_is_shown_with_names_and_meanings(commands: Commands) -> None:
    row = commands.ok("send", *_given(payment("by-hand", "card-9", amount_minor=777)))
    assert " by-hand  " in row
    assert " 777 EUR " in row
    shown = commands.ok("decisions", "show", "by-hand")
    assert "card-9, 0 of its transactions were folded before" in shown
    assert "  amount 7.77 amount of the transaction (major units)" in "\n".join(
        "  " + " ".join(line.split()) for line in shown.splitlines()
    )


def _given(fields: dict[str, Any]) -> list[str]:
    """The options of a transaction."""
    return [part for name, value in fields.items() for part in ("--" + name.replace("_", "-"), str(value))]


def test_the_newest_decisions_are_listed_by_filter(commands: Commands) -> None:
    names = [f"tail-{number}" for number in range(6)]
    commands.ok("send", commands.file(*[payment(name, f"tail-{name[-1:] in '024'}") for name in names]))
    last = decided(
        commands.ok("decisions", "tail", "--no-follow", "--json", "--card", "tail-True", "--last", "2", "--degraded")
    )
    assert list(last) == ["tail-2", "tail-4"]
    assert len(decided(commands.ok("decisions", "tail", "--no-follow", "--json", "--last", "3"))) == 3
    assert commands.ok("decisions", "tail", "--no-follow", "--json", "--action", "decline") == ""


def test_new_decisions_are_followed_until_ctrl_c(commands: Commands) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "cli.main", "decisions", "tail", "--card", "followed", "--last", "1"],
        env=commands.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().split()[:3] == ["decided", "position", "transaction"]
            commands.ok("send", commands.file(payment("one", "another"), payment("two", "followed")))
            assert "  two  " in process.stdout.readline()
            process.send_signal(signal.SIGINT)
            rest, errors = process.communicate(timeout=30)
            assert (process.returncode, rest, errors) == (0, "", "")
        finally:
            process.kill()


def test_a_sent_transaction_is_traced_from_the_command_through_the_worker_to_the_decision_record(
    commands: Commands, collector: SpanCollector
) -> None:
    before = end_offsets(commands.settings.kafka, DECISIONS)
    environment = {**commands.settings.to_environment(), "CARDWATCH_TRACES_URL": collector.url}
    send = main.get_command(main.make_context("cardwatch", ["send"], resilient_parsing=True), "send")
    assert send is not None
    sent = CliRunner().invoke(send, [commands.file(payment("traced"))], env=environment)
    assert sent.exit_code == 0, sent.output
    trace_id = sent.stderr.partition("traceparent: 00-")[2][:32]
    [decision] = poll(lambda: collector.named("decide transaction"), timeout_seconds=DEADLINE_SECONDS)
    [sending] = collector.named("send transactions")
    assert {sending.trace_id, decision.trace_id} == {trace_id}
    assert (decision.service, decision.parent_id) == ("cardwatch-stream", sending.span_id)
    assert decision.attributes["cardwatch.transaction_id"] == "traced"
    steps = poll(lambda: collector.children(decision), until=lambda found: len(found) == 6, timeout_seconds=30.0)
    assert [step.name for step in steps] == ["fold", "score", "policy", "wait", "commit", "apply"]
    [batch] = collector.named("process transactions")
    assert decision.links == [(batch.trace_id, batch.span_id)]
    [record] = [record for record in _records(commands, DECISIONS, before) if record.headers]
    [(name, context)] = record.headers
    assert (name, context.decode()[:-2]) == ("traceparent", f"00-{trace_id}-{decision.span_id}-")


def test_headers_of_any_size_and_number_do_not_keep_a_transaction_from_being_decided(commands: Commands) -> None:
    context = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
    writer = LogWriter(commands.settings.kafka)
    # With its header the transaction fits into the log, while a decision, which is longer, would not.
    for name, headers in {
        "long": [("traceparent", b"0" * 999_400)],
        "many": [("tracestate", b"x" * 500)] * 1_500 + [("traceparent", context)] * 1_500,
    }.items():
        writer.write(TRANSACTIONS, name, json.dumps(payment(name, name)).encode(), headers)
    before = end_offsets(commands.settings.kafka, DECISIONS)
    writer.flush()
    writer.close()
    for name in ("long", "many"):
        assert poll(lambda name=name: commands.run("decisions", "show", name).stdout, timeout_seconds=30.0)
    records = {record.key: list(record.headers) for record in _records(commands, DECISIONS, before)}
    assert records == {b"long": [], b"many": [("tracestate", b"x" * 500), ("traceparent", context)]}


def _records(commands: Commands, topic: str, begins: dict[int, int]) -> list[Record]:
    return list(read_range(commands.settings.kafka, topic, begins, end_offsets(commands.settings.kafka, topic)))


def test_what_has_no_decision_is_told_apart(commands: Commands) -> None:
    show = ("decisions", "show")
    unknown = commands.error(*show, "never-sent")
    assert "no decision about a transaction with the id 'never-sent'" in unknown
    assert "decisions were looked at, the oldest of 20" in unknown
    before = end_offsets(commands.settings.kafka, TRANSACTIONS)
    assert f"transactions[1] ends at {before[1]}" in commands.error(*show, f"1:{before[1] + 5}")
    assert "The topic has the partitions 0, 1" in commands.error(*show, "7:0")
    assert "labels[0] 1 is no transaction" in commands.error(*show, "labels-0-1")
    commands.ok("send", commands.file(payment("early")))  # a repeat
    after = end_offsets(commands.settings.kafka, TRANSACTIONS)
    [(partition, offset)] = before.items() - after.items()
    assert "The record repeats transaction early" in commands.error(*show, f"{partition}:{offset}")


def test_a_rejected_record_is_shown_with_reason_and_masked_bytes(commands: Commands) -> None:
    offset = end_offsets(commands.settings.kafka, TRANSACTIONS)[1]
    commands.produce(b"card-1", json.dumps(payment("t", CARD_NUMBER)).encode(), 1)
    commands.produce(b"card-1", b"\xff\x00" + CARD_NUMBER.encode(), 1)
    commands.produce(b"card-1", b"not json " + b"x" * 70_000, 1)
    show = ("dead-letters", "show")
    text = poll(lambda: commands.run(*show, f"1:{offset + 2}").stdout, timeout_seconds=DEADLINE_SECONDS)
    assert "value     70,009 bytes, of which the letter has the first 64,000" in text
    assert "read from the topic; SHA-256 " in text
    assert "68,009 characters more, shown with --all" in text
    as_text = commands.ok(*show, f"transactions-1-{offset}")
    assert "field     $.card_id" in as_text
    assert "looks like a card number" in as_text
    assert '"card_id": "[card number]"' in as_text
    as_hex = commands.ok(*show, f"transactions[1] {offset + 1}")
    assert "000000  ff 00 ** ** **" in as_hex
    listed = commands.ok("dead-letters", "list", "--reason", "card number")
    assert f"transactions[1] {offset}: $.card_id: looks like a card number" in listed
    assert CARD_NUMBER not in text + as_text + as_hex + listed
    assert "The record was rejected: " in commands.error("decisions", "show", f"1:{offset}")
    missing = commands.error(*show, f"1:{offset - 1}")
    assert f"there is no dead letter of transactions[1] {offset - 1}. All 3 letters of dead-letters[1]" in missing

    admin = AdminClient({"bootstrap.servers": commands.settings.kafka_bootstrap})
    for deleted in admin.delete_records([TopicPartition(TRANSACTIONS, 1, offset + 3)]).values():
        deleted.result(timeout=10)
    gone = commands.ok(*show, f"1:{offset + 2}")
    assert f"retention has deleted it from the topic: transactions[1] begins at {offset + 3}" in gone
    assert "1 cut, and the original is no longer in the topic" in commands.ok("dead-letters", "resend", "--dry-run")


def test_an_audit_tells_why_a_decision_is_not_archived(commands: Commands) -> None:
    with closing(ArchiveWriter(commands.settings.archive)):
        pass
    decided_only = commands.error("audit", "early")
    assert "It was decided (decisions[" in decided_only
    assert "Until then: `cardwatch decisions show early`" in decided_only
    offset = end_offsets(commands.settings.kafka, TRANSACTIONS)[1]
    commands.produce(b"a wrong key", json.dumps(payment("refused", "card-again")).encode(), 1)
    poll(lambda: commands.run("dead-letters", "show", f"1:{offset}").stdout, timeout_seconds=DEADLINE_SECONDS)
    letter = commands.error("audit", "refused")
    assert "Its record was rejected, and is a dead letter: the record's key is not its card_id" in letter
    assert f"`cardwatch dead-letters show 1:{offset}`" in letter
    never = commands.error("audit", "never-sent")
    assert "In the topics: there is no decision about a transaction with the id 'never-sent'" in never


def test_a_rejected_record_is_sent_again_by_its_position(commands: Commands) -> None:
    partition = 1
    offset = end_offsets(commands.settings.kafka, TRANSACTIONS)[partition]
    commands.produce(b"a wrong key", json.dumps(payment("again", "card-again")).encode(), partition)
    position = f"{partition}:{offset}"
    poll(lambda: commands.run("dead-letters", "show", position).stdout, timeout_seconds=DEADLINE_SECONDS)
    assert commands.ok("dead-letters", "resend", position, "--dry-run") == "1 would be sent\n"
    assert commands.ok("dead-letters", "resend", position) == "1 sent\n"
    assert poll(lambda: commands.run("decisions", "show", "again").stdout, timeout_seconds=DEADLINE_SECONDS)
    said = commands.error("dead-letters", "resend", f"{partition}:{offset + 90_000}", kind=Misconfigured)
    assert "there is no dead letter of transactions[1]" in said
    assert "give a position, or" in commands.error("dead-letters", "resend", position, "--again", kind=Misconfigured)


def test_a_decided_transaction_is_labelled_at_the_event_time_under_its_card(commands: Commands) -> None:
    before = end_offsets(commands.settings.kafka, LABELS)
    said = commands.ok("label", "early", "--fraud")
    assert said.startswith("early is labelled fraud, observed 20")
    [record] = _records(commands, LABELS, before)
    label = decode(record.value, Label)
    assert (label.transaction_id, label.is_fraud, label.source) == ("early", True, LabelSource.INVESTIGATOR)
    assert record.key == label.card_id.encode()
    assert label.effective_at <= label.observed_at
    assert "there is no decision" in commands.error("label", "never-sent", "--genuine")
    assert "say what it was" in commands.error("label", "early", kind=Misconfigured)


def test_a_preset_is_sent_with_its_hops(commands: Commands) -> None:
    sent = commands.run("send", "--preset", "card-testing", "--card-id", "card-000005", "--hops", "--json")
    assert sent.exit_code == 0, sent.output
    records = [json.loads(line) for line in sent.stdout.splitlines()]
    assert {each["transaction"]["card_id"] for each in records} == {"card-000005"}
    assert "acknowledged by the log after " in sent.stderr
    assert sent.stderr.count(" was decided ") == len(records) >= 3
    assert "no preset 'robbery'" in commands.error(
        "send", "--preset", "robbery", "--card-id", "card-000005", kind=Misconfigured
    )
    said = commands.error("send", "--preset", "genuine", "--amount-minor", "5", kind=Misconfigured)
    assert "--preset sets --amount-minor itself" in said


def test_a_rejected_transaction_is_told_by_send(commands: Commands) -> None:
    # The worker checks another partitioner than the one that this producer is told to use.
    environment = {**commands.settings.to_environment(), "CARDWATCH_PARTITIONER": "crc32"}
    send = main.get_command(main.make_context("cardwatch", ["send"], resilient_parsing=True), "send")
    assert send is not None
    file = commands.file(*[payment(f"wrong-{number}", f"wrong-{number}") for number in range(8)])
    result = CliRunner().invoke(send, [file], env=environment)
    assert result.exit_code == 1
    rejected = result.stderr.count(" was rejected: $.card_id: wrong partition: ")
    assert 0 < rejected < 8
    assert len(result.stdout.splitlines()) == 1 + 8 - rejected
    assert result.stderr.count("`cardwatch dead-letters show ") == rejected


def test_without_a_broker_and_a_stack_the_commands_say_what_to_set(tmp_path: Path) -> None:
    nowhere = Commands(Settings(home=tmp_path), Supervisor(tmp_path), tmp_path)
    for arguments in (["decisions", "tail"], ["dead-letters", "list"], ["send", *_given(payment("t"))]):
        said = nowhere.error(*arguments, kind=Misconfigured)
        assert said.startswith(f"CARDWATCH_KAFKA_BOOTSTRAP is empty and no stack runs in {tmp_path}/stack")
