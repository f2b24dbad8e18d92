"""Measure what fraudsters gain by reacting: `python -m benchmarks.reactions --output FILE` (half an hour)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from benchmarks.reactions.experiment import run_world
from benchmarks.reactions.results import ReactionResults, markdown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(101, 111)))
    parser.add_argument("--cards", type=int, default=3_000)
    parser.add_argument("--fraud-share", type=float, default=0.003)
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.001, 0.003], help="shares that are declined")
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    chosen = parser.parse_args()
    measured = [
        ReactionResults(cards=chosen.cards, fraud_share=chosen.fraud_share, budget=budget, courses=[])
        for budget in chosen.budgets
    ]
    for seed in chosen.seeds:
        print(f"seed {seed}", file=sys.stderr, flush=True)
        worlds = run_world(seed, chosen.cards, chosen.fraud_share, chosen.budgets)
        for results, courses in zip(measured, worlds, strict=True):
            results.courses.extend(courses)
    for results in measured:
        print(f"declined: {results.budget:.1%} of all transactions\n\n{markdown(results)}")
    if chosen.output is not None:
        chosen.output.write_bytes(msgspec.json.encode(measured) + b"\n")


if __name__ == "__main__":
    main()
