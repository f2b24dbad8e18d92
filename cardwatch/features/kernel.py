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
from cardwatch.features.definitions import FEATURES
from cardwatch.features.feature_row import COLUMN
from cardwatch.features.geography import degrees_east, distance_km
from cardwatch.features.novelty import NEVER, day_of, update_last_use
from cardwatch.features.reference_features import device, exposure, merchant
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
    >>> from cardwatch.features.definitions import column
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
    _fold(states, card_index, columns, table.arrays, features, sequences, duplicates)
    return FoldedRows(features, sequences, duplicates)


@compiled
def _fold(states, card_index, columns, table, features, sequences, duplicates):  # type: ignore[no-untyped-def]
    for i in range(len(columns)):
        sequences[i], duplicates[i] = fold_one(states, card_index[i], columns[i], table, features[i])


@compiled
def fold_one(states, card, event, table, row):  # type: ignore[no-untyped-def]
    """Fold one transaction; return the card's sequence before it, and whether the card has seen it already.

    `table`: see `ReferenceTable.arrays`.
    """
    row[:] = np.nan
    if states[card].sequence > 0 and event.occurred_at_ms - states[card].last_at_ms > YEAR_MS:
        states[card] = _EMPTY[0]
    state = states[card]
    sequence = state.sequence
    if _is_duplicate(state, event):
        return sequence, True
    now_ms = event.occurred_at_ms if sequence == 0 else max(event.occurred_at_ms, state.last_at_ms)
    advance_windows(state, now_ms)
    _amount_features(state, event, row)
    _window_features(state, row)
    _recency_features(state, event, row)
    _time_features(state, event, row)
    _place_features(state, event, row)
    merchant(event, table, row)
    device(event, table, row)
    exposure(state, event, table, row)
    merchant_is_new = _novelty_features(state, event, row)
    _segment_features(state, event, now_ms, row)
    _update_state(state, event, now_ms, merchant_is_new)
    return sequence, False


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
    row[COLUMN.amount] = amount / 100.0
    row[COLUMN.amount_is_whole] = 1.0 if event.amount_minor % 100 == 0 else 0.0
    row[COLUMN.amount_zeros] = _trailing_zeros(event.amount_minor)
    if state.sequence == 0:
        return
    mean = state.amount_sum / state.sequence
    row[COLUMN.amount_to_mean] = _ratio(amount, mean)
    row[COLUMN.amount_to_max] = _ratio(amount, float(state.amount_max))
    row[COLUMN.amount_to_previous] = _ratio(amount, float(state.amount_last))
    if state.window_count[MONTH] > 0:
        row[COLUMN.amount_to_mean_30d] = _ratio(amount, state.window_amount[MONTH] / state.window_count[MONTH])
    if state.sequence > 1 and state.amount_spread > 0.0:
        row[COLUMN.amount_zscore] = (amount - mean) / np.sqrt(state.amount_spread / (state.sequence - 1))


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
        row[COLUMN.count_10m + 2 * window] = state.window_count[window]
        row[COLUMN.count_10m + 2 * window + 1] = state.window_amount[window] / 100.0
    row[COLUMN.count_24h_to_7d] = _ratio(float(state.window_count[DAY]), float(state.window_count[WEEK]))
    row[COLUMN.amount_24h_to_30d] = _ratio(float(state.window_amount[DAY]), float(state.window_amount[MONTH]))
    remote, cash = state.window_counter[REMOTE_24H], state.window_counter[CASH_24H]
    remote_amount, cash_amount = state.window_sum[REMOTE_AMOUNT_24H], state.window_sum[CASH_AMOUNT_24H]
    row[COLUMN.remote_count_1h] = state.window_counter[REMOTE_1H]
    row[COLUMN.remote_count_24h] = remote
    row[COLUMN.remote_amount_24h] = remote_amount / 100.0
    row[COLUMN.cash_count_24h] = cash
    row[COLUMN.cash_amount_24h] = cash_amount / 100.0
    row[COLUMN.present_count_24h] = state.window_count[DAY] - remote - cash
    row[COLUMN.present_amount_24h] = (state.window_amount[DAY] - remote_amount - cash_amount) / 100.0
    row[COLUMN.small_count_1h] = state.window_counter[SMALL_1H]
    row[COLUMN.declined_count_24h] = state.window_counter[DECLINED_24H]
    row[COLUMN.new_merchant_count_24h] = state.window_counter[NEW_MERCHANTS_24H]


@compiled
def _recency_features(state, event, row):  # type: ignore[no-untyped-def]
    if event.previous_outcome != 0:
        row[COLUMN.previous_declined] = 1.0 if event.previous_outcome == _DECLINED else 0.0
    if state.small_at_ms != 0:
        row[COLUMN.seconds_since_small] = max(event.occurred_at_ms - state.small_at_ms, 0) / 1000.0
    if state.declined_at_ms != 0:
        row[COLUMN.seconds_since_declined] = max(event.occurred_at_ms - state.declined_at_ms, 0) / 1000.0


@compiled
def _hour_and_weekday(occurred_at_ms):  # type: ignore[no-untyped-def]
    hours = occurred_at_ms // HOUR_MS
    return hours % 24, (hours // 24 + 3) % 7  # 1970-01-01 was a Thursday


@compiled
def _time_features(state, event, row):  # type: ignore[no-untyped-def]
    hour, weekday = _hour_and_weekday(event.occurred_at_ms)
    row[COLUMN.hour_of_day] = hour
    row[COLUMN.weekday] = weekday
    if state.sequence == 0:
        return
    gap_ms = max(event.occurred_at_ms - state.last_at_ms, 0)
    row[COLUMN.seconds_since_last] = gap_ms / 1000.0
    if state.sequence > 1:
        row[COLUMN.gap_to_mean] = _ratio(float(gap_ms), (state.last_at_ms - state.first_at_ms) / (state.sequence - 1))
    near = state.hours[(hour + 23) % 24] + state.hours[hour] + state.hours[(hour + 1) % 24]
    row[COLUMN.hour_habit] = near / state.sequence
    row[COLUMN.weekday_habit] = state.weekdays[weekday] / state.sequence


@compiled
def _place_features(state, event, row):  # type: ignore[no-untyped-def]
    if state.places == 0 or np.isnan(event.latitude) or np.isnan(event.longitude):
        return
    away_km = distance_km(event.latitude, event.longitude, state.last_latitude, state.last_longitude)
    # The absolute duration: a late event needs the same speed as an early one.
    hours = abs(event.occurred_at_ms - state.last_place_at_ms) / HOUR_MS
    row[COLUMN.distance_from_last_km] = away_km
    row[COLUMN.speed_from_last_kmh] = away_km / max(hours, MIN_HOURS)
    row[COLUMN.distance_from_usual_km] = distance_km(
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
        _write_novelty(at_merchant, day, row, COLUMN.merchant_is_new, COLUMN.days_since_merchant)
        _write_novelty(in_category, day, row, COLUMN.category_is_new, COLUMN.days_since_category)
        _write_novelty(in_country, day, row, COLUMN.country_is_new, COLUMN.days_since_country)
    if event.device_hash != np.uint64(0):
        device = np.uint32(event.device_hash & np.uint64(0xFFFFFFFF))
        with_device = update_last_use(state.devices, state.device_days, state.known, 1, device, day)
        if not first_device:
            _write_novelty(with_device, day, row, COLUMN.device_is_new, COLUMN.days_since_device)
    return at_merchant == NEVER


@compiled
def _segment_features(state, event, now_ms, row):  # type: ignore[no-untyped-def]
    for channel in range(_CHANNELS):
        row[COLUMN.is_chip + channel] = 1.0 if event.channel == channel else 0.0
    row[COLUMN.merchant_category] = event.category
    row[COLUMN.history_length] = min(state.sequence, HISTORY_CAP)
    if state.sequence > 0:
        row[COLUMN.channel_habit] = state.channels[event.channel] / state.sequence
        row[COLUMN.history_days] = min((now_ms - state.first_at_ms) / DAY_MS, float(DAYS_CAP))


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
