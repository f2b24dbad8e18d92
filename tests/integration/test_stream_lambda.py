"""The stream worker as a function, on DynamoDB as moto serves it: its order of steps, with every crash as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from adapters.archive.reference_tables import ReferenceTableStore
from adapters.aws.dynamodb import create_table
from adapters.feature_store.dynamodb import DynamoDbStore
from adapters.feature_store.dynamodb_outbox import CardUpdate, DynamoDbOutbox, OutboxBatch
from adapters.feature_store.lmdb import LmdbStore
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.errors import ScoringUnavailable, StreamUnavailable, Superseded
from cardwatch.events import DeadLetter, Decision, decode, encode
from cardwatch.features.definitions import FEATURES
from cardwatch.partitioning import UNCHECKED
from cardwatch.ports import Scores
from cardwatch.records import Outgoing, Record
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from cardwatch.topics import DECISIONS, TRANSACTIONS
from services.stream.aws.embedded_metrics import InvocationMetrics
from services.stream.aws.event_records import ShardRecord
from services.stream.aws.worker import ShardWorker
from services.stream.decision_engine import DecisionEngine
from services.stream.decision_log import DecisionLog
from services.stream.worker import StreamWorker

NOW_MS = 1_800_000_000_000.0
SHARD = 3
CRASHES = [
    *((step, moment) for step in ("read", "begin", "write", "deliver", "finish") for moment in ("before", "after")),
    ("score", "after"),
    ("write", "during"),
    ("deliver", "during"),
]


class Killed(BaseException):
    """The function is gone at this point."""


class Weighted:
    """A scorer that looks at every feature: margins are float32 sums with fixed weights."""

    weights = np.sin(np.arange(1, len(FEATURES) + 1)).astype(np.float32)

    def __init__(self, dies: Dying | None = None) -> None:
        self.dies, self.problem = dies or Dying(), ""

    def score(
        self,
        rows: NDArray[np.float32],
        reasons_above: NDArray[np.float64],
        *,
        schema_hash: str,
        transaction_ids: Sequence[str] = (),
    ) -> Scores:
        self.dies.at("score")
        if self.problem:
            raise ScoringUnavailable(self.problem)
        margins = np.array([np.float32(np.nansum(row * self.weights)) for row in rows], np.float32)
        probabilities = np.clip(margins.astype(np.float64) / 1_000 + 0.02, 0, 1)
        reasons = [["amount_high"] if p > bar else [] for p, bar in zip(probabilities, reasons_above, strict=True)]
        return Scores(
            model_version="7", model_digest="digest", margins=margins, probabilities=probabilities, reasons=reasons
        )


class Dying:
    """Ends the function at a step: before it has an effect or after it."""

    def __init__(self) -> None:
        self.step, self.moment = "", ""

    def at(self, step: str, moment: str = "after") -> None:
        if (step, moment) == (self.step, self.moment):
            self.step = ""
            raise Killed


class Mortal:
    """The outbox, which may be the last that a call sees."""

    def __init__(self, cards: DynamoDbOutbox, dies: Dying) -> None:
        self._cards, self._dies = cards, dies
        self.before_write: Callable[[], None] = lambda: None

    def write(self, batch: OutboxBatch, cards: Sequence[CardUpdate]) -> set[str]:
        act, self.before_write = self.before_write, lambda: None
        act()
        if (self._dies.step, self._dies.moment) == ("write", "during"):
            self._cards.write(batch, cards[: len(cards) // 2])
        self._dies.at("write", "during")
        return self._run("write", batch, cards)  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self._run(name, *arguments)

    def _run(self, name: str, *arguments: Any) -> Any:
        self._dies.at(name, "before")
        result = getattr(self._cards, name)(*arguments)
        self._dies.at(name, "after")
        return result


class Delivered:
    """Everything that was delivered, in order."""

    def __init__(self, dies: Dying) -> None:
        self._dies = dies
        self.lines: list[bytes] = []
        self.objects: dict[str, list[bytes]] = {}
        self.letters: list[DeadLetter] = []
        self.problem = ""

    def decisions(self, batch: str, lines: Sequence[bytes]) -> None:
        if not lines:
            return
        if self.problem:
            raise StreamUnavailable(self.problem)
        self._dies.at("deliver", "before")
        if (self._dies.step, self._dies.moment) == ("deliver", "during"):
            self.lines += lines[: len(lines) // 2]
        self._dies.at("deliver", "during")
        self.lines += lines
        self.objects[batch] = list(lines)
        self._dies.at("deliver", "after")

    def dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        self.letters += letters

    @property
    def decided(self) -> dict[str, Decision]:
        """Decisions by transaction. A decision that was delivered twice has the same bytes both times."""
        by_id: dict[str, bytes] = {}
        for line in self.lines:
            assert by_id.setdefault(decode(line, Decision).transaction.transaction_id, line) == line
        return {name: decode(line, Decision) for name, line in by_id.items()}


class System(NamedTuple):
    """A function with its table, and what it has delivered."""

    worker: ShardWorker
    outbox: Mortal
    delivered: Delivered
    scorer: Weighted
    dies: Dying
    counts: InvocationMetrics
    url: str


@pytest.fixture
def url(dynamodb_endpoint: str, request: pytest.FixtureRequest) -> str:
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
    url = f"dynamodb://cards-{name}?region=eu-central-1&endpoint={dynamodb_endpoint}"
    create_table(url)
    return url


@pytest.fixture
def system(url: str, tmp_path: Path) -> Iterator[System]:
    dies = Dying()
    with closing(DynamoDbOutbox(url)) as cards:
        outbox, delivered, scorer = Mortal(cards, dies), Delivered(dies), Weighted(dies)
        counts = InvocationMetrics(DecisionLog())
        engine = DecisionEngine(scorer, DecisionPolicy(), lambda: NOW_MS)
        worker = ShardWorker(outbox, ReferenceTableStore(tmp_path / "tables"), engine, delivered, counts)  # type: ignore[arg-type]
        yield System(worker, outbox, delivered, scorer, dies, counts, url)


@pytest.fixture(scope="module")
def arrivals() -> list[ShardRecord]:
    """Records of few cards, so that each has several."""
    transactions = (
        Simulation(SimulationSettings(seed=3, cards=50, merchants=200, fraud_share=0.01)).day(0).transactions[:60]
    )
    return [
        ShardRecord(10**55 + 7 * number, transaction.card_id.encode(), encode(transaction), int(NOW_MS) - 20)
        for number, transaction in enumerate(transactions)
    ]


class MemoryLog:
    """A log for the local worker that keeps what is committed."""

    def __init__(self) -> None:
        self.written: list[Outgoing] = []

    def commit(self, outgoing: Sequence[Outgoing], positions: Mapping[int, int]) -> None:
        self.written += outgoing

    def committed(self, partitions: Sequence[int]) -> dict[int, int]:
        return {}

    def first(self, partition: int) -> int:
        return 0

    def end(self, partition: int) -> int | None:
        return None

    def read(self, partition: int, start: int, stop: int) -> Iterator[list[Record]]:
        raise AssertionError


def decided_locally(arrivals: Sequence[ShardRecord], folder: Path) -> dict[str, Decision]:
    """Decisions of the local stream worker, on LMDB, in one batch."""
    log = MemoryLog()
    with LmdbStore(folder / "store") as store:
        worker = StreamWorker(
            store,
            ReferenceTableStore(folder / "tables"),
            DecisionEngine(Weighted(), DecisionPolicy(), lambda: NOW_MS),
            UNCHECKED,
        )
        worker.assign_partitions(log, [0])
        records = [
            Record(TRANSACTIONS, 0, offset, arrival.arrived_ms, arrival.key, arrival.value)
            for offset, arrival in enumerate(arrivals)
        ]
        worker.process_batch(log, {0: records})
        worker.settle()
    decisions = [decode(record.value, Decision) for record in log.written if record.topic == DECISIONS]
    return {decision.transaction.transaction_id: decision for decision in decisions}


def as_decided(decisions: Mapping[str, Decision]) -> dict[str, tuple[Any, ...]]:
    """Everything of a decision but its place in the log, which is the log's own."""
    return {
        name: (
            each.features, each.sequence, each.table_id, each.feature_schema, each.margin, each.probability,
            each.action, each.reasons, each.degraded, each.model_version, each.policy_version,
        )
        for name, each in decisions.items()
    }  # fmt: skip


def hand_over(system: System, arrivals: Sequence[ShardRecord], *, shard: int = SHARD, batch: int = 25) -> None:
    """Invoke the function like Lambda: batch after batch, each until no record of it is returned."""
    left = list(arrivals)
    while left:
        now = left[:batch]
        try:
            failed = system.worker.process(shard, now)
        except (Killed, Superseded, StreamUnavailable):
            continue
        left = [each for each in left if failed and each.sequence_number >= min(failed)] if failed else left[batch:]


@pytest.mark.proves("moto", "the function decides as the local stack does, to the bit")
def test_decisions_equal_those_of_the_local_stack_to_the_bit(
    system: System, arrivals: list[ShardRecord], tmp_path: Path
) -> None:
    hand_over(system, arrivals)
    assert len(system.delivered.lines) == len(arrivals)
    assert as_decided(system.delivered.decided) == as_decided(decided_locally(arrivals, tmp_path))


@pytest.mark.proves("moto", "card states in DynamoDB equal those in LMDB, to the bit")
def test_a_preview_reads_the_states_that_the_function_wrote(
    system: System, arrivals: list[ShardRecord], tmp_path: Path
) -> None:
    hand_over(system, arrivals)
    decided_locally(arrivals, tmp_path)
    cards = sorted({arrival.key.decode() for arrival in arrivals})
    with DynamoDbStore(system.url, readonly=True) as remote, LmdbStore(tmp_path / "store", readonly=True) as local:
        assert remote.load(cards).tobytes() == local.load(cards).tobytes()


@pytest.mark.proves("moto", "a batch that is redelivered after a crash at any step is decided once")
@pytest.mark.parametrize(("step", "moment"), CRASHES)
def test_a_call_killed_at_any_step_loses_no_decision_and_makes_none_twice(
    system: System, arrivals: list[ShardRecord], tmp_path: Path, step: str, moment: str
) -> None:
    hand_over(system, arrivals[:25])
    system.dies.step, system.dies.moment = step, moment
    hand_over(system, arrivals[25:])
    assert as_decided(system.delivered.decided) == as_decided(decided_locally(arrivals, tmp_path))


def test_decisions_written_but_not_delivered_are_delivered_when_the_batch_is_redelivered(
    system: System, arrivals: list[ShardRecord]
) -> None:
    system.dies.step, system.dies.moment = "write", "after"
    hand_over(system, arrivals[:25])
    assert len(system.delivered.lines) == 25


@pytest.mark.parametrize("step", ["write", "deliver"])
def test_the_next_batch_delivers_what_a_batch_that_was_given_up_has_written(
    system: System, arrivals: list[ShardRecord], step: str
) -> None:
    system.dies.step, system.dies.moment = step, "after" if step == "write" else "before"
    with suppress(Killed):
        system.worker.process(SHARD, arrivals[:25])
    assert system.delivered.lines == []
    assert system.worker.process(SHARD, arrivals[25:50]) == []
    assert len(system.delivered.decided) == 50


@pytest.mark.proves("moto", "after a resharding the child delivers the unfinished batch of its parent")
def test_the_child_of_a_shard_delivers_the_unfinished_batch_of_its_parent(
    system: System, arrivals: list[ShardRecord], tmp_path: Path
) -> None:
    system.dies.step, system.dies.moment = "write", "after"
    with suppress(Killed):
        system.worker.process(SHARD, arrivals[:25])
    hand_over(system, arrivals[25:], shard=SHARD + 1)
    assert as_decided(system.delivered.decided) == as_decided(decided_locally(arrivals, tmp_path))


@pytest.mark.proves("moto", "a redelivered batch changes nothing")
def test_a_redelivered_batch_changes_nothing(system: System, arrivals: list[ShardRecord]) -> None:
    hand_over(system, arrivals)
    before = system.delivered.decided
    with DynamoDbStore(system.url, readonly=True) as store:
        cards = sorted({arrival.key.decode() for arrival in arrivals})
        states = store.load(cards).tobytes()
        hand_over(system, arrivals)
        assert store.load(cards).tobytes() == states
    assert system.delivered.decided == before
    assert system.counts.line("f", now_ms=0, duration_ms=0)["Redelivered"] == len(arrivals)


def test_a_payment_that_its_sender_repeats_has_one_decision(system: System, arrivals: list[ShardRecord]) -> None:
    again = [arrival._replace(sequence_number=10**56 + n) for n, arrival in enumerate(arrivals[:10])]
    hand_over(system, [*arrivals[:10], *again])
    assert len(system.delivered.decided) == 10
    assert len(system.delivered.lines) == 10


@pytest.mark.proves("moto", "records of an older shard that come late are decided once")
def test_records_of_a_parent_shard_that_come_late_are_decided_late_and_once(
    system: System, arrivals: list[ShardRecord]
) -> None:
    """Sequence numbers of two shards say nothing of each other."""
    parent = [arrival._replace(sequence_number=n) for n, arrival in enumerate(arrivals[:20])]
    hand_over(system, arrivals[20:], shard=SHARD + 1)
    hand_over(system, parent, shard=SHARD)
    hand_over(system, parent, shard=SHARD)
    assert len(system.delivered.decided) == len(arrivals)
    sequences = Counter(decision.transaction.card_id for decision in system.delivered.decided.values())
    newest = {each.transaction.card_id: each.sequence for each in system.delivered.decided.values()}
    assert max(sequences.values()) > 1
    assert all(newest[card] < number for card, number in sequences.items())


@pytest.mark.proves("moto", "if the endpoint throttles or times out, the rules decide")
@pytest.mark.parametrize("problem", ["ThrottlingException: rate exceeded", "no answer within 1 s"])
def test_an_endpoint_that_does_not_answer_leaves_it_to_the_rules_and_states_are_the_same(
    system: System, arrivals: list[ShardRecord], tmp_path: Path, problem: str
) -> None:
    system.scorer.problem = problem
    hand_over(system, arrivals[:30])
    system.scorer.problem = ""
    hand_over(system, arrivals[30:])
    decided, local = system.delivered.decided, decided_locally(arrivals, tmp_path)
    assert sum(each.degraded for each in decided.values()) == 30
    assert {each.degraded_reason for each in decided.values()} == {None, problem}
    assert {name: each.features for name, each in decided.items()} == {n: each.features for n, each in local.items()}


@pytest.mark.proves("moto", "a poison record becomes a dead letter, and the rest of its batch is decided")
def test_a_poison_record_becomes_a_dead_letter_and_the_others_are_decided(
    system: System, arrivals: list[ShardRecord]
) -> None:
    poison = arrivals[5]._replace(value=b'{"amount_minor": -1}')
    hand_over(system, [*arrivals[:5], poison, *arrivals[6:25]])
    assert len(system.delivered.decided) == 24
    [letter] = system.delivered.letters
    assert (letter.partition, letter.offset, letter.value) == (SHARD, 5, poison.value)
    assert letter.reason


def test_a_batch_of_nothing_but_poison_takes_no_offsets(system: System, arrivals: list[ShardRecord]) -> None:
    hand_over(system, [arrivals[0]._replace(value=b"?")])
    assert [letter.value for letter in system.delivered.letters] == [b"?"]
    hand_over(system, arrivals[1:2])
    assert [decision.offset for decision in system.delivered.decided.values()] == [0]


@pytest.mark.proves("moto", "conflicting conditional writes are repeated, with one decision")
@pytest.mark.parametrize("before", [0, 30])
def test_cards_that_another_call_has_written_are_read_again_and_decided_once(
    system: System, arrivals: list[ShardRecord], tmp_path: Path, before: int
) -> None:
    """The other one was taken for dead: its writes come between our reading and our writing."""
    engine = DecisionEngine(Weighted(), DecisionPolicy(), lambda: NOW_MS + 1)

    def other() -> None:
        with closing(DynamoDbOutbox(system.url)) as cards:
            twin = ShardWorker(
                Impatient(cards), ReferenceTableStore(tmp_path), engine, Delivered(Dying()), system.counts  # type: ignore[arg-type]
            )  # fmt: skip
            with suppress(Killed):
                twin.process(SHARD, arrivals[before : before + 10])

    hand_over(system, arrivals[:before], batch=10)
    system.outbox.before_write = other
    hand_over(system, arrivals[before:], batch=10)
    decided = system.delivered.decided
    assert as_decided(decided) == as_decided(decided_locally(arrivals, tmp_path))
    later = [name for name, each in decided.items() if int(each.decided_at.timestamp() * 1_000) == NOW_MS + 1]
    assert len(later) == 10  # what the other has written is what counts, and we have delivered it


class Impatient:
    """The outbox for a call that was taken for dead: its `begin` was before ours, and it dies having written."""

    def __init__(self, cards: DynamoDbOutbox) -> None:
        self._cards = cards

    def read(self, shards: Sequence[int], card_ids: Sequence[str]) -> Any:
        [shard], cards = self._cards.read(shards, card_ids)
        return [shard._replace(unfinished=None, next_offset=shard.next_offset + 1_000)], cards

    def begin(self, shard: object, batch: OutboxBatch) -> None:
        """It was accepted, before."""

    def write(self, batch: OutboxBatch, cards: Sequence[CardUpdate]) -> set[str]:
        refused = self._cards.write(batch, cards)
        assert refused == set()
        raise Killed


def test_a_second_call_on_the_same_shard_is_refused(system: System, arrivals: list[ShardRecord]) -> None:
    with closing(DynamoDbOutbox(system.url)) as cards:
        [shard], _ = cards.read([SHARD], [])
        cards.begin(shard, OutboxBatch(SHARD, 0, 10, []))
        with pytest.raises(Superseded, match="shard 3"):
            cards.begin(shard, OutboxBatch(SHARD, 0, 20, []))


def test_undelivered_decisions_are_delivered_when_the_batch_is_redelivered(
    system: System, arrivals: list[ShardRecord]
) -> None:
    system.delivered.problem = "throttled"
    with pytest.raises(StreamUnavailable, match="throttled"):
        system.worker.process(SHARD, arrivals[:25])
    system.delivered.problem = ""
    assert system.worker.process(SHARD, arrivals[:25]) == []
    assert len(system.delivered.decided) == 25


def test_the_same_batch_is_the_same_object_however_often_it_is_delivered(
    system: System, arrivals: list[ShardRecord]
) -> None:
    system.dies.step, system.dies.moment = "deliver", "after"
    hand_over(system, arrivals[:25])
    assert [name for name in system.delivered.objects if "again" not in name] == [f"{SHARD}/0"]
