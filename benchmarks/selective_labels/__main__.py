"""Measure estimates from selective labels against the truth: `python -m benchmarks.selective_labels --output FILE`.

A detector is trained on a small world, scores a week of a large one, and the cost policy decides it. Then control
shares and answers of customers are drawn many times, and each method's estimates are compared with the truth. It takes
about ten minutes on one core.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct

from benchmarks.selective_labels.decided_days import PolicyWorld
from benchmarks.selective_labels.estimators import (
    METHODS,
    Estimates,
    RepeatedEstimate,
    ScoredPopulation,
    covered,
    draws,
    summaries,
    truth,
)
from cardwatch.decision.cost_policy import DecisionPolicy, channels_of
from cardwatch.detector.detector import Detector
from cardwatch.simulation.settings import SimulationSettings
from infra.aws.markdown_tables import table

TRAINING_CARDS, TRAINING_DAYS = 4_000, 42
WARM_UP_DAYS, WEEK = 14, 7
LARGEST_CONTROL_MINOR: Final = 10_000.0
DEMO_CARDS: Final = 2_000


class Measured(Struct, frozen=True, kw_only=True):
    """One week of one world under one control share. Money is in minor units.

    `estimates`: method -> quantity -> its summary over the repetitions. `declined` of the `rows` would be declined, of
    which `above` exceed the largest amount of the control share and are in no estimate.
    """

    cards: int
    share: float
    confirmed_share: float
    repetitions: int
    rows: int
    declined: int
    above: int
    truth: Estimates
    estimates: dict[str, dict[str, RepeatedEstimate]]
    control_rows: float
    price_minor: RepeatedEstimate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=301)
    parser.add_argument("--cards", type=int, default=100_000)
    parser.add_argument("--repetitions", type=int, default=40)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.02, 0.1])
    parser.add_argument("--confirmed-shares", type=float, nargs="+", default=[0.0, 0.6])
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    chosen = parser.parse_args()
    policy = DecisionPolicy()
    detector = trained_detector(chosen.seed)
    found = []
    for cards in (chosen.cards, DEMO_CARDS):
        week = decided_week(SimulationSettings(seed=chosen.seed + 1, cards=cards), policy, detector)
        for share in chosen.shares:
            for confirmed_share in chosen.confirmed_shares:
                print(f"{cards} cards, share {share}, answers {confirmed_share}", file=sys.stderr, flush=True)
                found.append(measure(week, policy, cards, share, confirmed_share, chosen.repetitions))
    print(markdown(found))
    if chosen.output is not None:
        chosen.output.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")


def trained_detector(seed: int) -> Detector:
    """Return a detector of a world in which everything was approved."""
    world = PolicyWorld(SimulationSettings(seed=seed, cards=TRAINING_CARDS), DecisionPolicy())
    days = [world.run_day() for _ in range(TRAINING_DAYS)]
    return world.train(days[WARM_UP_DAYS:-5], days)


def decided_week(settings: SimulationSettings, policy: DecisionPolicy, detector: Detector) -> ScoredPopulation:
    """Return the week after the warm-up. Its reference tables know the labels of approved transactions."""
    world, parts = PolicyWorld(settings, policy, detector), []
    for number in range(WARM_UP_DAYS + WEEK):
        day = world.run_day()
        if number >= WARM_UP_DAYS:
            parts.append(
                ScoredPopulation(day.margins, day.actions, day.is_fraud, day.amount_minor, channels_of(day.features))
            )
    return ScoredPopulation(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def measure(
    week: ScoredPopulation,
    policy: DecisionPolicy,
    cards: int,
    share: float,
    confirmed_share: float,
    repetitions: int,
) -> Measured:
    """Return the estimates of all methods under one control share."""
    rows = covered(week, LARGEST_CONTROL_MINOR)
    drawn = list(draws(rows, policy, share=share, confirmed_share=confirmed_share, count=repetitions, seed=1))
    return Measured(
        cards=cards,
        share=share,
        confirmed_share=confirmed_share,
        repetitions=repetitions,
        rows=len(week.margins),
        declined=int((week.actions == 2).sum()),
        above=len(week.margins) - len(rows.margins),
        truth=truth(rows, policy),
        estimates=summaries([estimates for estimates, _ in drawn]),
        control_rows=float(np.mean([exploration.control_rows for _, exploration in drawn])),
        price_minor=RepeatedEstimate.of([exploration.price_minor for _, exploration in drawn]),
    )


def markdown(found: list[Measured]) -> str:
    """Return the table of the documentation: mean (standard deviation) over the repetitions, and the truth."""
    head = (
        "cards",
        "share",
        "answers",
        "method",
        "frauds",
        "cost, EUR",
        "average precision",
        "control rows",
        "price, EUR",
    )
    rows = []
    for each in found:
        named = (f"{each.cards:,}", f"{each.share:.0%}", f"{each.confirmed_share:.0%}")
        true = each.truth
        exact = (f"{true.frauds:,.0f}", f"{true.cost_minor / 100:,.0f}", f"{true.average_precision:.3f}")
        rows.append((*named, "truth", *exact, "", ""))
        for method in METHODS:
            is_weighted = method == METHODS[-1]
            summary = each.estimates[method]
            rows.append(
                (
                    *named,
                    method,
                    _shown(summary["frauds"], ",.0f"),
                    _shown(summary["cost_minor"], ",.0f", 100),
                    _shown(summary["average_precision"], ".3f"),
                    f"{each.control_rows:,.0f}" if is_weighted else "",
                    _shown(each.price_minor, ",.0f", 100) if is_weighted else "",
                )
            )
    return table(head, rows)


def _shown(summary: RepeatedEstimate, form: str, unit: float = 1) -> str:
    return f"{summary.mean / unit:{form}} ({summary.deviation / unit:{form}})"


if __name__ == "__main__":
    main()
