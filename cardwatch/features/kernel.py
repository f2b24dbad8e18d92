"""The feature kernel: updates card states with transactions and returns their feature rows.

Stream, scoring requests, replay and Spark all call `fold`; a batch of one and a batch of a million take the same path.
Only + - x / sqrt, comparisons, integers and tables are used, without fast-math, so the same log gives the same bits on
every machine.

Special cases:

- A transaction id among the card's last 16 is a duplicate: the state does not change, and all features are missing.
- A late event sees the windows at the card's latest event time. It is counted in the tile of its own time while the
  ring holds that tile, and in its own hour and weekday. So the order of such events does not change the final windows.
- An event with a clock ahead is accepted: the card's windows advance to its time, and the card's events before that
  time are late. Other cards are not affected.
- A card without a transaction for a year is new again: its state is cleared before the transaction is folded.
- An amount of zero is valid; a ratio with a zero denominator is missing.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cardwatch.compiled import compiled
from cardwatch.features.definitions import FEATURES, column
from cardwatch.features.geography import degrees_east, distance_km
from cardwatch.features.novelty import NEVER, day_of, update_last_use
from cardwatch.features.reference_table import DAY_MS, ReferenceTable
from cardwatch.features.state import (
    CASH_24H,
    CASH_AMOUNT_24H,
    DAY,
    DECLINED_24H,
    MONTH,
    NEW_MERCHANTS_24H,
    RECENT_IDS,
    REMOTE_1H,
    REMOTE_24H,
    REMOTE_AMOUNT_24H,
    SMALL_1H,
    STATE,
    WEEK,
    WINDOWS_MS,
)
from cardwatch.features.windows import add_amount, advance_windows, count_in, count_in_windows

SMALL_MINOR: Final = 300
"""Amounts below this are small, as used in card testing; in minor units."""
HISTORY_CAP: Final = 50
"""Upper bound of the feature `history_length`."""
DAYS_CAP: Final = 30
"""Upper bound of the feature `history_days`."""
HOUR_MS: Final = 3_600_000
YEAR_MS: Final = 365 * DAY_MS
"""A card without a transaction for longer than this is new again."""
MIN_HOURS: Final = 1.0 / 60.0
"""Minimum duration for `speed_from_last_kmh`: one minute, so that the speed stays finite."""

_ECOMMERCE, _ATM, _RECURRING, _CHANNELS = 3, 4, 5, 6  # codes of `Channel` and their number, see columns.py
_DECLINED = 2  # the code of a declined outcome

_EMPTY = np.zeros(1, STATE)

# Indexes in the feature row, which numba compiles as constants. The ten features of the windows are adjacent.
_AMOUNT = column("amount")
_AMOUNT_TO_MEAN = column("amount_to_mean")
_AMOUNT_TO_MEAN_30D = column("amount_to_mean_30d")
_AMOUNT_ZSCORE = column("amount_zscore")
_AMOUNT_TO_MAX = column("amount_to_max")
_AMOUNT_IS_WHOLE = column("amount_is_whole")
_AMOUNT_ZEROS = column("amount_zeros")
_COUNT_10M = column("count_10m")
_COUNT_24H_TO_7D = column("count_24h_to_7d")
_AMOUNT_24H_TO_30D = column("amount_24h_to_30d")
_REMOTE_COUNT_1H = column("remote_count_1h")
_REMOTE_COUNT_24H = column("remote_count_24h")
_REMOTE_AMOUNT_24H = column("remote_amount_24h")
_CASH_COUNT_24H = column("cash_count_24h")
_CASH_AMOUNT_24H = column("cash_amount_24h")
_PRESENT_COUNT_24H = column("present_count_24h")
_PRESENT_AMOUNT_24H = column("present_amount_24h")
_SMALL_COUNT_1H = column("small_count_1h")
_SECONDS_SINCE_SMALL = column("seconds_since_small")
_AMOUNT_TO_PREVIOUS = column("amount_to_previous")
_PREVIOUS_DECLINED = column("previous_declined")
_DECLINED_COUNT_24H = column("declined_count_24h")
_SECONDS_SINCE_DECLINED = column("seconds_since_declined")
_SECONDS_SINCE_LAST = column("seconds_since_last")
_GAP_TO_MEAN = column("gap_to_mean")
_HOUR_OF_DAY = column("hour_of_day")
_WEEKDAY = column("weekday")
_HOUR_HABIT = column("hour_habit")
_WEEKDAY_HABIT = column("weekday_habit")
_DISTANCE_FROM_LAST_KM = column("distance_from_last_km")
_SPEED_FROM_LAST_KMH = column("speed_from_last_kmh")
_DISTANCE_FROM_USUAL_KM = column("distance_from_usual_km")
_MERCHANT_IS_NEW = column("merchant_is_new")
_DAYS_SINCE_MERCHANT = column("days_since_merchant")
_NEW_MERCHANT_COUNT_24H = column("new_merchant_count_24h")
_CATEGORY_IS_NEW = column("category_is_new")
_DAYS_SINCE_CATEGORY = column("days_since_category")
_COUNTRY_IS_NEW = column("country_is_new")
_DAYS_SINCE_COUNTRY = column("days_since_country")
_DEVICE_IS_NEW = column("device_is_new")
_DAYS_SINCE_DEVICE = column("days_since_device")
_FIRST_CHANNEL = column("is_chip")
_CHANNEL_HABIT = column("channel_habit")
_MERCHANT_CATEGORY = column("merchant_category")
_HISTORY_LENGTH = column("history_length")
_HISTORY_DAYS = column("history_days")
_MERCHANT_RISK_1D = column("merchant_risk_1d")
_MERCHANT_COUNT_1D = column("merchant_count_1d")
_AMOUNT_TO_MERCHANT_MEAN = column("amount_to_merchant_mean")


class FoldedRows(NamedTuple):
    """The result of a fold of n transactions. `sequences`: the card's `sequence` before each transaction.

    `features`: float32 [n, features], NaN where missing. `sequences`: int64 [n]. `duplicates`: bool [n].
    """

    features: NDArray[np.float32]
    sequences: NDArray[np.int64]
    duplicates: NDArray[np.bool_]


def fold(
    states: NDArray[np.void], card_index: NDArray[np.int64], columns: NDArray[np.void], table: ReferenceTable
) -> FoldedRows:
    """Fold n transactions, in log order, into `states`, which change in place, and return their feature rows.

    `states`: dtype STATE [cards]. `card_index`: int64 [n], the index of each transaction's card in `states`. `columns`:
    dtype COLUMNS [n]. All transactions use the same `table`. The time per transaction does not depend on the history.

    >>> from cardwatch.features.columns import COLUMNS
    >>> states, rows = np.zeros(1, STATE), np.zeros(2, COLUMNS)
    >>> rows["transaction_hash"], rows["amount_minor"] = [1, 2], [1000, 3000]
    >>> folded = fold(states, np.zeros(2, np.int64), rows, ReferenceTable.empty())
    >>> folded.features[:, [column("amount"), column("count_1h"), column("amount_to_mean")]].tolist()
    [[10.0, 0.0, nan], [30.0, 1.0, 3.0]]
    """
    count = len(columns)
    features = np.empty((count, len(FEATURES)), np.float32)
    sequences = np.empty(count, np.int64)
    duplicates = np.empty(count, np.bool_)
    _fold(states, card_index, columns, table.merchants, table.values, features, sequences, duplicates)
    return FoldedRows(features, sequences, duplicates)


@compiled
def _fold(states, card_index, columns, merchants, merchant_values, features, sequences, duplicates):  # type: ignore[no-untyped-def]
    for i in range(len(columns)):
        card = card_index[i]
        event = columns[i]
        row = features[i]
        row[:] = np.nan
        if states[card].sequence > 0 and event.occurred_at_ms - states[card].last_at_ms > YEAR_MS:
            states[card] = _EMPTY[0]
        state = states[card]
        sequences[i] = state.sequence
        duplicates[i] = _is_duplicate(state, event)
        if duplicates[i]:
            continue
        now_ms = event.occurred_at_ms if state.sequence == 0 else max(event.occurred_at_ms, state.last_at_ms)
        advance_windows(state, now_ms)
        _amount_features(state, event, row)
        _window_features(state, row)
        _recency_features(state, event, row)
        _time_features(state, event, row)
        _place_features(state, event, row)
        merchant_is_new = _novelty_features(state, event, row)
        _segment_features(state, event, now_ms, row)
        _reference_features(event, merchants, merchant_values, row)
        _update_state(state, event, now_ms, merchant_is_new)


@compiled
def _is_duplicate(state, event):  # type: ignore[no-untyped-def]
    for slot in range(min(state.sequence, RECENT_IDS)):
        if state.recent_ids[slot] == event.transaction_hash:
            return True
    return False


@compiled
def _ratio(part, whole):  # type: ignore[no-untyped-def]
    return part / whole if whole > 0 else np.nan


@compiled
def _amount_features(state, event, row):  # type: ignore[no-untyped-def]
    amount = float(event.amount_minor)
    row[_AMOUNT] = amount / 100.0
    row[_AMOUNT_IS_WHOLE] = 1.0 if event.amount_minor % 100 == 0 else 0.0
    row[_AMOUNT_ZEROS] = _trailing_zeros(event.amount_minor)
    if state.sequence == 0:
        return
    mean = state.amount_sum / state.sequence
    row[_AMOUNT_TO_MEAN] = _ratio(amount, mean)
    row[_AMOUNT_TO_MAX] = _ratio(amount, float(state.amount_max))
    row[_AMOUNT_TO_PREVIOUS] = _ratio(amount, float(state.amount_last))
    if state.window_count[MONTH] > 0:
        row[_AMOUNT_TO_MEAN_30D] = _ratio(amount, state.window_amount[MONTH] / state.window_count[MONTH])
    if state.sequence > 1 and state.amount_spread > 0.0:
        row[_AMOUNT_ZSCORE] = (amount - mean) / np.sqrt(state.amount_spread / (state.sequence - 1))


@compiled
def _trailing_zeros(amount_minor):  # type: ignore[no-untyped-def]
    zeros = 0
    while amount_minor > 0 and amount_minor % 10 == 0:
        amount_minor //= 10
        zeros += 1
    return zeros


@compiled
def _window_features(state, row):  # type: ignore[no-untyped-def]
    for window in range(len(WINDOWS_MS)):
        row[_COUNT_10M + 2 * window] = state.window_count[window]
        row[_COUNT_10M + 2 * window + 1] = state.window_amount[window] / 100.0
    row[_COUNT_24H_TO_7D] = _ratio(float(state.window_count[DAY]), float(state.window_count[WEEK]))
    row[_AMOUNT_24H_TO_30D] = _ratio(float(state.window_amount[DAY]), float(state.window_amount[MONTH]))
    remote, cash = state.window_counter[REMOTE_24H], state.window_counter[CASH_24H]
    remote_amount, cash_amount = state.window_sum[REMOTE_AMOUNT_24H], state.window_sum[CASH_AMOUNT_24H]
    row[_REMOTE_COUNT_1H] = state.window_counter[REMOTE_1H]
    row[_REMOTE_COUNT_24H] = remote
    row[_REMOTE_AMOUNT_24H] = remote_amount / 100.0
    row[_CASH_COUNT_24H] = cash
    row[_CASH_AMOUNT_24H] = cash_amount / 100.0
    row[_PRESENT_COUNT_24H] = state.window_count[DAY] - remote - cash
    row[_PRESENT_AMOUNT_24H] = (state.window_amount[DAY] - remote_amount - cash_amount) / 100.0
    row[_SMALL_COUNT_1H] = state.window_counter[SMALL_1H]
    row[_DECLINED_COUNT_24H] = state.window_counter[DECLINED_24H]
    row[_NEW_MERCHANT_COUNT_24H] = state.window_counter[NEW_MERCHANTS_24H]


@compiled
def _recency_features(state, event, row):  # type: ignore[no-untyped-def]
    if event.previous_outcome != 0:
        row[_PREVIOUS_DECLINED] = 1.0 if event.previous_outcome == _DECLINED else 0.0
    if state.small_at_ms != 0:
        row[_SECONDS_SINCE_SMALL] = max(event.occurred_at_ms - state.small_at_ms, 0) / 1000.0
    if state.declined_at_ms != 0:
        row[_SECONDS_SINCE_DECLINED] = max(event.occurred_at_ms - state.declined_at_ms, 0) / 1000.0


@compiled
def _hour_and_weekday(occurred_at_ms):  # type: ignore[no-untyped-def]
    hours = occurred_at_ms // HOUR_MS
    return hours % 24, (hours // 24 + 3) % 7  # 1970-01-01 was a Thursday


@compiled
def _time_features(state, event, row):  # type: ignore[no-untyped-def]
    hour, weekday = _hour_and_weekday(event.occurred_at_ms)
    row[_HOUR_OF_DAY] = hour
    row[_WEEKDAY] = weekday
    if state.sequence == 0:
        return
    gap_ms = max(event.occurred_at_ms - state.last_at_ms, 0)
    row[_SECONDS_SINCE_LAST] = gap_ms / 1000.0
    if state.sequence > 1:
        row[_GAP_TO_MEAN] = _ratio(float(gap_ms), (state.last_at_ms - state.first_at_ms) / (state.sequence - 1))
    near = state.hours[(hour + 23) % 24] + state.hours[hour] + state.hours[(hour + 1) % 24]
    row[_HOUR_HABIT] = near / state.sequence
    row[_WEEKDAY_HABIT] = state.weekdays[weekday] / state.sequence


@compiled
def _place_features(state, event, row):  # type: ignore[no-untyped-def]
    if state.places == 0 or np.isnan(event.latitude) or np.isnan(event.longitude):
        return
    away_km = distance_km(event.latitude, event.longitude, state.last_latitude, state.last_longitude)
    # The absolute duration: a late event needs the same speed as an early one.
    hours = abs(event.occurred_at_ms - state.last_place_at_ms) / HOUR_MS
    row[_DISTANCE_FROM_LAST_KM] = away_km
    row[_SPEED_FROM_LAST_KMH] = away_km / max(hours, MIN_HOURS)
    row[_DISTANCE_FROM_USUAL_KM] = distance_km(
        event.latitude, event.longitude, state.mean_latitude, state.mean_longitude
    )


@compiled
def _write_novelty(last_day, day, row, is_new, days_since):  # type: ignore[no-untyped-def]
    row[is_new] = 1.0 if last_day == NEVER else 0.0
    if last_day != NEVER:
        row[days_since] = max(day - last_day, 0)


@compiled
def _novelty_features(state, event, row):  # type: ignore[no-untyped-def]
    """Write the novelty features, store the values as used, and return whether the merchant is new to the card."""
    day = day_of(event.occurred_at_ms)
    first_device = state.known[1] == 0
    merchant = np.uint32(event.merchant_hash & np.uint64(0xFFFFFFFF))
    at_merchant = update_last_use(state.merchants, state.merchant_days, state.known, 0, merchant, day)
    in_category = update_last_use(state.categories, state.category_days, state.known, 2, np.uint32(event.category), day)
    in_country = update_last_use(state.countries, state.country_days, state.known, 3, np.uint32(event.country), day)
    if state.sequence > 0:
        _write_novelty(at_merchant, day, row, _MERCHANT_IS_NEW, _DAYS_SINCE_MERCHANT)
        _write_novelty(in_category, day, row, _CATEGORY_IS_NEW, _DAYS_SINCE_CATEGORY)
        _write_novelty(in_country, day, row, _COUNTRY_IS_NEW, _DAYS_SINCE_COUNTRY)
    if event.device_hash != np.uint64(0):
        device = np.uint32(event.device_hash & np.uint64(0xFFFFFFFF))
        with_device = update_last_use(state.devices, state.device_days, state.known, 1, device, day)
        if not first_device:
            _write_novelty(with_device, day, row, _DEVICE_IS_NEW, _DAYS_SINCE_DEVICE)
    return at_merchant == NEVER


@compiled
def _segment_features(state, event, now_ms, row):  # type: ignore[no-untyped-def]
    for channel in range(_CHANNELS):
        row[_FIRST_CHANNEL + channel] = 1.0 if event.channel == channel else 0.0
    row[_MERCHANT_CATEGORY] = event.category
    row[_HISTORY_LENGTH] = min(state.sequence, HISTORY_CAP)
    if state.sequence > 0:
        row[_CHANNEL_HABIT] = state.channels[event.channel] / state.sequence
        row[_HISTORY_DAYS] = min((now_ms - state.first_at_ms) / DAY_MS, float(DAYS_CAP))


@compiled
def _reference_features(event, merchants, merchant_values, row):  # type: ignore[no-untyped-def]
    at = np.searchsorted(merchants, event.merchant_hash)
    known = at < len(merchants) and merchants[at] == event.merchant_hash
    for window in range(3):
        row[_MERCHANT_RISK_1D + window] = merchant_values[at, window] if known else 1.0
        row[_MERCHANT_COUNT_1D + window] = merchant_values[at, 3 + window] if known else 0.0
    if known:
        row[_AMOUNT_TO_MERCHANT_MEAN] = _ratio(float(event.amount_minor), float(merchant_values[at, 6]))


@compiled
def _update_state(state, event, now_ms, merchant_is_new):  # type: ignore[no-untyped-def]
    state.recent_ids[state.sequence % RECENT_IDS] = event.transaction_hash
    _update_amounts(state, event)
    count_in_windows(state, event.occurred_at_ms, event.amount_minor)
    _update_counters(state, event, merchant_is_new)
    _update_place(state, event)
    hour, weekday = _hour_and_weekday(event.occurred_at_ms)
    state.hours[hour] += 1
    state.weekdays[weekday] += 1
    state.channels[event.channel] += 1
    state.first_at_ms = event.occurred_at_ms if state.sequence == 0 else min(state.first_at_ms, event.occurred_at_ms)
    state.last_at_ms = now_ms
    state.sequence += 1


@compiled
def _update_amounts(state, event):  # type: ignore[no-untyped-def]
    amount = float(event.amount_minor)
    if state.sequence > 0:
        mean = state.amount_sum / state.sequence
        state.amount_spread += (amount - mean) * (amount - (state.amount_sum + amount) / (state.sequence + 1))
    state.amount_sum += event.amount_minor
    state.amount_max = max(state.amount_max, event.amount_minor)
    state.amount_last = event.amount_minor


@compiled
def _update_counters(state, event, merchant_is_new):  # type: ignore[no-untyped-def]
    at_ms = event.occurred_at_ms
    if event.channel in (_ECOMMERCE, _RECURRING):
        count_in(state, REMOTE_1H, at_ms)
        count_in(state, REMOTE_24H, at_ms)
        add_amount(state, REMOTE_AMOUNT_24H, at_ms, event.amount_minor)
    if event.channel == _ATM:
        count_in(state, CASH_24H, at_ms)
        add_amount(state, CASH_AMOUNT_24H, at_ms, event.amount_minor)
    if merchant_is_new:
        count_in(state, NEW_MERCHANTS_24H, at_ms)
    if event.amount_minor < SMALL_MINOR:
        count_in(state, SMALL_1H, at_ms)
        state.small_at_ms = max(state.small_at_ms, at_ms)
    if event.previous_outcome == _DECLINED:
        count_in(state, DECLINED_24H, at_ms)
        state.declined_at_ms = max(state.declined_at_ms, at_ms)


@compiled
def _update_place(state, event):  # type: ignore[no-untyped-def]
    if np.isnan(event.latitude) or np.isnan(event.longitude):
        return
    if state.places == 0:
        state.mean_latitude = event.latitude
        state.mean_longitude = event.longitude
    if state.places == 0 or event.occurred_at_ms >= state.last_place_at_ms:
        state.last_latitude = event.latitude
        state.last_longitude = event.longitude
        state.last_place_at_ms = event.occurred_at_ms
    state.places += 1
    state.mean_latitude += (event.latitude - state.mean_latitude) / state.places
    longitude = state.mean_longitude + degrees_east(state.mean_longitude, event.longitude) / state.places
    state.mean_longitude = degrees_east(0.0, longitude)
