"""Decisions of Kinesis's shards on their way to the archive's log: order per card, repeats, reshardings."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardwatch.events import Action, Channel, Decision, Transaction
from services.archive.aws.repartition import PARTITIONS, Reached, partition_of, rekey

NOTHING = Reached(shards={}, partitions={})
NOON = datetime(2025, 1, 6, 12, tzinfo=UTC)


def decision(shard: int, offset: int, card: str = "a", name: str = "") -> Decision:
    return Decision(
        transaction=Transaction(
            transaction_id=name or f"t-{shard}-{offset}",
            card_id=card,
            merchant_id="shop",
            occurred_at=NOON,
            amount_minor=1_000,
            currency="EUR",
            merchant_category="5411",
            channel=Channel.CHIP,
            country="DE",
        ),
        partition=shard,
        offset=offset,
        sequence=0,
        features=[],
        feature_schema="schema",
        table_id="table",
        policy_version="policy",
        action=Action.APPROVE,
        reasons=[],
        decided_at=NOON,
        latency_ms=1.0,
    )


class Archived:
    """The ids that are archived, and what was asked about."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.asked: list[set[str]] = []

    def __call__(self, transaction_ids: Collection[str]) -> set[str]:
        self.asked.append(set(transaction_ids))
        return self.ids & set(transaction_ids)

    def take(self, decisions: Sequence[Decision], reached: Reached) -> tuple[list[Decision], Reached]:
        new, reached = rekey(decisions, reached, self)
        self.ids |= {each.transaction.transaction_id for each in new}
        return new, reached


def ids(decisions: Sequence[Decision]) -> list[str]:
    return [each.transaction.transaction_id for each in decisions]


def places(decisions: Sequence[Decision]) -> list[tuple[int, int]]:
    return [(each.partition, each.offset) for each in decisions]


@pytest.mark.parametrize(
    ("card", "xxh64"),
    [("a", 0xD24EC4F1A98C6E5B), ("abc", 0x44BC2CF5AD770999)],  # published test vectors
)
def test_a_card_lives_in_the_partition_that_its_hash_gives(card: str, xxh64: int) -> None:
    assert partition_of(card) == xxh64 % PARTITIONS


def test_offsets_count_what_has_come_into_a_partition() -> None:
    a, abc = partition_of("a"), partition_of("abc")
    new, reached = rekey(
        [decision(0, 5), decision(0, 6, "abc"), decision(0, 9)],
        Reached(shards={0: 5}, partitions={a: 40}),
        Archived(),
    )
    assert places(new) == [(a, 40), (abc, 0), (a, 41)]
    assert reached == Reached(shards={0: 10}, partitions={a: 42, abc: 1})


def test_decisions_go_by_their_shard_and_offset_in_whatever_order_their_objects_are_read() -> None:
    new, _ = rekey([decision(0, 7), decision(1, 0), decision(0, 6)], NOTHING, Archived())
    assert ids(new) == ["t-0-6", "t-0-7", "t-1-0"]


def test_after_a_resharding_a_card_goes_on_in_its_partition() -> None:
    archived = Archived()
    before, reached = archived.take([decision(0, 0), decision(0, 1)], NOTHING)
    after, _ = archived.take([decision(7, 0), decision(7, 1)], reached)
    assert [offset for _, offset in places([*before, *after])] == [0, 1, 2, 3]
    assert {partition for partition, _ in places([*before, *after])} == {partition_of("a")}


def test_a_decision_in_two_objects_counts_once() -> None:
    new, _ = rekey([decision(0, 0), decision(0, 1), decision(0, 1)], NOTHING, Archived())
    assert ids(new) == ["t-0-0", "t-0-1"]


def test_a_decision_that_was_archived_before_is_left_out_and_moves_nothing() -> None:
    archived = Archived()
    _, reached = archived.take([decision(0, 0), decision(0, 1)], NOTHING)
    new, after = archived.take([decision(0, 1), decision(0, 2)], reached)
    assert ids(new) == ["t-0-2"]
    assert after == Reached(shards={0: 3}, partitions={partition_of("a"): 3})


def test_a_decision_that_comes_after_its_place_was_passed_is_not_lost() -> None:
    archived = Archived()
    _, reached = archived.take([decision(0, 0), decision(0, 2)], NOTHING)
    new, after = archived.take([decision(0, 1, "abc")], reached)
    assert ids(new) == ["t-0-1"]
    assert after.shards == {0: 3}


def test_a_transaction_that_was_folded_a_second_time_is_archived_a_second_time() -> None:
    archived = Archived()
    _, reached = archived.take([decision(0, 0, name="again")], NOTHING)
    new, _ = archived.take([decision(0, 17, name="again")], reached)
    assert ids(new) == ["again"]
    assert archived.asked == []  # a place that nothing has passed is new, whatever its transaction


@given(st.lists(st.sampled_from("abcdef"), max_size=40), st.data())
def test_however_often_and_in_whatever_portions_a_log_is_delivered_the_archive_is_the_same(
    cards: list[str], data: st.DataObject
) -> None:
    log = [decision(0, offset, card) for offset, card in enumerate(cards)]
    once, reached_at_once = rekey(log, NOTHING, Archived())
    archived, reached, taken = Archived(), NOTHING, []
    at = 0
    while at < len(log):
        begin = data.draw(st.integers(0, at), "from")
        end = data.draw(st.integers(at + 1, len(log)), "to")
        new, reached = archived.take(data.draw(st.permutations(log[begin:end])), reached)
        taken += new
        at = end
    assert taken == once
    assert reached == reached_at_once
