"""The same windows in what users would pick instead: pandas, polars and river, on the same transactions in one run.

They compute the 19 window features of the table, exactly to the millisecond; the kernel computes all features, its
windows in tiles. Preparing the data is not timed for any candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import pandas as pd
import polars as pl
from numpy.typing import NDArray
from river import stats, utils

from benchmarks.harness import Metric, Metrics, compared, each_in_turn, in_turn
from benchmarks.transactions import random_columns
from cardwatch.features.kernel import fold
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.features.state import empty_states

ROWS: Final = 30_000
CARDS: Final = 600
WINDOWS: Final[dict[str, tuple[timedelta, tuple[str, ...]]]] = {
    "10m": (timedelta(minutes=10), ("one", "amount")),
    "1h": (timedelta(hours=1), ("one", "amount", "remote", "small")),
    "24h": (
        timedelta(hours=24),
        ("one", "amount", "remote", "remote_amount", "cash", "cash_amount", "present", "present_amount", "declined"),
    ),
    "7d": (timedelta(days=7), ("one", "amount")),
    "30d": (timedelta(days=30), ("one", "amount")),
}
FEATURES: Final = sum(len(names) for _, names in WINDOWS.values())


def measure() -> Metrics:
    """Microseconds per transaction of each, and how many times the kernel's that is."""
    columns, cards = random_columns(ROWS, CARDS)
    values = _values(columns)
    frame = pd.DataFrame({"t": pd.to_datetime(columns["occurred_at_ms"], unit="ms"), "card": cards, **values})
    candidates = {
        "kernel": lambda: fold(empty_states(CARDS), cards, columns, ReferenceTable.empty()),
        "pandas": _in_pandas(frame),
        "polars": _in_polars(frame),
        "river": _in_river(columns["occurred_at_ms"], cards, values),
    }
    seconds = in_turn(candidates, rounds=5)
    metrics = {
        f"windows_{name}": compared(
            seconds[name],
            seconds["kernel"],
            unit="µs per transaction",
            how=f"{FEATURES} window features of {ROWS:,} transactions of {CARDS} cards at once, over the kernel of all",
            scale=1e6 / ROWS,
        )
        for name in ("pandas", "polars", "river")
    }
    return metrics | {"windows_pandas_one": _one_in_pandas(frame, columns, cards)}


def _values(columns: NDArray[np.void]) -> dict[str, NDArray[np.int64]]:
    """Return the values to sum over each window: per transaction 0 or 1, or an amount."""
    channel, amount = columns["channel"], columns["amount_minor"]
    remote, cash = np.isin(channel, (3, 5)), channel == 4
    present = ~remote & ~cash
    values = {
        "one": np.ones(len(columns)),
        "amount": amount,
        "remote": remote,
        "remote_amount": remote * amount,
        "cash": cash,
        "cash_amount": cash * amount,
        "present": present,
        "present_amount": present * amount,
        "small": amount < 300,
        "declined": columns["previous_outcome"] == 2,
    }
    return {name: value.astype(np.int64) for name, value in values.items()}


def _in_pandas(frame: pd.DataFrame) -> Callable[[], object]:
    by_card = frame.set_index("t").groupby("card")
    return lambda: [by_card[list(names)].rolling(window, closed="left").sum() for window, names in WINDOWS.values()]


def _in_polars(frame: pd.DataFrame) -> Callable[[], object]:
    table = pl.from_pandas(frame)
    sums = [
        pl.col(name).rolling_sum_by("t", window, closed="left").over("card").alias(f"{name}_{label}")
        for label, (window, names) in WINDOWS.items()
        for name in names
    ]
    return lambda: table.with_columns(sums)


def _in_river(
    occurred_at_ms: NDArray[np.int64], cards: NDArray[np.int64], values: Mapping[str, NDArray[np.int64]]
) -> Callable[[], object]:
    times = [datetime.fromtimestamp(ms / 1000, UTC).replace(tzinfo=None) for ms in occurred_at_ms.tolist()]
    lists = {name: value.tolist() for name, value in values.items()}
    owners = cards.tolist()

    def run() -> None:
        windows: dict[int, list[tuple[list[int], Any]]] = {}
        for i, (card, moment) in enumerate(zip(owners, times, strict=True)):
            if card not in windows:
                windows[card] = [
                    (lists[name], utils.TimeRolling(stats.Sum(), period))
                    for period, names in WINDOWS.values()
                    for name in names
                ]
            for value, window in windows[card]:
                window.get()
                window.update(value[i], t=moment)

    return run


def _one_in_pandas(frame: pd.DataFrame, columns: NDArray[np.void], cards: NDArray[np.int64]) -> Metric:
    """Compute the windows as serving does: for one transaction of one card, from its history in a frame."""
    last = len(frame) - 1
    history = frame[frame["card"] == cards[last]].set_index("t").iloc[:-1]
    now = frame["t"].iloc[last]
    states = empty_states(1)

    def in_pandas() -> object:
        return [history.loc[now - window : now, list(names)].sum() for window, names in WINDOWS.values()]

    def in_kernel() -> object:
        states["sequence"] = 0
        return fold(states, np.zeros(1, np.int64), columns[last:], ReferenceTable.empty())

    micros = each_in_turn({"kernel": in_kernel, "pandas": in_pandas}, times=1_000)
    return compared(
        micros["pandas"],
        micros["kernel"],
        unit="µs per transaction",
        how=f"{FEATURES} window features of one transaction from a frame of its card's past, over the kernel of all",
    )
