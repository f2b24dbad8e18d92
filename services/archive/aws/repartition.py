"""From the shards of a Kinesis stream to the one log that an archive is: partitions by card, offsets by arrival.

A shard's number says nothing lasting about a card: after a resharding its transactions go on in a shard with a higher
number. Replay folds partition by partition, so a card must stay in one. Therefore the archive has a log of its own: the
partition is a hash of the card over a number that never changes, and the offset counts what has come into it.

The order per card is kept. Within a shard offsets are the order of the transactions; from shard to shard it is the
number, for a shard that takes over is read by the worker only when its parent has come to its end.

Delivery is at least once. A decision that was delivered before is known by its place: it lies below the position of its
shard, and its transaction is archived. The transaction's id alone would not do, for one that is sent again after 16
others of its card is folded a second time, which a replay has to repeat.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Final

from msgspec import Struct, structs

from cardwatch.events import Decision
from cardwatch.features.hashing import identity_hash

PARTITIONS: Final = 16
"""Of the archive's log. Another number would move cards away from their history."""


class Reached(Struct, frozen=True, kw_only=True):
    """How far the log has come: per shard and per partition of the archive the next offset."""

    shards: dict[int, int]
    partitions: dict[int, int]


def partition_of(card_id: str) -> int:
    """The partition of the archive's log in which a card lives: 0 to `PARTITIONS` - 1, the same for ever."""
    return identity_hash(card_id) % PARTITIONS


def rekey(
    decisions: Iterable[Decision], reached: Reached, holds: Callable[[Collection[str]], Collection[str]]
) -> tuple[list[Decision], Reached]:
    """The decisions that are new, in order, at their places in the archive's log; and how far that has come then.

    What belongs to a shard comes after what belongs to a shard with a lower number, in this call and from call to call.
    `holds` says which transactions, by their ids, are archived.
    """
    shards, partitions = dict(reached.shards), dict(reached.partitions)
    by_place = {(decision.partition, decision.offset): decision for decision in decisions}
    passed = {d.transaction.transaction_id for d in by_place.values() if d.offset < shards.get(d.partition, 0)}
    archived = frozenset(holds(passed)) if passed else frozenset()
    new = []
    for (shard, offset), decision in sorted(by_place.items()):
        if offset < shards.get(shard, 0) and decision.transaction.transaction_id in archived:
            continue
        partition = partition_of(decision.transaction.card_id)
        place = partitions.get(partition, 0)
        new.append(structs.replace(decision, partition=partition, offset=place))
        partitions[partition] = place + 1
    for shard, offset in by_place:
        shards[shard] = max(shards.get(shard, 0), offset + 1)
    return new, Reached(shards=shards, partitions=partitions)
