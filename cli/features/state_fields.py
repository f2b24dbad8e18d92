"""What each field of a card's state means, for `docs/features.md`."""

from __future__ import annotations

from typing import Final

from cardwatch.features.state import STATE

STATE_FIELDS: Final[dict[str, str]] = {
    "sequence": "transactions of this card folded so far",
    "recent_ids": "hashes of the newest transaction ids, slot `sequence` mod 16",
    "first_at_ms": "the earliest event time",
    "last_at_ms": "the latest event time; a late event does not move it back",
    "amount_sum": "sum of all amounts",
    "amount_max": "the largest amount",
    "amount_last": "the previous amount",
    "amount_spread": "sum of squared deviations from the mean (Welford), in minor units squared",
    "small_at_ms": "time of the latest amount under 3.00; 0: never",
    "declined_at_ms": "time of the latest after a declined attempt; 0: never",
    "newest": "per window, the newest tile: epoch over the tile's length",
    "window_count": "per window, the running total of transactions",
    "window_amount": "per window, the running total of amounts",
    "window_counter": "running totals of some: small, remote (1 h); remote, cash, declined before, new merchant (24 h)",
    "window_sum": "running totals of some amounts: remote and cash in 24 h",
    "tile_count": "per window and slot, transactions in that tile",
    "tile_amount": "per window and slot, amounts in that tile",
    "tile_counter": "per running total of some and slot, transactions in that tile",
    "tile_sum": "per running total of some amounts and slot, amounts in that tile",
    "hours": "transactions by hour of the day, ever",
    "weekdays": "transactions by day of the week, ever",
    "channels": "transactions by channel, ever",
    "last_latitude": "the place with the latest event time",
    "last_longitude": "the same",
    "last_place_at_ms": "when the card was there",
    "mean_latitude": "the mean of all places",
    "mean_longitude": "the same, the short way round the globe",
    "places": "how many places that mean is of",
    "known": "slots in use: merchants, devices, categories, countries",
    "merchants": "32 bits of the hash of each merchant met",
    "merchant_days": "day since 1970 on which it was last met",
    "devices": "32 bits of the hash of each device met",
    "device_days": "the day, likewise",
    "categories": "each category met",
    "category_days": "the day, likewise",
    "countries": "each country met",
    "country_days": "the day, likewise",
}


def state_rows() -> list[tuple[int, int, str, str, str]]:
    """Every field of `STATE` in its order: offset, bytes, name, type and shape, meaning."""
    rows = []
    for name in STATE.names or ():
        field, offset = STATE.fields[name][:2]  # type: ignore[index]
        kind = field.base.name + (f" {list(field.shape)}" if field.shape else "")
        rows.append((offset, field.itemsize, name, kind, STATE_FIELDS[name]))
    return rows
