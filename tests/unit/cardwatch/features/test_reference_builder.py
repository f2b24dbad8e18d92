"""Building reference tables: which transactions and labels count, and what the sections say, worked out by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from cardwatch.events import to_epoch_ms
from cardwatch.features.known_frauds import ReferenceLabel
from cardwatch.features.reference_builder import ReferenceBuilder
from cardwatch.features.reference_days import ROWS
from cardwatch.features.reference_statistics import PRIOR_TRANSACTIONS
from cardwatch.features.reference_table import (
    DEVICE_SECTION,
    MERCHANT_SECTION,
    ReferenceTable,
)

DAY = date(2025, 2, 10)
NOON_MS = to_epoch_ms(datetime(2025, 2, 10, 12, tzinfo=UTC))
DAY_MS = 86_400_000


def pay(builder: ReferenceBuilder, days: int, merchant: int, count: int = 1, **fields: int) -> None:
    """Add transactions at noon, `days` from DAY."""
    rows = np.zeros(count, ROWS)
    rows["occurred_at_ms"], rows["merchant"], rows["card"] = NOON_MS + days * DAY_MS, merchant, 1
    rows["amount_minor"] = 1_000
    for name, value in fields.items():
        rows[name] = value
    builder.add_rows(rows)


def report(
    builder: ReferenceBuilder,
    merchant: int,
    *,
    happened: int,
    observed: int,
    transaction: int = 1,
    card: int = 1,
    is_fraud: bool = True,
) -> None:
    """Add a label of a transaction, both days counted from DAY."""
    times = NOON_MS + observed * DAY_MS, NOON_MS + happened * DAY_MS
    builder.add_label(ReferenceLabel(times[0], is_fraud, times[1], transaction, merchant, card))


def value(table: ReferenceTable, merchant: int, name: str) -> float:
    found = table.value(MERCHANT_SECTION, merchant, name)
    assert found is not None
    return found


def test_activity_counts_the_days_before() -> None:
    builder = ReferenceBuilder()
    pay(builder, -1, 5, count=2)
    pay(builder, -1, 9)
    pay(builder, -7, 5, amount_minor=2_000)
    pay(builder, -30, 5, amount_minor=4_000)
    pay(builder, -31, 5)
    pay(builder, 0, 5)
    table = builder.build(DAY)
    assert value(table, 5, "count_1d") == 2.0
    assert value(table, 5, "count_7d") == np.float32(3 / 7)
    assert value(table, 5, "count_30d") == np.float32(4 / 30)
    assert value(table, 5, "mean_amount_30d") == 2_000.0  # (1,000 + 1,000 + 2,000 + 4,000) / 4


def test_risk_is_the_fraud_rate_over_the_base_rate_shrunk() -> None:
    # 5: 1 fraud of 10; 9: 0 of 30. Base rate 1 / 40 = 0.025.
    # 5: (1 + 20 * 0.025) / (10 + 20) / 0.025 = 2. 9: (0 + 0.5) / 50 / 0.025 = 0.4.
    assert PRIOR_TRANSACTIONS == 20
    builder = ReferenceBuilder()
    pay(builder, -8, 5, count=10)
    pay(builder, -8, 9, count=30)
    report(builder, 5, happened=-8, observed=-1)
    table = builder.build(DAY)
    for name in ("risk_7d", "risk_30d"):
        assert value(table, 5, name) == pytest.approx(2.0)
        assert value(table, 9, name) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("happened", "windows"),
    [(-1, "recent"), (-5, "recent"), (-6, "7d 30d"), (-12, "7d 30d"), (-13, "30d"), (-35, "30d")],
)
def test_fraud_counts_in_the_window_of_its_day_and_newest_days_are_apart(happened: int, windows: str) -> None:
    builder = ReferenceBuilder(maturity_days=5)
    for merchant in (5, 9):
        pay(builder, happened, merchant)
    report(builder, 5, happened=happened, observed=-1)
    table = builder.build(DAY)
    raised = [name for name in ("recent", "7d", "30d") if value(table, 5, f"risk_{name}") > 1.0]
    assert raised == windows.split()


def test_fraud_older_than_the_windows_does_not_count() -> None:
    builder = ReferenceBuilder()
    pay(builder, -1, 5)
    pay(builder, -36, 5)
    report(builder, 5, happened=-36, observed=-1)
    table = builder.build(DAY)
    assert value(table, 5, "fraud_cards") == 0.0
    assert np.isnan(value(table, 5, "days_since_fraud"))


def test_a_label_counts_from_the_day_after_it_was_observed() -> None:
    builder = ReferenceBuilder()
    for merchant in (5, 9):
        pay(builder, -8, merchant)
    report(builder, 5, happened=-8, observed=0)
    assert value(builder.build(DAY), 5, "risk_30d") == pytest.approx(20 / 21)  # none known: shrunk from 0 toward 1
    assert value(builder.build(DAY + timedelta(days=1)), 5, "risk_30d") > 1.0


def test_two_labels_of_one_transaction_count_once() -> None:
    once, twice = ReferenceBuilder(), ReferenceBuilder()
    for builder in (once, twice):
        pay(builder, -3, 5)
        report(builder, 5, happened=-3, observed=-2)
    report(twice, 5, happened=-3, observed=-1)
    assert once.build(DAY).table_id == twice.build(DAY).table_id


def test_a_fraud_that_turns_out_to_be_genuine_does_not_count_from_the_next_day() -> None:
    builder = ReferenceBuilder()
    for merchant in (5, 9):
        pay(builder, -8, merchant)
    report(builder, 5, happened=-8, observed=0, is_fraud=False)  # the order of arrival does not matter
    report(builder, 5, happened=-8, observed=-1)
    assert value(builder.build(DAY), 5, "risk_30d") > 1.0
    assert value(builder.build(DAY + timedelta(days=1)), 5, "risk_30d") < 1.0


def test_days_since_fraud_and_cards_with_fraud_describe_the_known_frauds() -> None:
    builder = ReferenceBuilder()
    for days in (-9, -4, -2):
        pay(builder, days, 5)
    report(builder, 5, happened=-9, observed=-1, transaction=1, card=1)
    report(builder, 5, happened=-4, observed=-1, transaction=2, card=2)
    report(builder, 5, happened=-4, observed=-1, transaction=3, card=2)
    table = builder.build(DAY)
    assert value(table, 5, "days_since_fraud") == 4.0
    assert value(table, 5, "fraud_cards") == 2.0


def test_a_run_of_fraud_goes_back_to_the_last_day_that_was_mostly_genuine() -> None:
    # Days with complete labels: -14 half genuine, -12 two frauds, -9 two of three. Day -3: incomplete, without fraud.
    builder = ReferenceBuilder(maturity_days=5)
    for number, (days, frauds, genuine) in enumerate([(-15, 1, 0), (-14, 1, 1), (-12, 2, 0), (-9, 2, 1), (-3, 0, 1)]):
        for part in range(frauds + genuine):
            pay(builder, days, 5, transaction=10 * number + part)
            if part < frauds:
                report(builder, 5, happened=days, observed=-1, transaction=10 * number + part)
    table = builder.build(DAY)
    assert value(table, 5, "fraud_run") == 4.0
    assert value(table, 5, "fraud_run_days") == 12.0


def test_frauds_of_cards_that_have_fraud_at_another_merchant_too_are_not_local_to_a_run() -> None:
    # Merchant 5: card 1 twice, card 2 once, and card 3, which has fraud at merchant 6 as well.
    builder = ReferenceBuilder(maturity_days=5)
    frauds = [(5, 1, -9), (5, 1, -8), (5, 2, -7), (5, 3, -2), (6, 3, -2)]
    for transaction, (merchant, card, days) in enumerate(frauds):
        pay(builder, days, merchant, transaction=transaction, card=card)
        report(builder, merchant, happened=days, observed=-1, transaction=transaction, card=card)
    table = builder.build(DAY)
    assert (value(table, 5, "fraud_run"), value(table, 5, "fraud_run_local")) == (4.0, 3.0)
    assert (value(table, 6, "fraud_run"), value(table, 6, "fraud_run_local")) == (1.0, 0.0)


def test_a_genuine_day_with_complete_labels_ends_the_run() -> None:
    builder = ReferenceBuilder(maturity_days=5)
    for days in (-8, -6):
        pay(builder, days, 5)
    report(builder, 5, happened=-8, observed=-1)
    table = builder.build(DAY)
    assert (value(table, 5, "fraud_run"), value(table, 5, "fraud_run_days")) == (0.0, 0.0)


def test_a_device_has_its_cards_its_known_fraud_and_its_age() -> None:
    builder = ReferenceBuilder()
    pay(builder, -6, 5, device=70, card=1)
    pay(builder, -1, 5, device=70, card=2, transaction=8)
    pay(builder, -1, 6, device=70, card=2, transaction=9)
    pay(builder, -1, 6, device=71, card=3)
    pay(builder, -1, 6, card=4)  # names no device
    report(builder, 6, happened=-1, observed=-1, transaction=9, card=2)
    devices = builder.build(DAY).sections[DEVICE_SECTION]
    assert devices.hashes.tolist() == [70, 71]
    assert devices.values.tolist() == [[2, 1, 2, 1, 6], [1, 0, 1, 1, 1]]  # cards, frauds, count_1d, cards_1d, age


def test_fraud_of_a_transaction_that_is_not_there_counts_for_no_device() -> None:
    builder = ReferenceBuilder()
    pay(builder, -1, 5, device=70, transaction=8)
    report(builder, 5, happened=-1, observed=-1, transaction=9)
    table = builder.build(DAY)
    assert table.value(DEVICE_SECTION, 70, "frauds") == 0.0
    assert value(table, 5, "fraud_cards") == 1.0  # a label names its merchant itself


def test_the_order_of_arrival_does_not_matter() -> None:
    tables = []
    for days in ([-1, -2, -3], [-3, -1, -2]):
        builder = ReferenceBuilder()
        for day in days:
            pay(builder, day, 5, device=1)
            pay(builder, day, 9, count=2, device=day + 9)
        builder.set_label_position(0, 7)
        tables.append(builder.build(DAY))
    assert tables[0].table_id == tables[1].table_id


def test_a_late_transaction_counts_in_the_next_table() -> None:
    builder = ReferenceBuilder()
    pay(builder, -1, 5)
    builder.build(DAY)
    pay(builder, -1, 5)
    assert value(builder.build(DAY + timedelta(days=1)), 5, "count_7d") == np.float32(2 / 7)


def test_without_transactions_the_table_is_empty() -> None:
    assert [len(section.hashes) for section in ReferenceBuilder().build(DAY).sections] == [0] * 3
