"""Repartitioning of a Kinesis stream into the log of the archive: partitions by card, offsets by arrival.

A resharding moves a card to a shard with a higher number. Replay folds partition by partition, so a card must stay in
one. Therefore the archive has a log of its own: the partition is a hash of the card modulo a fixed number, and the
offset counts the records of the partition.

The order per card is kept. Within a shard it is the order of the offsets; across shards it is the order of their
numbers, because the worker reads a child shard only after the end of its parent.

Delivery is at least once. A decision is a duplicate if it lies below the position of its shard and its transaction is
archived. The transaction's id alone does not suffice: a transaction that is sent again after 16 others of its card is
folded a second time, which a replay has to repeat.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Final

from msgspec import Struct, structs

from cardwatch.events import Decision
from cardwatch.features.hashing import identity_hash

PARTITIONS: Final = 16
"""Number of partitions of the archive's log. Another number would separate cards from their history."""


class NextOffsets(Struct, frozen=True, kw_only=True):
    """The next offset per shard of the stream and per partition of the archive."""

    shards: dict[int, int]
    partitions: dict[int, int]


def partition_of(card_id: str) -> int:
    """Return the partition of a card in the archive's log: 0 to `PARTITIONS` - 1. It never changes."""
    return identity_hash(card_id) % PARTITIONS


def repartition(
    decisions: Iterable[Decision], next_offsets: NextOffsets, holds: Callable[[Collection[str]], Collection[str]]
) -> tuple[list[Decision], NextOffsets]:
    """Return the new decisions in order, with their positions in the archive's log, and the next offsets after them.

    Decisions of a shard come after those of lower shards, within a call and across calls. `holds` returns the archived
    ones of some transaction ids.
    """
    shards, partitions = dict(next_offsets.shards), dict(next_offsets.partitions)
    by_position = {(decision.partition, decision.offset): decision for decision in decisions}
    seen_ids = {d.transaction.transaction_id for d in by_position.values() if d.offset < shards.get(d.partition, 0)}
    archived = frozenset(holds(seen_ids)) if seen_ids else frozenset()
    new = []
    for (shard, offset), decision in sorted(by_position.items()):
        if offset < shards.get(shard, 0) and decision.transaction.transaction_id in archived:
            continue
        partition = partition_of(decision.transaction.card_id)
        offset_in_partition = partitions.get(partition, 0)
        new.append(structs.replace(decision, partition=partition, offset=offset_in_partition))
        partitions[partition] = offset_in_partition + 1
    for shard, offset in by_position:
        shards[shard] = max(shards.get(shard, 0), offset + 1)
    return new, NextOffsets(shards=shards, partitions=partitions)
