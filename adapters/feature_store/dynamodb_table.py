"""The DynamoDB table of card states, as `dynamodb.py` (the feature store) and `dynamodb_outbox.py` use it.

Items have the string key `pk`:

`card#` + card id: `card_state` (the bytes of a STATE), `state_layout`, and the log position before which the card is
folded (`log_partition`, `log_position`);
`partition#` + number: `applied_up_to`, the next offset.

All reads are consistent reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from adapters.aws.dynamodb import CONCURRENT_CALLS, KEYS_PER_READ, Item, connect, get_items, translated_errors
from adapters.feature_store.layout import STATE_LAYOUT, CardStore, chunks
from cardwatch.ports import StateArray

CARD: Final = "card#"
PARTITION: Final = "partition#"


class CardTable(CardStore):
    """The table that `url` names: `dynamodb://TABLE`, with `?region=...&endpoint=...` or without."""

    def __init__(self, url: str, *, layout: str = STATE_LAYOUT) -> None:
        self._table, self._client = connect(url)
        super().__init__(f"the feature store in DynamoDB table {self._table}", layout)
        self._threads = ThreadPoolExecutor(CONCURRENT_CALLS, thread_name_prefix="dynamodb")

    def close(self) -> None:
        """Close the connections."""
        self._threads.shutdown()
        self._client.close()

    def _read(self, keys: Sequence[str]) -> dict[str, Item]:
        """Return the items of at most `KEYS_PER_READ` keys, by key."""
        with translated_errors(self._where):
            return get_items(self._client, self._table, keys)

    def _read_all(self, keys: Sequence[str]) -> dict[str, Item]:
        """Return the items of any number of keys, by key, with concurrent reads."""
        found: dict[str, Item] = {}
        for part in self._threads.map(self._read, chunks(keys, KEYS_PER_READ)):
            found.update(part)
        return found

    def _states(self, items: Sequence[Item | None], card_ids: Sequence[str]) -> StateArray:
        for layout in {item["state_layout"]["S"] for item in items if item}:
            self._check_layout(layout, is_empty=False)
        return self._to_states([item["card_state"]["B"] if item else None for item in items], card_ids)

    def _card_item(self, card_id: str, state: bytes, partition: int, position: int) -> Item:
        return {
            "pk": {"S": card_key(card_id)},
            "card_state": {"B": state},
            "state_layout": {"S": self._layout},
            "log_partition": {"N": str(partition)},
            "log_position": {"N": str(position)},
        }


def card_key(card_id: str) -> str:
    """Return the key of a card's item."""
    return f"{CARD}{card_id}"


def partition_key(number: int) -> str:
    """Return the key of the item of a partition of the log, or of a shard."""
    return f"{PARTITION}{number}"


def is_applied(position: int) -> tuple[str, Item]:
    """Return a condition that `applied_up_to` of a partition's item is `position`, and the values of the condition."""
    if_new = "attribute_not_exists(pk) OR " if position == 0 else ""
    return f"{if_new}applied_up_to = :expected", {":expected": {"N": str(position)}}
