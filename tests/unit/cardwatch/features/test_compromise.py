"""Points of compromise, worked out by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pytest

from cardwatch.events import to_epoch_ms
from cardwatch.features.compromise import MIN_CARDS, MIN_COMPROMISE, PRIOR_CARDS
from cardwatch.features.distinct_pairs import count_partners
from cardwatch.features.known_frauds import ReferenceLabel
from cardwatch.features.reference_builder import ReferenceBuilder
from cardwatch.features.reference_days import ROWS, pairs
from cardwatch.features.reference_table import COMPROMISED_SECTION, TableSection

DAY = date(2025, 2, 10)
MIDNIGHT_MS = to_epoch_ms(datetime(2025, 2, 10, tzinfo=UTC))
HOUR_MS = 3_600_000
TERMINAL, GROCER, WEB_SHOP = 2**40 + 11, 2**40 + 12, 2**40 + 13


def compromised(visits: list[tuple[int, int, int]], frauds: list[tuple[int, int, int]]) -> TableSection:
    """Return the section of compromised merchants. Visits and frauds: (card, merchant, hours before DAY)."""
    rows = np.zeros(len(visits), ROWS)
    for row, (card, merchant, hours) in zip(rows, visits, strict=True):
        row["card"], row["merchant"], row["occurred_at_ms"] = card, merchant, MIDNIGHT_MS - hours * HOUR_MS
    builder = ReferenceBuilder()
    builder.add_rows(rows)
    for number, (card, merchant, hours) in enumerate(frauds):
        at_ms = MIDNIGHT_MS - hours * HOUR_MS
        builder.add_label(ReferenceLabel(at_ms + 1, True, at_ms, number + 1, merchant, card))
    return builder.build(DAY).sections[COMPROMISED_SECTION]


def test_a_terminal_whose_cards_see_fraud_elsewhere_stands_out() -> None:
    # The terminal has cards 1 to 4, of which 1 to 3 see fraud at the web shop; the grocer has cards 1 and 11 to 26.
    # Cards per merchant: 4 and 17. Hits: 3 and 1. Expected at the terminal: 4 * 4 / 21; ratio (3 + 1) / (16 / 21 + 1).
    assert (PRIOR_CARDS, MIN_CARDS) == (1.0, 2)
    visits = [(card, TERMINAL, 100) for card in range(1, 5)]
    visits += [(card, GROCER, 90) for card in (1, *range(11, 27))]
    found = compromised(visits, [(card, WEB_SHOP, 20) for card in (1, 2, 3)])
    assert found.hashes.tolist() == [11]  # the low 32 bits
    assert found.values.tolist() == [[pytest.approx(4 / (16 / 21 + 1))]]
    assert found.values[0, 0] >= MIN_COMPROMISE


@pytest.mark.parametrize(
    ("visited_hours_before", "fraud_at"),
    [(10, WEB_SHOP), (100, TERMINAL)],
    ids=["the visits came after the fraud", "the fraud was at the terminal itself"],
)
def test_only_later_fraud_elsewhere_counts(visited_hours_before: int, fraud_at: int) -> None:
    visits = [(card, TERMINAL, visited_hours_before) for card in range(1, 5)]
    visits += [(card, GROCER, 90) for card in range(11, 31)]
    assert not len(compromised(visits, [(card, fraud_at, 20) for card in (1, 2, 3)]).hashes)


def test_one_card_proves_no_common_point() -> None:
    visits = [(1, TERMINAL, 100), *((card, GROCER, 90) for card in range(11, 31))]
    assert not len(compromised(visits, [(1, WEB_SHOP, 20)]).hashes)


def test_repeated_visits_of_a_card_count_once() -> None:
    once = [(card, TERMINAL, 100) for card in (1, 2)] + [(card, GROCER, 90) for card in range(11, 31)]
    often = once + [(card, TERMINAL, hours) for card in (1, 2) for hours in (95, 71, 50)]
    frauds = [(card, WEB_SHOP, 20) for card in (1, 2)]
    assert compromised(once, frauds).values.tolist() == compromised(often, frauds).values.tolist()


def test_partners_are_counted_once_over_all_parts() -> None:
    first, second = np.array([1, 1, 2, 9], np.uint64), np.array([7, 8, 7, 7], np.uint64)
    parts = [
        pairs(first, second),
        pairs(first[:3], second[:3]),
        pairs(np.array([2], np.uint64), np.array([0], np.uint64)),
    ]
    assert count_partners(parts, np.array([1, 2, 3], np.uint64)).tolist() == [2, 2, 0]
    assert count_partners([], np.array([1], np.uint64)).tolist() == [0]
