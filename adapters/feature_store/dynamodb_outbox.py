"""Card states in DynamoDB with the decisions that are still to be delivered: an outbox beside each state.

It is the table of `adapters.feature_store.dynamodb`, with more in its items, so whoever reads states there reads
these too:

`card#` + card id: the state and its place in the log, and
    `folded_to`      per shard the Kinesis sequence number up to which the card's records are folded. It only grows, so
                     it also says whether somebody has written the card since it was read.
    `pending`        the decisions of the batch that wrote the card last: JSON lines, compressed
    `pending_batch`  which batch that was

`partition#` + shard number: `applied_up_to`, the next offset of the shard, and while a batch is between its first write
and the delivery of its decisions
    `open_batch`, `open_until`, `open_cards`   what was begun, for whoever has to bring it to its end

Kinesis numbers its records with 186 bits, and only within a shard, so offsets are ours: a counter per shard.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any, Final, NamedTuple

from adapters.aws.dynamodb import CALLS_AT_ONCE, Item, answering, connect, get_items
from adapters.feature_store.layout import STATE_LAYOUT, chunks, require_layout, to_states
from cardwatch.errors import StaleWriter, StoreUnavailable, Superseded
from cardwatch.ports import StateArray

KEYS_A_READ: Final = 100
SHARDS_REMEMBERED: Final = 8
"""A card moves to another shard when the stream is resharded; what is older than so many moves is long gone."""

_FASTEST: Final = 1


class OutboxBatch(NamedTuple):
    """What was begun in a shard: offsets from `first` to before `until`, of these cards."""

    shard: int
    first: int
    until: int
    cards: list[str]

    @property
    def name(self) -> str:
        """The same for the same batch, and for no other of this table."""
        return f"{self.shard}/{self.first}"


class OutboxShard(NamedTuple):
    """Where a shard stands. `unfinished`: a batch whose decisions may not have been delivered."""

    number: int
    next_offset: int
    unfinished: OutboxBatch | None


class OutboxCard(NamedTuple):
    """What a card's item said when it was read.

    `folded_to` is empty for a card never seen in any shard, `log_shard` the one of the batch that wrote it last, and
    `pending` that batch's decisions on this card.
    """

    is_stored: bool
    folded_to: dict[int, int]
    log_shard: int | None
    pending: list[bytes]


class OutboxCards(NamedTuple):
    """n cards of one read."""

    states: StateArray
    cards: list[OutboxCard]


class CardUpdate(NamedTuple):
    """A card to be written: its next state, and what it holds beside it."""

    card_id: str
    state: bytes
    read: OutboxCard
    sequence_number: int
    decisions: list[bytes]


class DynamoDbOutbox:
    """The outbox in the table that `url` names, see `adapters.feature_store.dynamodb`.

    Every call raises `StoreUnavailable` if DynamoDB does not answer or is throttled, `StoreRefused` for states of
    another layout, `Misconfigured` if there is no such table.
    """

    def __init__(self, url: str) -> None:
        self._table, self._client = connect(url)
        self._where = f"the feature store in DynamoDB table {self._table}"
        self._threads = ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="dynamodb")

    def close(self) -> None:
        """Let go of the connections."""
        self._threads.shutdown()
        self._client.close()

    def read(self, shards: Sequence[int], card_ids: Sequence[str]) -> tuple[list[OutboxShard], OutboxCards]:
        """Some shards and distinct cards, in the order asked for: one round trip for a hundred items."""
        keys = [*map(_shard_key, shards), *map(_card_key, card_ids)]
        found: dict[str, Item] = {}
        for part in self._threads.map(self._get, chunks(keys, KEYS_A_READ)):
            found.update(part)
        items = [found.get(_card_key(card_id)) for card_id in card_ids]
        for layout in {item["state_layout"]["S"] for item in items if item}:
            require_layout(layout, STATE_LAYOUT, where=self._where, is_empty=False)
        states = to_states([item["card_state"]["B"] if item else None for item in items], card_ids, self._where)
        stand = [_shard(number, found.get(_shard_key(number), {})) for number in shards]
        return stand, OutboxCards(states, [_card(item) for item in items])

    def begin(self, shard: OutboxShard, batch: OutboxBatch) -> OutboxShard:
        """Take offsets for a batch and note that it is begun. Raises `Superseded` if the shard has moved since."""
        stood, values = self._as_it_stood(shard)
        self._update(
            batch.shard,
            stood,
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
        """Write each card unless somebody else has since it was read; gives those that were not written.

        That somebody may be an invocation that was taken for dead. A card that DynamoDB does not take now is not
        written either. What is written holds state and decisions together: there is never one without the other.
        """
        results = self._threads.map(lambda card: self._write(batch, card), cards)
        return {card.card_id for card, is_written in zip(cards, results, strict=True) if not is_written}

    def pending(self, batch: OutboxBatch) -> list[bytes]:
        """The decisions of a batch that was begun, as they were written, of those cards that were written."""
        keys = [_card_key(card_id) for card_id in batch.cards]
        parts = self._threads.map(self._get, chunks(keys, KEYS_A_READ))
        items = chain.from_iterable(part.values() for part in parts)
        own = [item for item in items if item.get("pending_batch", {}).get("S") == batch.name]
        return [line for item in own for line in _pending(item)]

    def finish(self, batch: OutboxBatch) -> None:
        """Note that the decisions of a batch are delivered. Nothing to do if somebody has noted it before."""
        try:
            self._update(
                batch.shard,
                "open_batch = :batch",
                "REMOVE open_batch, open_until, open_cards",
                {":batch": {"N": str(batch.first)}},
            )
        except Superseded:
            return

    def _get(self, keys: list[str]) -> dict[str, Item]:
        with answering(self._where):
            return get_items(self._client, self._table, keys)

    def _as_it_stood(self, shard: OutboxShard) -> tuple[str, Item]:
        unmade = "attribute_not_exists(pk) OR " if shard.next_offset == 0 else ""
        return f"{unmade}applied_up_to = :stood", {":stood": {"N": str(shard.next_offset)}}

    def _update(self, shard: int, condition: str, update: str, values: Item) -> None:
        try:
            with answering(self._where):
                self._client.update_item(
                    TableName=self._table,
                    Key={"pk": {"S": _shard_key(shard)}},
                    ConditionExpression=condition,
                    UpdateExpression=update,
                    ExpressionAttributeValues=values,
                )
        except StaleWriter as refusal:
            raise Superseded(f"shard {shard}: another invocation has moved it on") from refusal

    def _write(self, batch: OutboxBatch, card: CardUpdate) -> bool:
        item = _to_item(batch, card)
        condition, values = _unless_written_since(card.read)
        try:
            with answering(self._where):
                self._client.put_item(
                    TableName=self._table,
                    Item=item,
                    ConditionExpression=condition,
                    **({"ExpressionAttributeValues": values} if values else {}),
                )
        except (StaleWriter, StoreUnavailable):
            return False
        return True


def _card_key(card_id: str) -> str:
    return f"card#{card_id}"


def _shard_key(number: int) -> str:
    return f"partition#{number}"


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


def _to_item(batch: OutboxBatch, card: CardUpdate) -> Item:
    folded_to = card.read.folded_to | {batch.shard: card.sequence_number}
    remembered = sorted(folded_to)[-SHARDS_REMEMBERED:]
    return {
        "pk": {"S": _card_key(card.card_id)},
        "card_state": {"B": card.state},
        "state_layout": {"S": STATE_LAYOUT},
        "log_partition": {"N": str(batch.shard)},
        "log_position": {"N": str(batch.until)},
        "folded_to": {"M": {str(shard): {"S": str(folded_to[shard])} for shard in remembered}},
        "pending": {"B": zlib.compress(b"\n".join(card.decisions), _FASTEST)},
        "pending_batch": {"S": batch.name},
    }


def _unless_written_since(read: OutboxCard) -> tuple[str, dict[str, Any]]:
    """A condition on the item, and its values."""
    if not read.is_stored:
        return "attribute_not_exists(pk)", {}
    if not read.folded_to:  # filled from a snapshot, or by another writer than this one
        return "attribute_exists(pk) AND attribute_not_exists(folded_to)", {}
    as_read = {str(number): {"S": str(sequence_number)} for number, sequence_number in read.folded_to.items()}
    return "folded_to = :as_read", {":as_read": {"M": as_read}}
