"""Arrow columns of every make become the rows that structs become."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from adapters.archive.arrow_columns import arrow_kernel_rows, distinct
from adapters.archive.layout import SCHEMAS
from adapters.archive.writer import transaction_row
from cardwatch.errors import CardwatchError
from cardwatch.events import AuthorizationOutcome, Channel, Transaction
from cardwatch.features.columns import encode
from cardwatch.topics import TRANSACTIONS

LOG = [
    Transaction(
        transaction_id=f"t-{number}",
        card_id=f"card-{number % 2}",
        merchant_id="Bäckerei" if number % 2 else "a-merchant-with-a-name-of-more-than-32-bytes",
        occurred_at=datetime(2025, 1, 1, 0, 0, number, 999_000, tzinfo=UTC),
        amount_minor=number,
        currency="EUR",
        merchant_category=["5411", "0000", "9999"][number % 3],
        channel=list(Channel)[number % 6],
        country=["DE", "ZZ"][number % 2],
        latitude=None if number % 3 else 50.5,
        longitude=None if number % 3 else 7.25,
        device_id=None if number % 4 else f"device-{number}",
        previous_outcome=[None, AuthorizationOutcome.APPROVED, AuthorizationOutcome.DECLINED][number % 3],
    )
    for number in range(12)
]


def table() -> pa.Table:
    rows = [transaction_row(transaction, 0, offset) for offset, transaction in enumerate(LOG)]
    return pa.Table.from_pylist(rows, SCHEMAS[TRANSACTIONS])


def cast_texts(kind: pa.DataType) -> Callable[[pa.Table], pa.Table]:
    def cast(rows: pa.Table) -> pa.Table:
        fields = [pa.field(f.name, kind) if pa.types.is_string(f.type) else f for f in rows.schema]
        return rows.cast(pa.schema(fields))

    return cast


@pytest.mark.parametrize(
    "made",
    [
        lambda rows: rows,
        cast_texts(pa.large_string()),
        cast_texts(pa.string_view()),
        cast_texts(pa.dictionary(pa.int32(), pa.string())),
        lambda rows: pa.concat_tables([rows.slice(0, 5), rows.slice(5)]),
        lambda rows: pa.concat_tables([rows, rows]).slice(12),
    ],
    ids=["string", "large_string", "string_view", "dictionary", "chunks", "slice"],
)
def test_columns_and_structs_give_the_same_rows(made: Callable[[pa.Table], pa.Table]) -> None:
    assert arrow_kernel_rows(made(table())).tobytes() == encode(LOG).tobytes()


def test_a_slice_is_a_slice() -> None:
    assert arrow_kernel_rows(table().slice(3, 5)).tobytes() == encode(LOG[3:8]).tobytes()
    assert len(arrow_kernel_rows(table().slice(0, 0))) == 0


def test_a_column_without_any_value_may_have_no_type() -> None:
    rows = table().set_column(table().column_names.index("device_id"), "device_id", pa.nulls(12))
    assert arrow_kernel_rows(rows)["device_hash"].tolist() == [0] * 12


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("merchant_id", [None] * 12, "12 of 12 transactions have no merchant_id, which is required"),
        ("channel", ["chip"] * 11 + ["carrier pigeon"], "'carrier pigeon' in the column channel has no code"),
        ("merchant_category", ["food"] * 12, "'food' in the column merchant_category has no code"),
    ],
)
def test_a_value_that_the_kernel_cannot_take_is_refused_by_name(name: str, values: list[Any], message: str) -> None:
    rows = table().set_column(table().column_names.index(name), name, pa.array(values, pa.string()))
    with pytest.raises(CardwatchError, match=message):
        arrow_kernel_rows(rows)


def test_distinct_texts_come_in_the_order_in_which_they_appear() -> None:
    encoded = pa.chunked_array([pa.array(["never used", "b", "a", "b"]).dictionary_encode().slice(1)])
    names, codes = distinct(encoded)
    assert (names, codes.tolist()) == (["b", "a"], [0, 1, 0])
