"""The kernel by hand-made examples: each expectation is derived in the comment or is plain arithmetic."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import numpy as np
import pytest

from cardwatch.events import Channel, Outcome, Transaction
from cardwatch.features.columns import encode, identity_hash
from cardwatch.features.kernel import Folded, fold
from cardwatch.features.reference import ReferenceTable
from cardwatch.features.state import STATE, empty_states
from cardwatch.features.table import FEATURES, column

MONDAY_NOON = datetime(2025, 1, 6, 12, 0, tzinfo=UTC)
_ids = count()


def paying(after: timedelta = timedelta(0), **fields: Any) -> Transaction:
    """A transaction of the one card of these tests, `after` Monday noon."""
    ordinary: dict[str, Any] = {
        "transaction_id": f"t-{next(_ids)}",
        "card_id": "card",
        "merchant_id": "m-1",
        "occurred_at": MONDAY_NOON + after,
        "amount_minor": 1_000,
        "currency": "EUR",
        "merchant_category": "5411",
        "channel": Channel.CHIP,
        "country": "DE",
    }
    return Transaction(**{**ordinary, **fields})


def folding(*transactions: Transaction, table: ReferenceTable | None = None) -> tuple[Folded, np.void]:
    """Fold these into a new card; the results and the state after them."""
    states = empty_states(1)
    index = np.zeros(len(transactions), np.int64)
    return fold(states, index, encode(transactions), table or ReferenceTable.empty()), states[0]


def last(folded: Folded, name: str) -> float:
    """A feature of the last transaction."""
    return float(folded.features[-1, column(name)])


def test_a_state_is_at_most_2_kb() -> None:
    assert STATE.itemsize <= 2048


def test_a_first_transaction_has_no_history_to_compare_with() -> None:
    folded, state = folding(paying())
    for name in ("amount_to_mean", "amount_zscore", "seconds_since_last", "hour_habit", "merchant_is_new"):
        assert np.isnan(last(folded, name)), name
    assert last(folded, "amount") == 10.0
    assert last(folded, "count_24h") == 0.0
    assert state["sequence"] == 1


def test_amount_is_compared_with_the_history_before_it() -> None:
    # Before: 10, 20, 30 -> mean 20, largest 30, standard deviation 10. Now 50: (50 - 20) / 10 = 3.
    folded, _ = folding(*(paying(amount_minor=amount) for amount in (1_000, 2_000, 3_000, 5_000)))
    assert last(folded, "amount_to_mean") == 2.5
    assert last(folded, "amount_to_max") == np.float32(5 / 3)
    assert last(folded, "amount_zscore") == pytest.approx(3.0)


def test_a_card_that_only_ever_paid_zero_has_no_ratio() -> None:
    folded, _ = folding(paying(amount_minor=0), paying(amount_minor=500))
    assert np.isnan(last(folded, "amount_to_mean"))
    assert np.isnan(last(folded, "amount_to_max"))


@pytest.mark.parametrize(
    ("minutes_later", "counted"),
    [
        (0, 1),
        (55, 1),  # noon is in the tile 12:00 to 12:05; at 12:55 the 12 tiles reach back to 12:00
        (59, 1),
        (60, 0),  # at 13:00 they reach back to 12:05
    ],
)
def test_an_hour_is_the_current_tile_of_five_minutes_and_eleven_before(minutes_later: int, counted: int) -> None:
    folded, _ = folding(paying(), paying(timedelta(minutes=minutes_later)))
    assert last(folded, "count_1h") == counted


@pytest.mark.parametrize(("hours_later", "counted"), [(23, 1), (24, 0)])
def test_a_day_is_the_current_hour_and_twenty_three_before(hours_later: int, counted: int) -> None:
    folded, _ = folding(paying(), paying(timedelta(hours=hours_later)))
    assert last(folded, "count_24h") == counted
    assert last(folded, "amount_24h") == 10.0 * counted


def test_windows_are_empty_after_a_long_silence() -> None:
    folded, _ = folding(paying(), paying(), paying(timedelta(days=400)))
    assert [last(folded, name) for name in ("count_1h", "count_24h", "count_7d", "amount_7d")] == [0, 0, 0, 0]
    assert np.isnan(last(folded, "count_24h_to_7d"))


def test_small_amounts_and_declines_are_counted_apart() -> None:
    folded, _ = folding(
        paying(amount_minor=299),
        paying(amount_minor=300, previous_outcome=Outcome.DECLINED),
        paying(previous_outcome=Outcome.APPROVED),
    )
    assert last(folded, "small_count_1h") == 1
    assert last(folded, "declined_count_24h") == 1
    assert last(folded, "previous_declined") == 0.0


def test_hour_and_weekday_are_utc_and_monday_is_zero() -> None:
    folded, _ = folding(paying(timedelta(days=6, hours=11)))
    assert (last(folded, "hour_of_day"), last(folded, "weekday")) == (23, 6)


def test_the_hour_habit_takes_in_the_neighbouring_hours() -> None:
    # Before: 11:00, 13:00 and 18:00. Near 12:00 are two of three.
    before = [paying(timedelta(hours=hours)) for hours in (-1, 1, 6)]
    folded, _ = folding(*before, paying(timedelta(days=1)))
    assert last(folded, "hour_habit") == np.float32(2 / 3)


def test_speed_is_distance_over_time_since_the_last_place() -> None:
    # One degree of latitude is 111.19 km; two hours later that is 55.6 km/h.
    folded, _ = folding(
        paying(latitude=50.0, longitude=10.0), paying(timedelta(hours=2), latitude=51.0, longitude=10.0)
    )
    assert last(folded, "distance_from_last_km") == pytest.approx(111.19, abs=0.01)
    assert last(folded, "speed_from_last_kmh") == pytest.approx(55.60, abs=0.01)


def test_distance_is_right_along_a_parallel_and_across_the_date_line() -> None:
    # Berlin to Paris: 878 km by the great circle; the equirectangular one is within 1 %.
    folded, _ = folding(paying(latitude=52.52, longitude=13.405), paying(latitude=48.857, longitude=2.352))
    assert last(folded, "distance_from_last_km") == pytest.approx(878, rel=0.01)
    folded, _ = folding(paying(latitude=0.0, longitude=179.5), paying(latitude=0.0, longitude=-179.5))
    assert last(folded, "distance_from_last_km") == pytest.approx(111.19, abs=0.01)


def test_a_transaction_without_a_place_has_no_distance_and_leaves_the_last_place() -> None:
    here = {"latitude": 50.0, "longitude": 10.0}
    folded, _ = folding(paying(**here), paying(channel=Channel.ECOMMERCE), paying(**here))
    assert np.isnan(folded.features[1, column("distance_from_last_km")])
    assert last(folded, "distance_from_last_km") == 0.0


def test_what_was_never_seen_is_new_once() -> None:
    other = {"merchant_id": "m-2", "merchant_category": "7995", "country": "FR", "device_id": "d-2"}
    folded, _ = folding(paying(device_id="d-1"), paying(**other), paying(**other))
    names = ("merchant_is_new", "category_is_new", "country_is_new", "device_is_new")
    assert [folded.features[1, column(name)] for name in names] == [1, 1, 1, 1]
    assert [folded.features[2, column(name)] for name in names] == [0, 0, 0, 0]


def test_a_merchant_is_forgotten_when_32_others_came_after_it() -> None:
    others = [paying(merchant_id=f"other-{i}") for i in range(32)]
    folded, _ = folding(paying(), *others[:31], paying())
    assert last(folded, "merchant_is_new") == 0
    folded, _ = folding(paying(), *others, paying())
    assert last(folded, "merchant_is_new") == 1


def test_a_repeated_transaction_changes_nothing_and_has_no_features() -> None:
    repeated = paying()
    _, once = folding(repeated, paying(transaction_id="next"))
    folded, twice = folding(repeated, paying(transaction_id="next"), repeated)
    assert folded.duplicates.tolist() == [False, False, True]
    assert np.isnan(folded.features[2]).all()
    assert once.tobytes() == twice.tobytes()


def test_the_last_sixteen_ids_are_remembered() -> None:
    repeated = paying()
    folded, _ = folding(repeated, *(paying() for _ in range(15)), repeated)
    assert folded.duplicates[-1]
    folded, _ = folding(repeated, *(paying() for _ in range(16)), repeated)
    assert not folded.duplicates[-1]


def test_a_late_event_counts_in_the_window_of_the_latest_time() -> None:
    folded, state = folding(paying(timedelta(hours=3)), paying(), paying(timedelta(hours=3)))
    assert folded.features[1, column("seconds_since_last")] == 0.0
    assert folded.features[1, column("hour_of_day")] == 12
    assert last(folded, "count_1h") == 2
    assert state["last_at_ms"] == int((MONDAY_NOON + timedelta(hours=3)).timestamp() * 1000)


def test_sequence_counts_what_was_folded_before() -> None:
    folded, state = folding(paying(), paying(), paying())
    assert folded.sequences.tolist() == [0, 1, 2]
    assert state["sequence"] == 3


def test_a_merchant_in_the_table_has_its_values_and_another_the_neutral_ones() -> None:
    table = ReferenceTable(0, np.array([identity_hash("m-1")], np.uint64), np.array([[5.0, 6.0, 7.0, 8.0]], np.float32))
    names = ("merchant_risk_30d", "merchant_count_1d", "merchant_count_7d", "merchant_count_30d")
    folded, _ = folding(paying(), paying(merchant_id="unknown"), table=table)
    assert [folded.features[0, column(name)] for name in names] == [5, 6, 7, 8]
    assert [folded.features[1, column(name)] for name in names] == [1, 0, 0, 0]


@pytest.mark.parametrize(("code", "channel"), list(enumerate(Channel)))
def test_exactly_one_channel_is_set(code: int, channel: Channel) -> None:
    folded, _ = folding(paying(channel=channel))
    first = column("is_chip")
    assert folded.features[0, first : first + 6].tolist() == [float(code == i) for i in range(6)]
    assert FEATURES[first + code].name == f"is_{channel.value}"
