"""Statistics of the simulated world, beside those that banks publish: `python -m benchmarks.simulated_world`.

docs/simulation.md names the sources of the public figures, and a test holds the simulated ones in their bands.
"""

from __future__ import annotations

import argparse
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from cardwatch.simulation.merchants import COUNTRY_OF_CITY
from cardwatch.simulation.population import Population
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from cardwatch.simulation.transaction_array import (
    ATM,
    CONTACTLESS,
    DAY_MS,
    ECOMMERCE,
    HOUR_MS,
    RECURRING,
    TransactionArray,
    Typology,
    joined,
)

_NOT_IN_STATISTICS: Final = (Typology.BUST_OUT, Typology.FRIENDLY_FRAUD)
"""Typologies that statistics of payment fraud do not count: the holder pays, and does not mean to settle."""
_AMOUNT_BINS: Final = 200
_PRIOR_ROWS: Final = 20.0
"""Weight of the mean fraud rate in the estimate for one value, in rows: the rates of rare values are uncertain."""


class Statistic(NamedTuple):
    """One figure of the simulated world. `public`: the published one, None where there is none.

    `band`: where the simulated one must lie. `why`: why it differs from the public one on purpose, if it does.
    """

    name: str
    public: float | None
    simulated: float
    band: tuple[float, float]
    why: str = ""


def simulate_world(settings: SimulationSettings, days: int) -> tuple[Population, TransactionArray]:
    """Return the people and all transactions of a world."""
    simulation = Simulation(settings)
    return simulation.population, joined([simulation.simulate_day(number).transactions for number in range(days)])


def statistics_of(population: Population, rows: TransactionArray, days: int) -> list[Statistic]:
    """Return the statistics of a world. A card payment is any transaction but a withdrawal."""
    amount, channel = rows["amount_minor"] / 100, rows["channel"]
    counted = ~np.isin(rows["typology"], _NOT_IN_STATISTICS)
    fraud, genuine = counted & (rows["typology"] != Typology.GENUINE), rows["typology"] == Typology.GENUINE
    payment = channel != ATM
    hour = rows["occurred_at_ms"] % DAY_MS / HOUR_MS
    online, contactless = channel == ECOMMERCE, channel == CONTACTLESS
    home = COUNTRY_OF_CITY[population.cards.home_city[rows["card"]]]
    abroad = home != population.merchants.country[rows["merchant"]]

    def share(part: NDArray[np.bool_], whole: NDArray[np.bool_], weight: NDArray[np.float64] | None = None) -> float:
        weights = np.ones(len(rows)) if weight is None else weight
        return float(weights[part & whole].sum() / weights[whole].sum())

    def fraud_rate(first: float, until: float) -> float:
        return share(fraud, online & (hour >= first) & (hour < until))

    night_to_afternoon = fraud_rate(2, 6) / fraud_rate(14, 18)
    remote = online | (channel == RECURRING)
    return [
        Statistic("mean card payment, EUR", 39.0, float(amount[payment].mean()), (34.0, 45.0)),
        Statistic("mean contactless payment, EUR", 27.0, float(amount[contactless].mean()), (22.0, 31.0)),
        Statistic("contactless share of card payments", 0.64, share(contactless, payment), (0.54, 0.70)),
        Statistic("share of value paid to another country", 0.11, share(abroad, counted, amount), (0.09, 0.17)),
        Statistic("share of fraud value at another country", 0.63, share(abroad, fraud, amount), (0.50, 0.85)),
        Statistic("remote share of fraud value", 0.84, share(remote, fraud, amount), (0.70, 0.90)),
        Statistic("mean fraud, EUR", 87.0, float(amount[fraud].mean()), (65.0, 130.0)),
        Statistic("online fraud rate at 2 to 6, by that at 14 to 18", 10.0, night_to_afternoon, (4.0, 25.0)),
        Statistic("share of genuine transactions at 0 to 6", None, share(hour < 6, genuine), (0.05, 0.11)),
        Statistic("fraud rate by number, %", 0.015, 100 * share(fraud, counted), (0.18, 0.32), "few days hold frauds"),
        Statistic("fraud rate by value, %", 0.031, 100 * share(fraud, counted, amount), (0.35, 1.0), "likewise"),
        Statistic(
            "transactions per card and day",
            0.31,
            len(rows) / population.cards.count / days,
            (1.9, 2.5),
            "every card is the holder's main one",
        ),
    ]  # fmt: skip


def raw_columns(population: Population, rows: TransactionArray) -> dict[str, NDArray[np.int64]]:
    """Return the raw fields of the transactions, each as whole numbers: values, or bins of values."""
    edges = np.unique(np.quantile(rows["amount_minor"], np.linspace(0, 1, _AMOUNT_BINS + 1)[1:-1]))
    merchant = rows["merchant"]
    return {
        "amount in 200 bins": np.searchsorted(edges, rows["amount_minor"], side="right"),
        "amount": rows["amount_minor"],
        "hour": rows["occurred_at_ms"] % DAY_MS // HOUR_MS,
        "quarter of an hour": rows["occurred_at_ms"] % DAY_MS // (HOUR_MS // 4),
        "weekday": rows["occurred_at_ms"] // DAY_MS % 7,
        "merchant_category": rows["category"].astype(np.int64),
        "channel": rows["channel"].astype(np.int64),
        "country": population.merchants.country[merchant],
        "latitude": np.rint(population.merchants.latitude[merchant] * 100).astype(np.int64) * rows["has_place"],
        "merchant_id": rows["merchant_number"],
        "device_id": rows["device"],
        "card_id": rows["card"],
        "customer_id": population.cards.customer[rows["card"]],
        "card_range": population.cards.card_range[rows["card"]],
        "previous_outcome": rows["previous_outcome"].astype(np.int64),
    }


def precision_of_column(values: NDArray[np.int64], is_fraud: NDArray[np.bool_]) -> float:
    """Return the average precision of one column on the second half of the rows.

    The score of a value is its fraud rate in the first half, shrunk to the mean rate by `_PRIOR_ROWS` rows.
    """
    half = len(values) // 2
    distinct, places = np.unique(values, return_inverse=True)
    first = places[:half]
    rows = np.bincount(first, minlength=len(distinct))
    frauds = np.bincount(first, weights=is_fraud[:half], minlength=len(distinct))
    rate = (frauds + _PRIOR_ROWS * is_fraud[:half].mean()) / (rows + _PRIOR_ROWS)
    return float(average_precision_score(is_fraud[half:], rate[places[half:]]))


def main() -> None:
    parser = argparse.ArgumentParser(description="Print statistics of the simulated world.")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--cards", type=int, default=6_000)
    parser.add_argument("--days", type=int, default=90)
    arguments = parser.parse_args()
    population, rows = simulate_world(SimulationSettings(seed=arguments.seed, cards=arguments.cards), arguments.days)
    print(f"{len(rows):,} transactions of {arguments.cards:,} cards and {arguments.days} days, seed {arguments.seed}")
    print(f"\n{'statistic':52} {'public':>8} {'here':>8}")
    for one in statistics_of(population, rows, arguments.days):
        public = "" if one.public is None else f"{one.public:g}"
        print(f"{one.name:52} {public:>8} {one.simulated:8.3g}  {one.why and f'({one.why})'}")
    is_fraud = rows["typology"] != Typology.GENUINE
    print("\naverage precision of a single raw column")
    for name, values in raw_columns(population, rows).items():
        print(f"{name:52} {precision_of_column(values, is_fraud):8.3f}")


if __name__ == "__main__":
    main()
