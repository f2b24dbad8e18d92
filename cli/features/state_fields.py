"""The meaning of each field of a card's state, for `docs/features.md`."""

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
    "declined_at_ms": "time of the latest transaction after a declined attempt; 0: never",
    "newest": "per window, the number of the newest tile: epoch time divided by the tile's length",
    "window_count": "per window, the running total of transactions",
    "window_amount": "per window, the running total of amounts",
    "window_counter": "running totals of: small, remote (1 h); remote, cash, after a decline, new merchant (24 h)",
    "window_sum": "running totals of some amounts: remote and cash (24 h)",
    "tile_count": "per window and slot, transactions in that tile",
    "tile_amount": "per window and slot, amounts in that tile",
    "tile_counter": "per field of `window_counter` and slot, transactions in that tile",
    "tile_sum": "per field of `window_sum` and slot, amounts in that tile",
    "hours": "transactions by hour of the day, without a time limit",
    "weekdays": "transactions by day of the week, without a time limit",
    "channels": "transactions by channel, without a time limit",
    "last_latitude": "latitude of the location with the latest event time",
    "last_longitude": "longitude of that location",
    "last_place_at_ms": "event time at that location",
    "mean_latitude": "mean latitude of all locations",
    "mean_longitude": "mean longitude, averaged the shorter way around the globe",
    "places": "number of locations in that mean",
    "known": "slots in use: merchants, devices, categories, countries",
    "merchants": "32 bits of the hash of each merchant",
    "merchant_days": "day since 1970 of its last use",
    "devices": "32 bits of the hash of each device",
    "device_days": "day since 1970 of its last use",
    "categories": "codes of the categories",
    "category_days": "day since 1970 of its last use",
    "countries": "codes of the countries",
    "country_days": "day since 1970 of its last use",
}


def state_rows() -> list[tuple[int, int, str, str, str]]:
    """Return the fields of `STATE` in order: offset, bytes, name, type and shape, meaning."""
    rows = []
    for name in STATE.names or ():
        field, offset = STATE.fields[name][:2]  # type: ignore[index]
        kind = field.base.name + (f" {list(field.shape)}" if field.shape else "")
        rows.append((offset, field.itemsize, name, kind, STATE_FIELDS[name]))
    return rows
