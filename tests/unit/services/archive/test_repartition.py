"""Repartitioning of Kinesis shards into the archive's log: order per card, duplicates, reshardings."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardwatch.events import Action, Channel, Decision, Transaction
from services.archive.aws.repartition import PARTITIONS, NextOffsets, partition_of, repartition

NOTHING = NextOffsets(shards={}, partitions={})
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
    """The archived ids, and the queries for them."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.queries: list[set[str]] = []

    def __call__(self, transaction_ids: Collection[str]) -> set[str]:
        self.queries.append(set(transaction_ids))
        return self.ids & set(transaction_ids)

    def archive(self, decisions: Sequence[Decision], next_offsets: NextOffsets) -> tuple[list[Decision], NextOffsets]:
        new, next_offsets = repartition(decisions, next_offsets, self)
        self.ids |= {each.transaction.transaction_id for each in new}
        return new, next_offsets


def ids(decisions: Sequence[Decision]) -> list[str]:
    return [each.transaction.transaction_id for each in decisions]


def positions(decisions: Sequence[Decision]) -> list[tuple[int, int]]:
    return [(each.partition, each.offset) for each in decisions]


@pytest.mark.parametrize(
    ("card", "xxh64"),
    [("a", 0xD24EC4F1A98C6E5B), ("abc", 0x44BC2CF5AD770999)],  # published test vectors
)
def test_the_partition_of_a_card_is_its_hash_modulo_the_number_of_partitions(card: str, xxh64: int) -> None:
    assert partition_of(card) == xxh64 % PARTITIONS


def test_offsets_count_the_records_of_a_partition() -> None:
    a, abc = partition_of("a"), partition_of("abc")
    new, next_offsets = repartition(
        [decision(0, 5), decision(0, 6, "abc"), decision(0, 9)],
        NextOffsets(shards={0: 5}, partitions={a: 40}),
        Archived(),
    )
    assert positions(new) == [(a, 40), (abc, 0), (a, 41)]
    assert next_offsets == NextOffsets(shards={0: 10}, partitions={a: 42, abc: 1})


def test_decisions_are_ordered_by_shard_and_offset() -> None:
    new, _ = repartition([decision(0, 7), decision(1, 0), decision(0, 6)], NOTHING, Archived())
    assert ids(new) == ["t-0-6", "t-0-7", "t-1-0"]


def test_after_a_resharding_a_card_stays_in_its_partition() -> None:
    archived = Archived()
    before, next_offsets = archived.archive([decision(0, 0), decision(0, 1)], NOTHING)
    after, _ = archived.archive([decision(7, 0), decision(7, 1)], next_offsets)
    assert [offset for _, offset in positions([*before, *after])] == [0, 1, 2, 3]
    assert {partition for partition, _ in positions([*before, *after])} == {partition_of("a")}


def test_a_decision_in_two_objects_counts_once() -> None:
    new, _ = repartition([decision(0, 0), decision(0, 1), decision(0, 1)], NOTHING, Archived())
    assert ids(new) == ["t-0-0", "t-0-1"]


def test_an_archived_decision_is_left_out() -> None:
    archived = Archived()
    _, next_offsets = archived.archive([decision(0, 0), decision(0, 1)], NOTHING)
    new, after = archived.archive([decision(0, 1), decision(0, 2)], next_offsets)
    assert ids(new) == ["t-0-2"]
    assert after == NextOffsets(shards={0: 3}, partitions={partition_of("a"): 3})


def test_a_late_decision_below_the_position_of_its_shard_is_not_lost() -> None:
    archived = Archived()
    _, next_offsets = archived.archive([decision(0, 0), decision(0, 2)], NOTHING)
    new, after = archived.archive([decision(0, 1, "abc")], next_offsets)
    assert ids(new) == ["t-0-1"]
    assert after.shards == {0: 3}


def test_a_transaction_that_was_folded_a_second_time_is_archived_a_second_time() -> None:
    archived = Archived()
    _, next_offsets = archived.archive([decision(0, 0, name="again")], NOTHING)
    new, _ = archived.archive([decision(0, 17, name="again")], next_offsets)
    assert ids(new) == ["again"]
    assert archived.queries == []  # an offset at or above the position is new, whatever its transaction


@given(st.lists(st.sampled_from("abcdef"), max_size=40), st.data())
def test_the_archive_is_independent_of_the_batches_and_duplicates_of_a_delivery(
    cards: list[str], data: st.DataObject
) -> None:
    log = [decision(0, offset, card) for offset, card in enumerate(cards)]
    once, expected_offsets = repartition(log, NOTHING, Archived())
    archived, next_offsets, taken = Archived(), NOTHING, []
    at = 0
    while at < len(log):
        begin = data.draw(st.integers(0, at), "from")
        end = data.draw(st.integers(at + 1, len(log)), "to")
        new, next_offsets = archived.archive(data.draw(st.permutations(log[begin:end])), next_offsets)
        taken += new
        at = end
    assert taken == once
    assert next_offsets == expected_offsets
