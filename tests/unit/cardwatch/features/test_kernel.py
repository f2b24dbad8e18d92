"""The kernel on small examples: each expectation is derived by hand, in a comment or from the values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import numpy as np
import pytest

from cardwatch.events import AuthorizationOutcome, Channel, Transaction
from cardwatch.features.columns import encode
from cardwatch.features.definitions import FEATURES, column
from cardwatch.features.hashing import identity_hash
from cardwatch.features.kernel import FoldedRows, fold
from cardwatch.features.reference_table import (
    COMPROMISED_SECTION,
    DEVICE_SECTION,
    MERCHANT_VALUES,
    ReferenceTable,
    TableSection,
)
from cardwatch.features.state import STATE, empty_states

MONDAY_NOON = datetime(2025, 1, 6, 12, 0, tzinfo=UTC)
_ids = count()


def paying(after: timedelta = timedelta(0), **fields: Any) -> Transaction:
    """Return a transaction of the tests' card, `after` Monday noon."""
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


def folding(*transactions: Transaction, table: ReferenceTable | None = None) -> tuple[FoldedRows, np.void]:
    """Fold these transactions into a new card; return the result and the state after them."""
    states = empty_states(1)
    index = np.zeros(len(transactions), np.int64)
    return fold(states, index, encode(transactions), table or ReferenceTable.empty()), states[0]


def last(folded: FoldedRows, name: str) -> float:
    """Return a feature of the last transaction."""
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
    ("window", "within", "beyond"),
    [
        # Noon begins a tile of 1 and of 6 minutes: the window reaches back to noon for ten tiles less 1 ms.
        ("10m", timedelta(minutes=10, milliseconds=-1), timedelta(minutes=10)),
        ("1h", timedelta(hours=1, milliseconds=-1), timedelta(hours=1)),
        # Tiles of 2.4 h begin at 00:00, ..., 12:00: the same.
        ("24h", timedelta(hours=24, milliseconds=-1), timedelta(hours=24)),
        # Tiles of 16.8 h since 1970: noon is hour 482,268 = 28,706 * 16.8 + 7.2, so 7.2 h into one.
        ("7d", timedelta(days=7, hours=-7.2, milliseconds=-1), timedelta(days=7, hours=-7.2)),
        # Tiles of 3 d since 1970: 6 January 2025 is day 20,094 = 3 * 6,698, so noon is 12 h into one.
        ("30d", timedelta(days=30, hours=-12, milliseconds=-1), timedelta(days=30, hours=-12)),
    ],
)
def test_a_window_is_the_current_tile_and_nine_before(window: str, within: timedelta, beyond: timedelta) -> None:
    folded, _ = folding(paying(), paying(within))
    assert (last(folded, f"count_{window}"), last(folded, f"amount_{window}")) == (1, 10.0)
    folded, _ = folding(paying(), paying(beyond))
    assert (last(folded, f"count_{window}"), last(folded, f"amount_{window}")) == (0, 0.0)


def test_windows_are_empty_after_a_long_silence() -> None:
    folded, _ = folding(paying(), paying(), paying(timedelta(days=300)))
    names = [f"{what}_{window}" for what in ("count", "amount") for window in ("10m", "1h", "24h", "7d", "30d")]
    assert [last(folded, name) for name in names] == [0] * 10
    assert np.isnan(last(folded, "count_24h_to_7d"))
    assert np.isnan(last(folded, "amount_to_mean_30d"))
    assert last(folded, "amount_to_mean") == 1.0  # habits have no time limit


def test_a_card_without_a_transaction_for_a_year_is_new_again() -> None:
    year = timedelta(days=365)
    folded, state = folding(paying(), paying(year))
    assert folded.sequences.tolist() == [0, 1]
    again = paying(2 * year + timedelta(milliseconds=1))
    folded, state = folding(paying(), paying(year), again)
    assert folded.sequences.tolist() == [0, 1, 0]
    assert state.tobytes() == folding(again)[1].tobytes()


def test_shares_compare_the_last_day_with_the_week_and_the_month() -> None:
    # 3 days before: one of 10. 1 hour before: one of 30. Of the week's two one, of the month's 40 30.
    folded, _ = folding(paying(), paying(timedelta(days=3), amount_minor=3_000), paying(timedelta(days=3, hours=1)))
    assert last(folded, "count_24h_to_7d") == 0.5
    assert last(folded, "amount_24h_to_30d") == 0.75


def test_channels_are_counted_separately_and_add_up() -> None:
    channels = [Channel.ECOMMERCE, Channel.RECURRING, Channel.ATM, Channel.CHIP, Channel.CONTACTLESS, Channel.SWIPE]
    folded, _ = folding(
        *(paying(channel=channel, amount_minor=100 << position) for position, channel in enumerate(channels)), paying()
    )
    assert [last(folded, f"{kind}_count_24h") for kind in ("remote", "cash", "present")] == [2, 1, 3]
    assert [last(folded, f"{kind}_amount_24h") for kind in ("remote", "cash", "present")] == [1 + 2, 4, 8 + 16 + 32]
    assert last(folded, "remote_count_1h") == 2
    folded, _ = folding(paying(channel=Channel.ECOMMERCE), paying(timedelta(hours=2)))
    assert (last(folded, "remote_count_1h"), last(folded, "remote_count_24h")) == (0, 1)


def test_a_large_amount_after_small_ones_is_visible() -> None:
    folded, _ = folding(
        paying(amount_minor=299), paying(timedelta(minutes=2), amount_minor=100), paying(timedelta(minutes=5))
    )
    assert last(folded, "small_count_1h") == 2
    assert last(folded, "seconds_since_small") == 180
    assert last(folded, "amount_to_previous") == 10.0


@pytest.mark.parametrize(
    ("amount_minor", "is_whole", "zeros"), [(0, 1, 0), (1, 0, 0), (50, 0, 1), (1_200, 1, 2), (10**12, 1, 12)]
)
def test_round_amounts_are_described_by_their_zeros(amount_minor: int, is_whole: int, zeros: int) -> None:
    folded, _ = folding(paying(amount_minor=amount_minor))
    assert (last(folded, "amount_is_whole"), last(folded, "amount_zeros")) == (is_whole, zeros)


def test_small_amounts_and_declines_are_counted_separately() -> None:
    folded, _ = folding(
        paying(amount_minor=299),
        paying(amount_minor=300, previous_outcome=AuthorizationOutcome.DECLINED),
        paying(previous_outcome=AuthorizationOutcome.APPROVED),
    )
    assert last(folded, "small_count_1h") == 1
    assert last(folded, "declined_count_24h") == 1
    assert last(folded, "previous_declined") == 0.0
    folded, _ = folding(paying(previous_outcome=AuthorizationOutcome.DECLINED), paying(timedelta(minutes=3)))
    assert last(folded, "seconds_since_declined") == 180


def test_hour_and_weekday_are_utc_and_monday_is_zero() -> None:
    folded, _ = folding(paying(timedelta(days=6, hours=11)))
    assert (last(folded, "hour_of_day"), last(folded, "weekday")) == (23, 6)


def test_the_hour_habit_takes_in_the_neighbouring_hours() -> None:
    # Before: 11:00, 13:00 and 18:00. Near 12:00 are two of three.
    before = [paying(timedelta(hours=hours)) for hours in (-1, 1, 6)]
    folded, _ = folding(*before, paying(timedelta(days=1)))
    assert last(folded, "hour_habit") == np.float32(2 / 3)


def test_the_weekday_habit_is_the_share_of_this_day() -> None:
    # Before: Monday, Monday, Tuesday. On the next Monday two of three.
    before = [paying(), paying(timedelta(hours=1)), paying(timedelta(days=1))]
    folded, _ = folding(*before, paying(timedelta(days=7)))
    assert last(folded, "weekday_habit") == np.float32(2 / 3)


def test_the_gap_is_compared_with_the_mean_gap() -> None:
    # Before: at 0, 1 and 4 hours, so two gaps of 2 hours on average. Now 6 hours later.
    folded, _ = folding(*(paying(timedelta(hours=hours)) for hours in (0, 1, 4, 10)))
    assert last(folded, "seconds_since_last") == 6 * 3600
    assert last(folded, "gap_to_mean") == 3.0


def test_history_is_counted_up_to_its_caps() -> None:
    folded, _ = folding(paying(), paying(timedelta(days=12)), *(paying(timedelta(days=40)) for _ in range(60)))
    lengths, days = (folded.features[:, column(name)] for name in ("history_length", "history_days"))
    assert (lengths[1], days[1]) == (1, 12)
    assert (lengths[-1], days[-1]) == (50, 30)


def test_speed_is_distance_over_time_since_the_last_place() -> None:
    # One degree of latitude is 111.19 km; two hours later that is 55.6 km/h.
    folded, _ = folding(
        paying(latitude=50.0, longitude=10.0), paying(timedelta(hours=2), latitude=51.0, longitude=10.0)
    )
    assert last(folded, "distance_from_last_km") == pytest.approx(111.19, abs=0.01)
    assert last(folded, "speed_from_last_kmh") == pytest.approx(55.60, abs=0.01)


def test_the_mean_place_is_correct_across_the_date_line() -> None:
    at = [{"latitude": 0.0, "longitude": longitude} for longitude in (179.0, -179.0, 180.0)]
    folded, _ = folding(*(paying(**place) for place in at))
    assert last(folded, "distance_from_usual_km") == pytest.approx(0.0, abs=1e-9)


def test_distance_is_right_along_a_parallel_and_across_the_date_line() -> None:
    # Berlin to Paris: 878 km by the great circle; the equirectangular one is within 1 %.
    folded, _ = folding(paying(latitude=52.52, longitude=13.405), paying(latitude=48.857, longitude=2.352))
    assert last(folded, "distance_from_last_km") == pytest.approx(878, rel=0.01)
    folded, _ = folding(paying(latitude=0.0, longitude=179.5), paying(latitude=0.0, longitude=-179.5))
    assert last(folded, "distance_from_last_km") == pytest.approx(111.19, abs=0.01)


def test_a_transaction_without_a_place_has_no_distance_and_keeps_the_last_place() -> None:
    here = {"latitude": 50.0, "longitude": 10.0}
    folded, _ = folding(paying(**here), paying(channel=Channel.ECOMMERCE), paying(**here))
    assert np.isnan(folded.features[1, column("distance_from_last_km")])
    assert last(folded, "distance_from_last_km") == 0.0


def test_an_unknown_value_is_new_once() -> None:
    other = {"merchant_id": "m-2", "merchant_category": "7995", "country": "FR", "device_id": "d-2"}
    folded, _ = folding(paying(device_id="d-1"), paying(**other), paying(**other))
    names = ("merchant_is_new", "category_is_new", "country_is_new", "device_is_new")
    assert [folded.features[1, column(name)] for name in names] == [1, 1, 1, 1]
    assert [folded.features[2, column(name)] for name in names] == [0, 0, 0, 0]


def test_the_age_of_a_known_value_counts_from_its_last_use() -> None:
    folded, _ = folding(paying(device_id="d"), paying(timedelta(days=5), device_id="d"))
    names = ("days_since_merchant", "days_since_category", "days_since_country", "days_since_device")
    assert [last(folded, name) for name in names] == [5, 5, 5, 5]
    folded, _ = folding(paying(), paying(merchant_id="m-2"))
    assert np.isnan(last(folded, "days_since_merchant"))


@pytest.mark.parametrize(
    ("field", "name", "kept"),
    [
        ("merchant_id", "merchant", 32),
        ("device_id", "device", 8),
        ("merchant_category", "category", 16),
        ("country", "country", 12),
    ],
)
def test_the_values_used_last_are_stored(field: str, name: str, kept: int) -> None:
    def using(number: int, day: int) -> Transaction:
        value = {"merchant_category": f"{number:04d}", "country": "A" + chr(65 + number)}.get(field, f"n-{number}")
        return paying(timedelta(days=day), **{field: value})

    # Number 0 is used again on the second day, so the newest value replaces number 1.
    known = [using(number, 0) for number in range(kept)] + [using(0, 1), using(kept, 2)]
    folded, _ = folding(*known, using(0, 3))
    assert last(folded, f"{name}_is_new") == 0
    folded, _ = folding(*known, using(1, 3))
    assert last(folded, f"{name}_is_new") == 1


def test_new_merchants_are_counted() -> None:
    folded, _ = folding(paying(), paying(), paying(merchant_id="m-2"), paying(timedelta(hours=5)))
    assert last(folded, "new_merchant_count_24h") == 2


def test_a_duplicate_changes_nothing_and_has_no_features() -> None:
    repeated = paying()
    _, once = folding(repeated, paying(transaction_id="next"))
    folded, twice = folding(repeated, paying(transaction_id="next"), repeated)
    assert folded.duplicates.tolist() == [False, False, True]
    assert np.isnan(folded.features[2]).all()
    assert once.tobytes() == twice.tobytes()


def test_duplicates_are_detected_among_the_last_sixteen_ids() -> None:
    repeated = paying()
    folded, _ = folding(repeated, *(paying() for _ in range(15)), repeated)
    assert folded.duplicates[-1]
    folded, _ = folding(repeated, *(paying() for _ in range(16)), repeated)
    assert not folded.duplicates[-1]


def test_a_late_event_sees_the_latest_time_and_counts_in_its_own() -> None:
    three = timedelta(hours=3)
    folded, state = folding(paying(three), paying(), paying(three), paying(three))
    assert folded.features[1, column("seconds_since_last")] == 0.0
    assert folded.features[1, column("hour_of_day")] == 12
    assert folded.features[1, column("count_1h")] == 1  # the one at 15:00, though this one is of 12:00
    assert (last(folded, "count_1h"), last(folded, "count_24h")) == (2, 3)  # 12:00 is not in the hour before 15:00
    assert state["last_at_ms"] == int((MONDAY_NOON + three).timestamp() * 1000)


def test_an_event_too_late_for_every_window_counts_in_the_history() -> None:
    folded, state = folding(paying(timedelta(days=60)), paying(), paying(timedelta(days=60)))
    assert (last(folded, "count_30d"), last(folded, "history_length"), last(folded, "history_days")) == (1, 2, 30)
    assert state["sequence"] == 3


def test_late_events_leave_the_same_windows_as_punctual_ones() -> None:
    # One source's clock is two minutes behind the other's.
    events = [paying(timedelta(seconds=30 * i), amount_minor=100 + i) for i in range(30)]
    skewed = sorted(events, key=lambda event: int(event.amount_minor) % 2 * 240 + event.occurred_at.timestamp())
    assert skewed != events
    _, punctual = folding(*events)
    _, late = folding(*skewed)
    for name in ("window_count", "window_amount", "tile_count", "tile_amount", "hours", "last_at_ms", "first_at_ms"):
        assert np.array_equal(punctual[name], late[name]), name


def test_a_late_event_has_the_same_speed_as_an_early_one() -> None:
    # One degree of latitude is 111.19 km: an hour apart in either order, 111.19 km/h.
    there, here = {"latitude": 51.0, "longitude": 10.0}, {"latitude": 50.0, "longitude": 10.0}
    folded, state = folding(paying(timedelta(hours=1), **there), paying(**here))
    assert last(folded, "speed_from_last_kmh") == pytest.approx(111.19, abs=0.01)
    assert state["last_latitude"] == 51.0  # the latest place by event time


def test_a_clock_ahead_affects_only_its_card_until_the_other_events_reach_its_time() -> None:
    ahead = timedelta(days=2)
    folded, _ = folding(paying(ahead), *(paying(timedelta(minutes=i)) for i in range(3)), paying(ahead))
    assert last(folded, "count_24h") == 1  # the three were late, and of another day
    assert last(folded, "count_7d") == 4


def test_sequence_counts_what_was_folded_before() -> None:
    folded, state = folding(paying(), paying(), paying())
    assert folded.sequences.tolist() == [0, 1, 2]
    assert state["sequence"] == 3


def test_a_merchant_in_the_table_has_its_values_and_an_unknown_one_neutral_values() -> None:
    known = np.array([[2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 500.0]], np.float32)
    table = ReferenceTable.of_merchants(0, np.array([identity_hash("m-1")], np.uint64), known)
    folded, _ = folding(paying(), paying(merchant_id="unknown"), table=table)
    first = column("merchant_risk_recent")
    assert folded.features[0, first : first + 11].tolist() == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    unknown = dict(zip(MERCHANT_VALUES, folded.features[1, first : first + 11].tolist(), strict=False))
    assert [unknown.pop(f"risk_{window}") for window in ("recent", "7d", "30d")] == [1, 1, 1]
    assert np.isnan(unknown.pop("days_since_fraud"))
    assert set(unknown.values()) == {0}
    assert folded.features[0, column("amount_to_merchant_mean")] == 2.0
    assert np.isnan(folded.features[1, column("amount_to_merchant_mean")])


def test_device_features_are_those_of_the_table_0_for_a_new_device_and_missing_without_one() -> None:
    values = np.array([[3.0, 2.0, 4.0, 1.0, 9.0]], np.float32)
    table = ReferenceTable(0, {DEVICE_SECTION: TableSection(np.array([identity_hash("d-1")], np.uint64), values)})
    payments = (paying(device_id="d-1"), paying(device_id="d-2"), paying())
    folded, _ = folding(*payments, table=table)
    first = column("device_cards")
    assert folded.features[0, first : first + 5].tolist() == [3, 2, 4, 1, 9]
    assert folded.features[1, first : first + 5].tolist() == [0, 0, 0, 0, 0]
    assert np.isnan(folded.features[2, first : first + 5]).all()


def test_exposure_is_that_of_the_most_compromised_merchant_used_before() -> None:
    scores = {identity_hash(f"m-{number}") & 0xFFFFFFFF: score for number, score in ((1, 3.0), (2, 7.0), (3, 9.0))}
    hashes = sorted(scores)
    values = np.array([[scores[low_bits]] for low_bits in hashes], np.float32)
    table = ReferenceTable(0, {COMPROMISED_SECTION: TableSection(np.array(hashes, np.uint64), values)})
    payments = (
        paying(merchant_id="m-1"),
        paying(timedelta(days=1), merchant_id="m-2"),
        paying(timedelta(days=3), merchant_id="m-1"),
        paying(timedelta(days=4), merchant_id="m-3"),
    )
    folded, _ = folding(*payments, table=table)
    found = folded.features[:, [column("exposure"), column("exposed_merchants"), column("days_since_exposure")]]
    assert found[0, :2].tolist() == [1.0, 0.0]  # the merchant of the transaction itself does not count
    assert np.isnan(found[0, 2])
    assert found[1:].tolist() == [[3.0, 1.0, 1.0], [7.0, 2.0, 2.0], [7.0, 2.0, 3.0]]


def test_a_state_does_not_depend_on_the_table() -> None:
    low_bits = np.array([identity_hash("m-1") & 0xFFFFFFFF], np.uint64)
    table = ReferenceTable(0, {COMPROMISED_SECTION: TableSection(low_bits, np.array([[5.0]], np.float32))})
    payments = (paying(), paying(timedelta(days=1), device_id="d-1"))
    assert folding(*payments)[1].tobytes() == folding(*payments, table=table)[1].tobytes()


@pytest.mark.parametrize(("code", "channel"), list(enumerate(Channel)))
def test_exactly_one_channel_is_set(code: int, channel: Channel) -> None:
    folded, _ = folding(paying(channel=channel))
    first = column("is_chip")
    assert folded.features[0, first : first + 6].tolist() == [float(code == i) for i in range(6)]
    assert FEATURES[first + code].name == f"is_{channel.value}"
