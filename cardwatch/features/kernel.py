"""The one kernel: folds transactions into card states and gives their feature rows.

Stream, question and replay all call `fold`; a batch of one and of a million take the same path. Only + - x / sqrt,
comparisons, integers and tables are used, and no fast-math, so that the same log gives the same bits on every machine.

What is defined for awkward input: a transaction id among the card's last 16 is a duplicate (state untouched, its row
all missing); a late event is folded as if it came at the card's latest time in the windows, but keeps its own hour
and weekday; zero amounts are amounts.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cardwatch.features.reference import ReferenceTable
from cardwatch.features.state import (
    DAY_TILE_MS,
    DAY_TILES,
    HOUR_TILE_MS,
    HOUR_TILES,
    RECENT_DEVICES,
    RECENT_IDS,
    RECENT_MERCHANTS,
    WEEK_TILE_MS,
    WEEK_TILES,
)
from cardwatch.features.table import FEATURES, column

SMALL_MINOR: Final = 300
"""Below this an amount counts as small, as card testers use them."""
HISTORY_CAP: Final = 50
KM_PER_DEGREE: Final = 111.19492664455873
LEAST_HOURS: Final = 1.0 / 60.0
"""Two places within a minute are a minute apart, so that speed stays finite."""

_ONLINE, _DECLINED = 3, 2  # codes of `Channel.ECOMMERCE` and of a declined outcome, see columns.py

# Positions in the feature row; numba takes them in as constants.
_AMOUNT = column("amount")
_AMOUNT_TO_MEAN = column("amount_to_mean")
_AMOUNT_ZSCORE = column("amount_zscore")
_AMOUNT_TO_MAX = column("amount_to_max")
_AMOUNT_IS_ROUND = column("amount_is_round")
_COUNT_1H = column("count_1h")
_AMOUNT_1H = column("amount_1h")
_COUNT_24H = column("count_24h")
_AMOUNT_24H = column("amount_24h")
_COUNT_7D = column("count_7d")
_AMOUNT_7D = column("amount_7d")
_COUNT_24H_TO_7D = column("count_24h_to_7d")
_ECOMMERCE_COUNT_24H = column("ecommerce_count_24h")
_SMALL_COUNT_1H = column("small_count_1h")
_DECLINED_COUNT_24H = column("declined_count_24h")
_SECONDS_SINCE_LAST = column("seconds_since_last")
_HOUR_OF_DAY = column("hour_of_day")
_WEEKDAY = column("weekday")
_HOUR_HABIT = column("hour_habit")
_DISTANCE_FROM_LAST_KM = column("distance_from_last_km")
_SPEED_FROM_LAST_KMH = column("speed_from_last_kmh")
_DISTANCE_FROM_USUAL_KM = column("distance_from_usual_km")
_MERCHANT_IS_NEW = column("merchant_is_new")
_CATEGORY_IS_NEW = column("category_is_new")
_COUNTRY_IS_NEW = column("country_is_new")
_DEVICE_IS_NEW = column("device_is_new")
_PREVIOUS_DECLINED = column("previous_declined")
_FIRST_CHANNEL = column("is_chip")
_CHANNEL_HABIT = column("channel_habit")
_MERCHANT_CATEGORY = column("merchant_category")
_HISTORY_LENGTH = column("history_length")
_MERCHANT_RISK_30D = column("merchant_risk_30d")
_MERCHANT_COUNT_1D = column("merchant_count_1d")
_MERCHANT_COUNT_7D = column("merchant_count_7d")
_MERCHANT_COUNT_30D = column("merchant_count_30d")

_SIX_BITS = np.uint64(63)
_ONE_BIT = np.uint64(1)
_NO_BITS = np.uint64(0)


class Folded(NamedTuple):
    """What a fold gives: per transaction its features, the card's `sequence` before it, and whether it is a duplicate.

    `features`: float32 [n, features], NaN where missing. `sequences`: int64 [n]. `duplicates`: bool [n].
    """

    features: NDArray[np.float32]
    sequences: NDArray[np.int64]
    duplicates: NDArray[np.bool_]


def fold(
    states: NDArray[np.void], card_index: NDArray[np.int64], columns: NDArray[np.void], table: ReferenceTable
) -> Folded:
    """Fold transactions, in log order, into `states` (changed in place) and return their feature rows.

    `states`: dtype STATE [cards]. `card_index`: int64 [n], each transaction's card among `states`. `columns`: dtype
    COLUMNS [n]. All of them see the one `table`.
    """
    count = len(columns)
    features = np.full((count, len(FEATURES)), np.nan, np.float32)
    sequences = np.zeros(count, np.int64)
    duplicates = np.zeros(count, np.bool_)
    _fold(states, card_index, columns, table.merchants, table.values, features, sequences, duplicates)
    return Folded(features, sequences, duplicates)


@njit(cache=True)
def _fold(states, card_index, columns, merchants, merchant_values, features, sequences, duplicates):  # type: ignore[no-untyped-def]
    for i in range(len(columns)):
        state = states[card_index[i]]
        event = columns[i]
        sequences[i] = state.sequence
        if _is_repeat(state, event):
            duplicates[i] = True
            continue
        row = features[i]
        now_ms = max(event.occurred_at_ms, state.last_at_ms)
        _move_windows(state, now_ms)
        _amount_features(state, event, row)
        _window_features(state, row)
        _time_features(state, event, row)
        _place_features(state, event, row)
        _novelty_features(state, event, row)
        _segment_features(state, event, row)
        _reference_features(event, merchants, merchant_values, row)
        _remember(state, event, now_ms)


@njit(cache=True)
def _is_repeat(state, event):  # type: ignore[no-untyped-def]
    known = min(state.sequence, RECENT_IDS)
    for slot in range(known):
        if state.recent_ids[slot] == event.transaction_hash:
            return True
    return False


@njit(cache=True)
def _move_windows(state, now_ms):  # type: ignore[no-untyped-def]
    """Clear the tiles that have left each window. Work is bounded by the number of tiles."""
    tile = now_ms // HOUR_TILE_MS
    for passed in range(max(state.hour_newest + 1, tile - HOUR_TILES + 1), tile + 1):
        slot = passed % HOUR_TILES
        state.hour_count[slot] = 0
        state.hour_small[slot] = 0
        state.hour_amount[slot] = 0
    state.hour_newest = tile

    tile = now_ms // DAY_TILE_MS
    for passed in range(max(state.day_newest + 1, tile - DAY_TILES + 1), tile + 1):
        slot = passed % DAY_TILES
        state.day_count[slot] = 0
        state.day_online[slot] = 0
        state.day_declined[slot] = 0
        state.day_amount[slot] = 0
    state.day_newest = tile

    tile = now_ms // WEEK_TILE_MS
    for passed in range(max(state.week_newest + 1, tile - WEEK_TILES + 1), tile + 1):
        slot = passed % WEEK_TILES
        state.week_count[slot] = 0
        state.week_amount[slot] = 0
    state.week_newest = tile


@njit(cache=True)
def _amount_features(state, event, row):  # type: ignore[no-untyped-def]
    amount = float(event.amount_minor)
    row[_AMOUNT] = amount / 100.0
    row[_AMOUNT_IS_ROUND] = 1.0 if event.amount_minor % 100 == 0 else 0.0
    if state.sequence == 0:
        return
    mean = state.amount_sum / state.sequence
    if mean > 0.0:
        row[_AMOUNT_TO_MEAN] = amount / mean
        row[_AMOUNT_TO_MAX] = amount / float(state.amount_max)
    if state.sequence > 1 and state.amount_spread > 0.0:
        row[_AMOUNT_ZSCORE] = (amount - mean) / np.sqrt(state.amount_spread / (state.sequence - 1))


@njit(cache=True)
def _window_features(state, row):  # type: ignore[no-untyped-def]
    count, small, amount = 0, 0, 0
    for slot in range(HOUR_TILES):
        count += state.hour_count[slot]
        small += state.hour_small[slot]
        amount += state.hour_amount[slot]
    row[_COUNT_1H] = count
    row[_SMALL_COUNT_1H] = small
    row[_AMOUNT_1H] = amount / 100.0

    count_24h, online, declined, amount = 0, 0, 0, 0
    for slot in range(DAY_TILES):
        count_24h += state.day_count[slot]
        online += state.day_online[slot]
        declined += state.day_declined[slot]
        amount += state.day_amount[slot]
    row[_COUNT_24H] = count_24h
    row[_ECOMMERCE_COUNT_24H] = online
    row[_DECLINED_COUNT_24H] = declined
    row[_AMOUNT_24H] = amount / 100.0

    count_7d, amount = 0, 0
    for slot in range(WEEK_TILES):
        count_7d += state.week_count[slot]
        amount += state.week_amount[slot]
    row[_COUNT_7D] = count_7d
    row[_AMOUNT_7D] = amount / 100.0
    if count_7d > 0:
        row[_COUNT_24H_TO_7D] = count_24h / count_7d


@njit(cache=True)
def _hour_and_weekday(occurred_at_ms):  # type: ignore[no-untyped-def]
    hours = occurred_at_ms // 3_600_000
    return hours % 24, (hours // 24 + 3) % 7  # 1970-01-01 was a Thursday


@njit(cache=True)
def _time_features(state, event, row):  # type: ignore[no-untyped-def]
    hour, weekday = _hour_and_weekday(event.occurred_at_ms)
    row[_HOUR_OF_DAY] = hour
    row[_WEEKDAY] = weekday
    if state.sequence == 0:
        return
    row[_SECONDS_SINCE_LAST] = max(event.occurred_at_ms - state.last_at_ms, 0) / 1000.0
    near = state.hours[(hour + 23) % 24] + state.hours[hour] + state.hours[(hour + 1) % 24]
    row[_HOUR_HABIT] = near / state.sequence


@njit(cache=True)
def _distance_km(latitude, longitude, other_latitude, other_longitude):  # type: ignore[no-untyped-def]
    """Equirectangular distance. The cosine is Bhaskara I's rational approximation (off by 0.002 at most)."""
    middle = 0.5 * (latitude + other_latitude)
    square = middle * middle
    cosine = (32_400.0 - 4.0 * square) / (32_400.0 + square)
    east = abs(longitude - other_longitude)
    east = min(east, 360.0 - east) * cosine
    north = latitude - other_latitude
    return KM_PER_DEGREE * np.sqrt(east * east + north * north)


@njit(cache=True)
def _place_features(state, event, row):  # type: ignore[no-untyped-def]
    if state.places == 0 or np.isnan(event.latitude) or np.isnan(event.longitude):
        return
    distance_km = _distance_km(event.latitude, event.longitude, state.last_latitude, state.last_longitude)
    hours = max((event.occurred_at_ms - state.last_place_at_ms) / 3_600_000.0, LEAST_HOURS)
    row[_DISTANCE_FROM_LAST_KM] = distance_km
    row[_SPEED_FROM_LAST_KMH] = distance_km / hours
    row[_DISTANCE_FROM_USUAL_KM] = _distance_km(
        event.latitude, event.longitude, state.mean_latitude, state.mean_longitude
    )


@njit(cache=True)
def _is_known(hashes, seen, sought):  # type: ignore[no-untyped-def]
    for slot in range(min(seen, len(hashes))):
        if hashes[slot] == sought:
            return True
    return False


@njit(cache=True)
def _category_bit(category):  # type: ignore[no-untyped-def]
    return (category * 40_503 >> 4) % 512  # Knuth's multiplicative hash spreads neighbouring codes


@njit(cache=True)
def _has_bit(words, bit):  # type: ignore[no-untyped-def]
    return (words[bit >> 6] >> (np.uint64(bit) & _SIX_BITS)) & _ONE_BIT != _NO_BITS


@njit(cache=True)
def _set_bit(words, bit):  # type: ignore[no-untyped-def]
    words[bit >> 6] |= _ONE_BIT << (np.uint64(bit) & _SIX_BITS)


@njit(cache=True)
def _novelty_features(state, event, row):  # type: ignore[no-untyped-def]
    if state.sequence == 0:
        return
    row[_MERCHANT_IS_NEW] = 0.0 if _is_known(state.merchants, state.merchants_seen, event.merchant_hash) else 1.0
    row[_CATEGORY_IS_NEW] = 0.0 if _has_bit(state.categories, _category_bit(event.category)) else 1.0
    row[_COUNTRY_IS_NEW] = 0.0 if _has_bit(state.countries, event.country) else 1.0
    if event.device_hash != _NO_BITS and state.devices_seen > 0:
        row[_DEVICE_IS_NEW] = 0.0 if _is_known(state.devices, state.devices_seen, event.device_hash) else 1.0


@njit(cache=True)
def _segment_features(state, event, row):  # type: ignore[no-untyped-def]
    if event.previous_outcome != 0:
        row[_PREVIOUS_DECLINED] = 1.0 if event.previous_outcome == _DECLINED else 0.0
    for channel in range(6):
        row[_FIRST_CHANNEL + channel] = 1.0 if event.channel == channel else 0.0
    if state.sequence > 0:
        row[_CHANNEL_HABIT] = state.channels[event.channel] / state.sequence
    row[_MERCHANT_CATEGORY] = event.category
    row[_HISTORY_LENGTH] = min(state.sequence, HISTORY_CAP)


@njit(cache=True)
def _reference_features(event, merchants, merchant_values, row):  # type: ignore[no-untyped-def]
    at = np.searchsorted(merchants, event.merchant_hash)
    known = at < len(merchants) and merchants[at] == event.merchant_hash
    row[_MERCHANT_RISK_30D] = merchant_values[at, 0] if known else 1.0
    row[_MERCHANT_COUNT_1D] = merchant_values[at, 1] if known else 0.0
    row[_MERCHANT_COUNT_7D] = merchant_values[at, 2] if known else 0.0
    row[_MERCHANT_COUNT_30D] = merchant_values[at, 3] if known else 0.0


@njit(cache=True)
def _remember(state, event, now_ms):  # type: ignore[no-untyped-def]
    state.recent_ids[state.sequence % RECENT_IDS] = event.transaction_hash
    _remember_amount(state, event)
    _remember_in_windows(state, event)
    _remember_habits(state, event)
    _remember_place(state, event)
    if state.sequence == 0:
        state.first_at_ms = event.occurred_at_ms
    state.last_at_ms = now_ms
    state.sequence += 1


@njit(cache=True)
def _remember_amount(state, event):  # type: ignore[no-untyped-def]
    amount = float(event.amount_minor)
    if state.sequence > 0:
        mean = state.amount_sum / state.sequence
        state.amount_spread += (amount - mean) * (amount - (state.amount_sum + amount) / (state.sequence + 1))
    state.amount_sum += event.amount_minor
    state.amount_max = max(state.amount_max, event.amount_minor)


@njit(cache=True)
def _remember_in_windows(state, event):  # type: ignore[no-untyped-def]
    slot = state.hour_newest % HOUR_TILES
    state.hour_count[slot] += 1
    state.hour_amount[slot] += event.amount_minor
    if event.amount_minor < SMALL_MINOR:
        state.hour_small[slot] += 1
    slot = state.day_newest % DAY_TILES
    state.day_count[slot] += 1
    state.day_amount[slot] += event.amount_minor
    if event.channel == _ONLINE:
        state.day_online[slot] += 1
    if event.previous_outcome == _DECLINED:
        state.day_declined[slot] += 1
    slot = state.week_newest % WEEK_TILES
    state.week_count[slot] += 1
    state.week_amount[slot] += event.amount_minor


@njit(cache=True)
def _remember_habits(state, event):  # type: ignore[no-untyped-def]
    hour, _ = _hour_and_weekday(event.occurred_at_ms)
    state.hours[hour] += 1
    state.channels[event.channel] += 1
    if not _is_known(state.merchants, state.merchants_seen, event.merchant_hash):
        state.merchants[state.merchants_seen % RECENT_MERCHANTS] = event.merchant_hash
        state.merchants_seen += 1
    if event.device_hash != _NO_BITS and not _is_known(state.devices, state.devices_seen, event.device_hash):
        state.devices[state.devices_seen % RECENT_DEVICES] = event.device_hash
        state.devices_seen += 1
    _set_bit(state.categories, _category_bit(event.category))
    _set_bit(state.countries, event.country)


@njit(cache=True)
def _remember_place(state, event):  # type: ignore[no-untyped-def]
    if np.isnan(event.latitude) or np.isnan(event.longitude):
        return
    state.last_latitude = event.latitude
    state.last_longitude = event.longitude
    state.last_place_at_ms = event.occurred_at_ms
    state.places += 1
    state.mean_latitude += (event.latitude - state.mean_latitude) / state.places
    state.mean_longitude += (event.longitude - state.mean_longitude) / state.places
