"""Reference tables: what they know, when, and that their id is their content."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from cardwatch.events import to_epoch_ms
from cardwatch.features.reference import PRIOR_TRANSACTIONS, ReferenceBuilder, ReferenceTable

DAY = date(2025, 2, 10)
NOON = datetime(2025, 2, 10, 12, tzinfo=UTC)


def at(days: int, *merchants: int) -> tuple[np.ndarray, np.ndarray]:
    """Transactions of these merchants at noon, `days` from DAY."""
    moment = to_epoch_ms(NOON + timedelta(days=days))
    return np.array(merchants, np.uint64), np.full(len(merchants), moment, np.int64)


def values(table: ReferenceTable, merchant: int) -> list[float]:
    return table.values[table.merchants.tolist().index(merchant)].tolist()


def test_activity_counts_the_days_before() -> None:
    builder = ReferenceBuilder()
    builder.add_transactions(*at(-1, 5, 5, 9))
    builder.add_transactions(*at(-7, 5))
    builder.add_transactions(*at(-30, 5))
    builder.add_transactions(*at(-31, 5))
    builder.add_transactions(*at(0, 5))
    assert values(builder.build(DAY), 5)[1:] == [2.0, np.float32(3 / 7), np.float32(4 / 30)]


def test_risk_is_the_fraud_rate_over_the_base_rate_shrunk() -> None:
    # 5: 1 fraud of 100; 9: 0 of 300. Base rate 1 / 400 = 0.0025.
    # 5: (1 + 200 * 0.0025) / (100 + 200) / 0.0025 = 2. 9: (0 + 0.5) / 500 / 0.0025 = 0.4.
    assert PRIOR_TRANSACTIONS == 200
    builder = ReferenceBuilder()
    builder.add_transactions(*at(-3, *[5] * 100, *[9] * 300))
    builder.add_fraud("t", 5, effective_at=NOON - timedelta(days=3), observed_at=NOON - timedelta(days=1))
    table = builder.build(DAY)
    assert values(table, 5)[0] == pytest.approx(2.0)
    assert values(table, 9)[0] == pytest.approx(0.4)


def test_a_label_counts_from_the_day_after_it_was_observed() -> None:
    builder = ReferenceBuilder()
    builder.add_transactions(*at(-3, 5, 9))
    builder.add_fraud("t", 5, effective_at=NOON - timedelta(days=3), observed_at=NOON)
    assert values(builder.build(DAY), 5)[0] == pytest.approx(200 / 201)  # no fraud known: shrunk from 0 toward 1
    assert values(builder.build(DAY + timedelta(days=1)), 5)[0] > 1.0


def test_two_labels_of_one_transaction_count_once_from_the_earlier_on() -> None:
    once, twice = ReferenceBuilder(), ReferenceBuilder()
    for builder in (once, twice):
        builder.add_transactions(*at(-3, 5, 9))
        builder.add_fraud("t", 5, effective_at=NOON - timedelta(days=3), observed_at=NOON - timedelta(days=1))
    twice.add_fraud("t", 5, effective_at=NOON - timedelta(days=3), observed_at=NOON - timedelta(days=2))
    assert once.build(DAY).table_id == twice.build(DAY).table_id


def test_the_order_of_arrival_does_not_matter() -> None:
    tables = []
    for days in ([-1, -2, -3], [-3, -1, -2]):
        builder = ReferenceBuilder()
        for day in days:
            builder.add_transactions(*at(day, 5, 9, 9))
        builder.saw_labels_up_to(0, 7)
        tables.append(builder.build(DAY))
    assert tables[0].table_id == tables[1].table_id


def test_the_id_is_the_content_and_survives_storage() -> None:
    builder = ReferenceBuilder()
    builder.add_transactions(*at(-1, 5))
    table = builder.build(DAY)
    restored = ReferenceTable.from_bytes(table.to_bytes())
    assert restored.table_id == table.table_id
    assert restored.valid_from == datetime(2025, 2, 10, tzinfo=UTC)
    builder.saw_labels_up_to(0, 1)
    assert builder.build(DAY).table_id != table.table_id


def test_before_the_first_day_nothing_is_known() -> None:
    assert ReferenceBuilder().build(DAY).values.shape == (0, 4)
