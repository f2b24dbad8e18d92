"""The feature store in DynamoDB, one table with the string key `pk`.

`adapters.feature_store.dynamodb_table` describes the items of cards and partitions. The item `layout` holds
`state_layout`, and `partition-count` holds `log_partitions`, the number of partitions of the log.

TransactWriteItems accepts 100 items: 99 cards and the partition. A larger batch takes several transactions in sequence.
Each checks that `applied` is unchanged and that no card would go back; the last one moves `applied`.
`cardwatch.ports.FeatureStore` describes the state after a crash between two of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

from adapters.aws.dynamodb import ITEMS_PER_WRITE, Item, put_items, translated_errors
from adapters.feature_store.dynamodb_table import CARD, PARTITION, CardTable, card_key, is_applied, partition_key
from adapters.feature_store.layout import STATE_LAYOUT, UNFINISHED, chunks
from adapters.runtime.closeable import closed_on_error
from cardwatch.errors import StaleWriter, StoreUnavailable
from cardwatch.ports import PositionedStates, StateArray, StoreContents, StoreSize

CARDS_PER_TRANSACTION: Final = 99
"""TransactWriteItems accepts 100 items; one of them is the partition."""

_LAYOUT: Final = "layout"
_PARTITIONS_ONLY: Final[Item] = {
    "FilterExpression": "begins_with(pk, :prefix)",
    "ExpressionAttributeValues": {":prefix": {"S": PARTITION}},
}
_PARTITION_COUNT: Final = "partition-count"


class DynamoDbStore(CardTable):
    """A `cardwatch.ports.PortableStore` at `url`: `dynamodb://TABLE`, with `?region=...&endpoint=...` or without.

    A `readonly` store is never written. Raises `Misconfigured` if there is no such table, `StoreUnavailable` if
    DynamoDB does not answer, and `StoreRefused` if the table holds states of another `layout`.
    """

    def __init__(self, url: str, *, readonly: bool = False, layout: str = STATE_LAYOUT) -> None:
        super().__init__(url, layout=layout)
        with closed_on_error(self):
            self._require_layout(readonly=readonly)

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
        found = self._get(partition_key(partition))
        return int(found["applied_up_to"]["N"]) if found else 0

    def record_partitions(self, partitions: int) -> int:
        """See the port."""
        with translated_errors(self._where):
            answer = self._client.update_item(
                TableName=self._table,
                Key={"pk": {"S": _PARTITION_COUNT}},
                UpdateExpression="SET log_partitions = if_not_exists(log_partitions, :partitions)",
                ExpressionAttributeValues={":partitions": {"N": str(partitions)}},
                ReturnValues="ALL_NEW",
            )
        return int(answer["Attributes"]["log_partitions"]["N"])

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
        condition, values = is_applied(expected)
        item = {
            "TableName": self._table,
            "Key": {"pk": {"S": partition_key(partition)}},
            "ConditionExpression": condition,
            "ExpressionAttributeValues": values,
        }
        for chunk in first:
            self._transact([*chunk, {"ConditionCheck": item}], partition, expected, position)
        move = {
            **item,
            "UpdateExpression": "SET applied_up_to = :position",
            "ExpressionAttributeValues": values | {":position": {"N": str(position)}},
        }
        self._transact([*last, {"Update": move}], partition, expected, position)

    @contextmanager
    def contents(self) -> Iterator[StoreContents]:
        """See the port."""
        applied = self._all_applied()
        yield StoreContents(applied, self._cards(applied))

    def fill(self, contents: StoreContents) -> None:
        """See the port."""
        if any(item["pk"]["S"] not in (_LAYOUT, _PARTITION_COUNT) for page in self._pages() for item in page):
            raise self._not_empty_error()
        self._put_layout(UNFINISHED)
        for card_ids, states in contents.cards:
            items = [
                self._card_item(card_id, state.tobytes(), 0, 0) for card_id, state in zip(card_ids, states, strict=True)
            ]
            list(self._threads.map(self._put, chunks(items, ITEMS_PER_WRITE)))
        self._put(
            [
                {"pk": {"S": partition_key(partition)}, "applied_up_to": {"N": str(position)}}
                for partition, position in contents.applied.items()
            ]
        )
        self._put_layout(self._layout)

    def _items(self, card_ids: Sequence[str]) -> list[Item | None]:
        keys = [card_key(card_id) for card_id in card_ids]
        found = self._read_all(keys)
        return [found.get(key) for key in keys]

    def _put(self, items: list[Item]) -> None:
        with translated_errors(self._where):
            for chunk in chunks(items, ITEMS_PER_WRITE):
                put_items(self._client, self._table, chunk)

    def _get(self, key: str) -> Item | None:
        return self._read([key]).get(key)

    def _put_card(self, card_id: str, state: bytes, partition: int, position: int) -> Item:
        return {
            "Put": {
                "TableName": self._table,
                "Item": self._card_item(card_id, state, partition, position),
                "ConditionExpression": "attribute_not_exists(pk) OR log_position <= :position",
                "ExpressionAttributeValues": {":position": {"N": str(position)}},
            }
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
            return self._stale_writer_error(partition, expected, self.applied(partition))
        return StaleWriter(
            f"partition {partition}: cards of the batch {expected}..{position} are folded beyond it; "
            "another worker has written since then"
        )

    def _cards(self, applied: Mapping[int, int]) -> Iterator[tuple[list[str], StateArray]]:
        for page in self._pages():
            items = [item for item in page if item["pk"]["S"].startswith(CARD)]
            for item in items:
                if int(item["log_position"]["N"]) > applied.get(int(item["log_partition"]["N"]), 0):
                    raise self._concurrent_write_error()
            card_ids = [item["pk"]["S"].removeprefix(CARD) for item in items]
            yield card_ids, self._states(items, card_ids)
        if self._all_applied() != applied:
            raise self._concurrent_write_error()

    def _all_applied(self) -> dict[int, int]:
        items = [item for page in self._pages(**_PARTITIONS_ONLY) for item in page]
        return {int(item["pk"]["S"].removeprefix(PARTITION)): int(item["applied_up_to"]["N"]) for item in items}

    def _pages(self, **only: Any) -> Iterator[list[Item]]:
        with translated_errors(self._where):
            pages = self._client.get_paginator("scan").paginate(TableName=self._table, ConsistentRead=True, **only)
            for page in pages:
                yield page["Items"]

    def _put_layout(self, layout: str) -> None:
        self._put([{"pk": {"S": _LAYOUT}, "state_layout": {"S": layout}}])

    def _require_layout(self, *, readonly: bool) -> None:
        found = self._get(_LAYOUT)
        layout = found["state_layout"]["S"] if found else None
        self._check_layout(layout, is_empty=layout is None)
        if layout is None and not readonly:
            self._put_layout(self._layout)
