"""Card states in DynamoDB with an outbox: the decisions that are not delivered yet are stored beside each state.

The table is that of `adapters.feature_store.dynamodb_table` with more attributes, so that readers of states need no
change:

`card#` + card id: the state and its log position, and
    `folded_to`      per shard the Kinesis sequence number up to which the card's records are folded. It only grows, so
                     that it also shows whether the card was written since it was read.
    `pending`        the decisions of the batch that wrote the card last: JSON lines, compressed
    `pending_batch`  the name of that batch

`partition#` + shard number: `applied_up_to`, the next offset of the shard, and between the first write of a batch and
the delivery of its decisions
    `open_batch`, `open_until`, `open_cards`   the batch, so that another invocation can finish it

Kinesis numbers its records with 186 bits and per shard, so that offsets are a counter of our own per shard.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from adapters.aws.dynamodb import Item, translated_errors
from adapters.feature_store.dynamodb_table import CardTable, card_key, is_applied, partition_key
from cardwatch.errors import StaleWriter, StoreUnavailable, Superseded
from cardwatch.ports import StateArray

SHARDS_REMEMBERED: Final = 8
"""Number of shards per card in `folded_to`. A resharding moves a card to another shard; older shards have expired."""

_FASTEST: Final = 1


class OutboxBatch(NamedTuple):
    """A batch of a shard that was started: offsets from `first` to before `until`, and its cards."""

    shard: int
    first: int
    until: int
    cards: list[str]

    @property
    def name(self) -> str:
        """Name of the batch, unique in the table."""
        return f"{self.shard}/{self.first}"


class OutboxShard(NamedTuple):
    """Position of a shard. `unfinished` is a batch whose decisions may not be delivered yet."""

    number: int
    next_offset: int
    unfinished: OutboxBatch | None


class OutboxCard(NamedTuple):
    """Attributes of a card's item when it was read.

    `folded_to` is empty for a card without records in any shard. `log_shard` is the shard of the batch that wrote the
    card last, and `pending` holds the decisions of that batch on the card.
    """

    is_stored: bool
    folded_to: dict[int, int]
    log_shard: int | None
    pending: list[bytes]


class OutboxCards(NamedTuple):
    """n cards that were read together."""

    states: StateArray
    cards: list[OutboxCard]


class CardUpdate(NamedTuple):
    """A card to be written: its next state and its outbox."""

    card_id: str
    state: bytes
    read: OutboxCard
    sequence_number: int
    decisions: list[bytes]


class DynamoDbOutbox(CardTable):
    """The outbox in the table that `url` names.

    Every call raises `StoreUnavailable` if DynamoDB does not answer or is throttled, `StoreRefused` for states of
    another layout, `Misconfigured` if there is no such table.
    """

    def read(self, shards: Sequence[int], card_ids: Sequence[str]) -> tuple[list[OutboxShard], OutboxCards]:
        """Return shards and distinct cards in the given order, in one round trip per hundred items."""
        found = self._read_all([*map(partition_key, shards), *map(card_key, card_ids)])
        items = [found.get(card_key(card_id)) for card_id in card_ids]
        states = self._states(items, card_ids)
        shards_read = [_shard(number, found.get(partition_key(number), {})) for number in shards]
        return shards_read, OutboxCards(states, [_card(item) for item in items])

    def begin(self, shard: OutboxShard, batch: OutboxBatch) -> OutboxShard:
        """Reserve the offsets of a batch and record that it has started. Raises `Superseded` if the shard has moved."""
        condition, values = is_applied(shard.next_offset)
        self._update(
            batch.shard,
            condition,
            "SET applied_up_to = :until, open_batch = :batch, open_until = :until, open_cards = :cards",
            {
                **values,
                ":until": {"N": str(batch.until)},
                ":batch": {"N": str(batch.first)},
                ":cards": {"L": [{"S": card_id} for card_id in batch.cards]},
            },
        )
        return OutboxShard(shard.number, batch.until, batch)

    def write(self, batch: OutboxBatch, cards: Sequence[CardUpdate]) -> set[str]:
        """Write each card unless it was written since it was read. Return the cards that were not written.

        The other writer may be an invocation that was assumed dead. Cards whose write DynamoDB rejects temporarily are
        not written either. One item holds state and decisions, so that they are always consistent.
        """
        results = self._threads.map(lambda card: self._write(batch, card), cards)
        return {card.card_id for card, is_written in zip(cards, results, strict=True) if not is_written}

    def pending(self, batch: OutboxBatch) -> list[bytes]:
        """Return the decisions of a started batch on those of its cards that were written."""
        items = self._read_all([card_key(card_id) for card_id in batch.cards]).values()
        own = [item for item in items if item.get("pending_batch", {}).get("S") == batch.name]
        return [line for item in own for line in _pending(item)]

    def finish(self, batch: OutboxBatch) -> None:
        """Record that the decisions of a batch are delivered. A repeated call has no effect."""
        try:
            self._update(
                batch.shard,
                "open_batch = :batch",
                "REMOVE open_batch, open_until, open_cards",
                {":batch": {"N": str(batch.first)}},
            )
        except Superseded:
            return

    def _update(self, shard: int, condition: str, update: str, values: Item) -> None:
        try:
            with translated_errors(self._where):
                self._client.update_item(
                    TableName=self._table,
                    Key={"pk": {"S": partition_key(shard)}},
                    ConditionExpression=condition,
                    UpdateExpression=update,
                    ExpressionAttributeValues=values,
                )
        except StaleWriter as refusal:
            raise Superseded(f"shard {shard}: another invocation has moved it on") from refusal

    def _write(self, batch: OutboxBatch, card: CardUpdate) -> bool:
        folded_to = card.read.folded_to | {batch.shard: card.sequence_number}
        remembered = sorted(folded_to)[-SHARDS_REMEMBERED:]
        outbox = {
            "folded_to": {"M": {str(shard): {"S": str(folded_to[shard])} for shard in remembered}},
            "pending": {"B": zlib.compress(b"\n".join(card.decisions), _FASTEST)},
            "pending_batch": {"S": batch.name},
        }
        condition, values = _unless_written_since(card.read)
        try:
            with translated_errors(self._where):
                self._client.put_item(
                    TableName=self._table,
                    Item=self._card_item(card.card_id, card.state, batch.shard, batch.until) | outbox,
                    ConditionExpression=condition,
                    **({"ExpressionAttributeValues": values} if values else {}),
                )
        except (StaleWriter, StoreUnavailable):
            return False
        return True


def _shard(number: int, item: Item) -> OutboxShard:
    next_offset = int(item["applied_up_to"]["N"]) if item else 0
    if "open_batch" not in item:
        return OutboxShard(number, next_offset, None)
    cards = [card_id["S"] for card_id in item["open_cards"]["L"]]
    return OutboxShard(
        number, next_offset, OutboxBatch(number, int(item["open_batch"]["N"]), int(item["open_until"]["N"]), cards)
    )


def _card(item: Item | None) -> OutboxCard:
    if item is None:
        return OutboxCard(False, {}, None, [])
    folded_to = {int(shard): int(number["S"]) for shard, number in item.get("folded_to", {"M": {}})["M"].items()}
    return OutboxCard(True, folded_to, int(item["log_partition"]["N"]) if folded_to else None, _pending(item))


def _pending(item: Item) -> list[bytes]:
    return zlib.decompress(item["pending"]["B"]).splitlines() if "pending" in item else []


def _unless_written_since(read: OutboxCard) -> tuple[str, dict[str, Any]]:
    """Return a condition that the item was not written since it was read, and the values of the condition."""
    if not read.is_stored:
        return "attribute_not_exists(pk)", {}
    if not read.folded_to:  # restored from a snapshot, or written by a store without an outbox
        return "attribute_exists(pk) AND attribute_not_exists(folded_to)", {}
    as_read = {str(number): {"S": str(sequence_number)} for number, sequence_number in read.folded_to.items()}
    return "folded_to = :as_read", {":as_read": {"M": as_read}}
