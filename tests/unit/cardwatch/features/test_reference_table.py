"""Reference tables: which transactions and labels they use, and ids that are hashes of the content."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import msgspec
import numpy as np
import pytest

from cardwatch.events import to_epoch_ms
from cardwatch.features.reference_table import MERCHANT_VALUES, PRIOR_TRANSACTIONS, ReferenceBuilder, ReferenceTable

DAY = date(2025, 2, 10)
NOON = datetime(2025, 2, 10, 12, tzinfo=UTC)


def at(days: int, *merchants: int, amount_minor: int = 1_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return transactions of these merchants at noon, `days` from DAY."""
    moment = to_epoch_ms(NOON + timedelta(days=days))
    count = len(merchants)
    return np.array(merchants, np.uint64), np.full(count, moment, np.int64), np.full(count, amount_minor, np.int64)


def add_label(
    builder: ReferenceBuilder, merchant: int, *, happened: int, observed: int, is_fraud: bool = True, name: str = "t"
) -> None:
    """Add a label of a transaction, both days counted from DAY."""
    builder.add_label(
        name,
        merchant,
        is_fraud=is_fraud,
        effective_at=NOON + timedelta(days=happened),
        observed_at=NOON + timedelta(days=observed),
    )


def value(table: ReferenceTable, merchant: int, name: str) -> float:
    return float(table.values[table.merchants.tolist().index(merchant), MERCHANT_VALUES.index(name)])


def test_activity_counts_the_days_before() -> None:
    builder = ReferenceBuilder()
    builder.add_transactions(*at(-1, 5, 5, 9))
    builder.add_transactions(*at(-7, 5, amount_minor=2_000))
    builder.add_transactions(*at(-30, 5, amount_minor=4_000))
    builder.add_transactions(*at(-31, 5))
    builder.add_transactions(*at(0, 5))
    table = builder.build(DAY)
    assert value(table, 5, "count_1d") == 2.0
    assert value(table, 5, "count_7d") == np.float32(3 / 7)
    assert value(table, 5, "count_30d") == np.float32(4 / 30)
    assert value(table, 5, "mean_amount_30d") == 2_000.0  # (1,000 + 1,000 + 2,000 + 4,000) / 4


def test_risk_is_the_fraud_rate_over_the_base_rate_shrunk() -> None:
    # 5: 1 fraud of 100; 9: 0 of 300. Base rate 1 / 400 = 0.0025.
    # 5: (1 + 200 * 0.0025) / (100 + 200) / 0.0025 = 2. 9: (0 + 0.5) / 500 / 0.0025 = 0.4.
    assert PRIOR_TRANSACTIONS == 200
    builder = ReferenceBuilder()
    builder.add_transactions(*at(-3, *[5] * 100, *[9] * 300))
    add_label(builder, 5, happened=-3, observed=-1)
    table = builder.build(DAY)
    for name in ("risk_7d", "risk_30d"):
        assert value(table, 5, name) == pytest.approx(2.0)
        assert value(table, 9, name) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("observed", "windows"), [(-1, "1d 7d 30d"), (-2, "7d 30d"), (-8, "30d"), (-30, "30d"), (-31, "")]
)
def test_fraud_counts_in_the_windows_in_which_it_became_known(observed: int, windows: str) -> None:
    builder = ReferenceBuilder()
    builder.add_transactions(*at(-1, 5, 9))
    add_label(builder, 5, happened=-40, observed=observed)
    table = builder.build(DAY)
    raised = [name for name in ("1d", "7d", "30d") if value(table, 5, f"risk_{name}") > 1.0]
    assert raised == windows.split()


def test_a_label_counts_from_the_day_after_it_was_observed() -> None:
    builder = ReferenceBuilder()
    builder.add_transactions(*at(-3, 5, 9))
    add_label(builder, 5, happened=-3, observed=0)
    assert value(builder.build(DAY), 5, "risk_30d") == pytest.approx(200 / 201)  # none known: shrunk from 0 toward 1
    assert value(builder.build(DAY + timedelta(days=1)), 5, "risk_30d") > 1.0


def test_two_labels_of_one_transaction_count_once_from_the_earlier_one() -> None:
    once, twice = ReferenceBuilder(), ReferenceBuilder()
    for builder in (once, twice):
        builder.add_transactions(*at(-3, 5, 9))
        add_label(builder, 5, happened=-3, observed=-2)
    add_label(twice, 5, happened=-3, observed=-1)
    assert once.build(DAY).table_id == twice.build(DAY).table_id


def test_a_fraud_that_turns_out_to_be_genuine_does_not_count_from_the_next_day() -> None:
    builder = ReferenceBuilder()
    builder.add_transactions(*at(-3, 5, 9))
    add_label(builder, 5, happened=-3, observed=0, is_fraud=False)  # the order of arrival does not matter
    add_label(builder, 5, happened=-3, observed=-1)
    assert value(builder.build(DAY), 5, "risk_30d") > 1.0
    assert value(builder.build(DAY + timedelta(days=1)), 5, "risk_30d") < 1.0


def test_the_order_of_arrival_does_not_matter() -> None:
    tables = []
    for days in ([-1, -2, -3], [-3, -1, -2]):
        builder = ReferenceBuilder()
        for day in days:
            builder.add_transactions(*at(day, 5, 9, 9))
        builder.set_label_position(0, 7)
        tables.append(builder.build(DAY))
    assert tables[0].table_id == tables[1].table_id


def test_the_id_is_the_content_and_survives_storage() -> None:
    builder = ReferenceBuilder()
    builder.add_transactions(*at(-1, 5))
    table = builder.build(DAY)
    restored = ReferenceTable.from_bytes(table.to_bytes())
    assert restored.table_id == table.table_id
    assert restored.valid_from == datetime(2025, 2, 10, tzinfo=UTC)
    builder.set_label_position(0, 1)
    assert builder.build(DAY).table_id != table.table_id


def test_a_table_of_other_values_is_refused() -> None:
    other_values = ReferenceTable.empty().to_bytes().replace(b"risk_1d", b"risk_2d")
    with pytest.raises(msgspec.DecodeError, match=r"it holds .*risk_2d"):
        ReferenceTable.from_bytes(other_values)


def test_without_transactions_the_table_is_empty() -> None:
    assert ReferenceBuilder().build(DAY).values.shape == (0, len(MERCHANT_VALUES))
