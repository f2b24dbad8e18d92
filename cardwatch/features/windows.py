"""The windows of a state: rings of ten tiles with running totals, advanced by event time in constant time.

A late event counts in the tile of its own time while the ring holds that tile, so the order of events does not change
the final content of the rings.
"""

from __future__ import annotations

import numpy as np

from cardwatch.compiled import compiled
from cardwatch.features.state import COUNTER_WINDOWS, SUM_WINDOWS, TILES, WINDOWS_MS

_TILES_MS = np.array([window // TILES for window in WINDOWS_MS], np.int64)
_COUNTER_WINDOWS = np.array(COUNTER_WINDOWS, np.int64)
_SUM_WINDOWS = np.array(SUM_WINDOWS, np.int64)


@compiled
def advance_windows(state, now_ms):  # type: ignore[no-untyped-def]
    """Subtract the tiles that have left each window from its totals: at most ten per window, after any gap."""
    for window in range(len(_TILES_MS)):
        tile = now_ms // _TILES_MS[window]
        if state.sequence == 0:
            state.newest[window] = tile
        for new_tile in range(max(state.newest[window] + 1, tile - TILES + 1), tile + 1):
            slot = new_tile % TILES
            state.window_count[window] -= state.tile_count[window, slot]
            state.window_amount[window] -= state.tile_amount[window, slot]
            state.tile_count[window, slot] = 0
            state.tile_amount[window, slot] = 0
            for counter in range(len(_COUNTER_WINDOWS)):
                if _COUNTER_WINDOWS[counter] == window:
                    state.window_counter[counter] -= state.tile_counter[counter, slot]
                    state.tile_counter[counter, slot] = 0
            for total in range(len(_SUM_WINDOWS)):
                if _SUM_WINDOWS[total] == window:
                    state.window_sum[total] -= state.tile_sum[total, slot]
                    state.tile_sum[total, slot] = 0
        state.newest[window] = max(tile, state.newest[window])


@compiled
def _slot_of(state, window, at_ms):  # type: ignore[no-untyped-def]
    """Return the slot of a time, or -1 if its tile has left the ring."""
    tile = at_ms // _TILES_MS[window]
    return tile % TILES if state.newest[window] - tile < TILES else -1


@compiled
def count_in_windows(state, at_ms, amount_minor):  # type: ignore[no-untyped-def]
    """Count a transaction in all five windows."""
    for window in range(len(_TILES_MS)):
        slot = _slot_of(state, window, at_ms)
        if slot >= 0:
            state.tile_count[window, slot] += 1
            state.tile_amount[window, slot] += amount_minor
            state.window_count[window] += 1
            state.window_amount[window] += amount_minor


@compiled
def count_in(state, counter, at_ms):  # type: ignore[no-untyped-def]
    """Count a transaction in one counter of `COUNTER_WINDOWS`."""
    slot = _slot_of(state, _COUNTER_WINDOWS[counter], at_ms)
    if slot >= 0:
        state.tile_counter[counter, slot] += 1
        state.window_counter[counter] += 1


@compiled
def add_amount(state, total, at_ms, amount_minor):  # type: ignore[no-untyped-def]
    """Add an amount to one sum of `SUM_WINDOWS`."""
    slot = _slot_of(state, _SUM_WINDOWS[total], at_ms)
    if slot >= 0:
        state.tile_sum[total, slot] += amount_minor
        state.window_sum[total] += amount_minor
