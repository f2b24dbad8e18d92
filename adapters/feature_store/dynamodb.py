"""The feature store in DynamoDB, one table with the string key `pk`.

Items: `card#` + card id -> `card_state` (the bytes of a STATE), `state_layout`, and the log position before which the
card is folded (`log_partition`, `log_position`); `partition#` + number -> `applied_up_to`; `layout` -> `state_layout`.
All reads are consistent reads.

TransactWriteItems accepts 100 items: 99 cards and the partition. A larger batch takes several transactions in sequence.
Each checks that `applied` is unchanged and that no card would go back; the last one moves `applied`.
`cardwatch.ports.FeatureStore` describes the state after a crash between two of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

from adapters.aws.dynamodb import (
    CONCURRENT_CALLS,
    ITEMS_PER_WRITE,
    KEYS_PER_READ,
    Item,
    connect,
    get_items,
    put_items,
    translated_errors,
)
from adapters.feature_store.layout import (
    STATE_LAYOUT,
    UNFINISHED,
    chunks,
    concurrent_write_error,
    not_empty_error,
    require_layout,
    stale_writer_error,
    to_states,
)
from adapters.runtime.closeable import Closeable, closed_on_error
from cardwatch.errors import StaleWriter, StoreUnavailable
from cardwatch.ports import PositionedStates, StateArray, StoreContents, StoreSize

CARDS_PER_TRANSACTION: Final = 99
"""TransactWriteItems accepts 100 items; one of them is the partition."""

_CARD: Final = "card#"
_PARTITION: Final = "partition#"
_LAYOUT: Final = "layout"


class DynamoDbStore(Closeable):
    """A `cardwatch.ports.PortableStore` at `url`: `dynamodb://TABLE`, with `?region=...&endpoint=...` or without.

    A `readonly` store is never written. Raises `Misconfigured` if there is no such table, `StoreUnavailable` if
    DynamoDB does not answer, and `StoreRefused` if the table holds states of another `layout`.
    """

    def __init__(self, url: str, *, readonly: bool = False, layout: str = STATE_LAYOUT) -> None:
        self._table, self._client = connect(url)
        self._where, self._layout = f"the feature store in DynamoDB table {self._table}", layout
        self._threads = ThreadPoolExecutor(CONCURRENT_CALLS, thread_name_prefix="dynamodb")
        with closed_on_error(self):
            self._require_layout(readonly=readonly)

    def close(self) -> None:
        """Close the connections."""
        self._threads.shutdown()
        self._client.close()

    def load(self, card_ids: Sequence[str]) -> StateArray:
        """See the port."""
        return self._states(self._items(card_ids), card_ids)

    def load_positioned(self, partition: int, card_ids: Sequence[str]) -> PositionedStates:
        """See the port. Cards from a snapshot have position 0, because a snapshot is consistent."""
        items = self._items(card_ids)
        positions = [int(item["log_position"]["N"]) if item else 0 for item in items]
        return PositionedStates(self._states(items, card_ids), np.array(positions, np.int64))

    def applied(self, partition: int) -> int:
        """See the port."""
        found = self._get(f"{_PARTITION}{partition}")
        return int(found["applied_up_to"]["N"]) if found else 0

    def size(self) -> StoreSize:
        """See the port. AWS updates these numbers every six hours."""
        with translated_errors(self._where):
            table = self._client.describe_table(TableName=self._table)["Table"]
        return StoreSize(int(table["ItemCount"]), int(table["TableSizeBytes"]))

    def apply(
        self, partition: int, *, expected: int, position: int, card_ids: Sequence[str], states: StateArray
    ) -> None:
        """See the port. All but the last transaction only check `applied`; the last one moves it."""
        puts = [
            self._put_card(card_id, state.tobytes(), partition, position)
            for card_id, state in zip(card_ids, states, strict=True)
        ]
        *first, last = list(chunks(puts, CARDS_PER_TRANSACTION)) or [[]]
        check = self._partition_item(partition, expected)
        for chunk in first:
            self._transact([*chunk, {"ConditionCheck": check}], partition, expected, position)
        move = {
            **check,
            "UpdateExpression": "SET applied_up_to = :position",
            "ExpressionAttributeValues": {
                **check["ExpressionAttributeValues"],
                ":position": {"N": str(position)},
            },
        }
        self._transact([*last, {"Update": move}], partition, expected, position)

    @contextmanager
    def contents(self) -> Iterator[StoreContents]:
        """See the port."""
        applied = self._all_applied()
        yield StoreContents(applied, self._cards(applied))

    def fill(self, contents: StoreContents) -> None:
        """See the port."""
        if any(item["pk"]["S"] != _LAYOUT for page in self._pages() for item in page):
            raise not_empty_error(self._where)
        self._put_layout(UNFINISHED)
        for card_ids, states in contents.cards:
            items = [self._card(card_id, state.tobytes()) for card_id, state in zip(card_ids, states, strict=True)]
            list(self._threads.map(self._put, chunks(items, ITEMS_PER_WRITE)))
        self._put(
            [
                {"pk": {"S": f"{_PARTITION}{partition}"}, "applied_up_to": {"N": str(position)}}
                for partition, position in contents.applied.items()
            ]
        )
        self._put_layout(self._layout)

    def _items(self, card_ids: Sequence[str]) -> list[Item | None]:
        keys = [f"{_CARD}{card_id}" for card_id in card_ids]
        found: dict[str, Item] = {}
        for part in self._threads.map(self._read, chunks(keys, KEYS_PER_READ)):
            found.update(part)
        return [found.get(key) for key in keys]

    def _read(self, keys: list[str]) -> dict[str, Item]:
        with translated_errors(self._where):
            return get_items(self._client, self._table, keys)

    def _put(self, items: list[Item]) -> None:
        with translated_errors(self._where):
            for chunk in chunks(items, ITEMS_PER_WRITE):
                put_items(self._client, self._table, chunk)

    def _get(self, key: str) -> Item | None:
        return self._read([key]).get(key)

    def _states(self, items: Sequence[Item | None], card_ids: Sequence[str]) -> StateArray:
        for layout in {item["state_layout"]["S"] for item in items if item}:
            require_layout(layout, self._layout, where=self._where, is_empty=False)
        return to_states([item["card_state"]["B"] if item else None for item in items], card_ids, self._where)

    def _card(self, card_id: str, state: bytes, partition: int = 0, position: int = 0) -> Item:
        return {
            "pk": {"S": f"{_CARD}{card_id}"},
            "card_state": {"B": state},
            "state_layout": {"S": self._layout},
            "log_partition": {"N": str(partition)},
            "log_position": {"N": str(position)},
        }

    def _put_card(self, card_id: str, state: bytes, partition: int, position: int) -> Item:
        return {
            "Put": {
                "TableName": self._table,
                "Item": self._card(card_id, state, partition, position),
                "ConditionExpression": "attribute_not_exists(pk) OR log_position <= :position",
                "ExpressionAttributeValues": {":position": {"N": str(position)}},
            }
        }

    def _partition_item(self, partition: int, expected: int) -> Item:
        if_new = "attribute_not_exists(pk) OR " if expected == 0 else ""
        return {
            "TableName": self._table,
            "Key": {"pk": {"S": f"{_PARTITION}{partition}"}},
            "ConditionExpression": f"{if_new}applied_up_to = :expected",
            "ExpressionAttributeValues": {":expected": {"N": str(expected)}},
        }

    def _transact(self, items: list[Item], partition: int, expected: int, position: int) -> None:
        try:
            with translated_errors(self._where):
                self._client.transact_write_items(TransactItems=items)
        except self._client.exceptions.TransactionCanceledException as error:
            raise self._cancellation_error(error.response, partition, expected, position) from error

    def _cancellation_error(
        self, response: Mapping[str, Any], partition: int, expected: int, position: int
    ) -> StaleWriter | StoreUnavailable:
        codes = [reason.get("Code", "None") for reason in response.get("CancellationReasons", [])]
        if "ConditionalCheckFailed" not in codes:
            return StoreUnavailable(f"{self._where} has cancelled a transaction: {', '.join(sorted(set(codes)))}")
        if codes[-1] == "ConditionalCheckFailed":
            return stale_writer_error(partition, expected, self.applied(partition))
        return StaleWriter(
            f"partition {partition}: cards of the batch {expected}..{position} are folded beyond it; "
            "another worker has written since then"
        )

    def _cards(self, applied: Mapping[int, int]) -> Iterator[tuple[list[str], StateArray]]:
        for page in self._pages():
            items = [item for item in page if item["pk"]["S"].startswith(_CARD)]
            for item in items:
                if int(item["log_position"]["N"]) > applied.get(int(item["log_partition"]["N"]), 0):
                    raise concurrent_write_error(self._where)
            card_ids = [item["pk"]["S"].removeprefix(_CARD) for item in items]
            yield card_ids, self._states(items, card_ids)
        if self._all_applied() != applied:
            raise concurrent_write_error(self._where)

    def _all_applied(self) -> dict[int, int]:
        items = [item for page in self._pages(_PARTITION) for item in page]
        return {int(item["pk"]["S"].removeprefix(_PARTITION)): int(item["applied_up_to"]["N"]) for item in items}

    def _pages(self, prefix: str = "") -> Iterator[list[Item]]:
        only: Item = {}
        if prefix:
            only = {
                "FilterExpression": "begins_with(pk, :prefix)",
                "ExpressionAttributeValues": {":prefix": {"S": prefix}},
            }
        with translated_errors(self._where):
            pages = self._client.get_paginator("scan").paginate(TableName=self._table, ConsistentRead=True, **only)
            for page in pages:
                yield page["Items"]

    def _put_layout(self, layout: str) -> None:
        self._put([{"pk": {"S": _LAYOUT}, "state_layout": {"S": layout}}])

    def _require_layout(self, *, readonly: bool) -> None:
        found = self._get(_LAYOUT)
        layout = found["state_layout"]["S"] if found else None
        require_layout(layout, self._layout, where=self._where, is_empty=layout is None)
        if layout is None and not readonly:
            self._put_layout(self._layout)
