"""Recall and precision of the rules that decide without a model: `python -m benchmarks.degraded_rules`.

The thresholds were chosen on the seeds 11 to 13, within a budget of three alerts for a thousand transactions; by
default other seeds are measured.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from benchmarks.reason_codes import PROTOCOL, WARM_UP_DAYS
from benchmarks.typologies.recall import simulate
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.simulation.settings import SimulationSettings
from cli.evaluate.run import prepare

HELD_OUT_SEEDS: Final = range(21, 26)
CARDS: Final = 2_000


class RuleRow(Struct, frozen=True, kw_only=True):
    """Alerts and frauds found by one rule, or by all together, and the share of the fraud's amount that is found."""

    name: str
    transactions: int
    frauds: int
    alerts: int
    found: int
    amount_share: float

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as cells of a Markdown table; a share of nothing is written as a dash."""
        false, genuine = self.alerts - self.found, self.transactions - self.frauds
        return (
            self.name,
            f"{1_000 * self.alerts / self.transactions:.2f}",
            _percent(self.found, self.frauds),
            f"{100 * self.amount_share:.1f} %",
            _percent(self.found, self.alerts),
            f"{100 * false / genuine:.3f} %",
        )


def measure_rules(
    policy: DecisionPolicy, features: NDArray[np.float32], is_fraud: NDArray[np.bool_], amount_minor: NDArray[np.int64]
) -> list[RuleRow]:
    """Return a row for all rules together, then one for each that has fired. All arrays have n rows."""
    _, reasons = policy.decide_by_rules(features)
    codes = sorted({code for of_row in reasons for code in of_row})
    hits = {"all rules": np.array([bool(of_row) for of_row in reasons], np.bool_)}
    hits |= {f"`{code}`": np.array([code in of_row for of_row in reasons], np.bool_) for code in codes}
    return [
        RuleRow(
            name=name,
            transactions=len(is_fraud),
            frauds=int(is_fraud.sum()),
            alerts=int(hit.sum()),
            found=int((hit & is_fraud).sum()),
            amount_share=float(amount_minor[hit & is_fraud].sum() / amount_minor[is_fraud].sum()),
        )
        for name, hit in hits.items()
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table of the rules over all seeds together."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.degraded_rules")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(HELD_OUT_SEEDS))
    parser.add_argument("--cards", type=int, default=CARDS)
    chosen = parser.parse_args(arguments)
    parts = [_rows_of(SimulationSettings(seed=seed, cards=chosen.cards)) for seed in chosen.seeds]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    heads = ("rule", "alerts per 1,000", "recall", "of the amount", "precision", "false-positive rate")
    table = [heads, ("---",) * len(heads), *(row.cells for row in measure_rules(DecisionPolicy(), *columns))]
    for cells in table:
        sys.stdout.write("| " + " | ".join(cells) + " |\n")


def _rows_of(settings: SimulationSettings) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64]]:
    dataset, _ = simulate(settings, WARM_UP_DAYS + PROTOCOL.all_days, _report)
    experiment = prepare(dataset, PROTOCOL, _report)
    rows = experiment.folds[0].test.rows
    return experiment.features.at(rows), dataset.is_fraud[rows], dataset.kernel["amount_minor"][rows]


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _report(message: str) -> None:
    sys.stderr.write(message + "\n")


if __name__ == "__main__":
    main()
