"""Measure what reacting fraudsters gain: `python -m benchmarks.reactions --seeds 1 2 3 --output FILE`."""

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
    parser.add_argument("--cards", type=int, default=5_000)
    parser.add_argument("--fraud-share", type=float, default=0.003)
    parser.add_argument("--budget", type=float, default=0.001, help="share of all transactions that is declined")
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    chosen = parser.parse_args()
    courses = []
    for seed in chosen.seeds:
        courses += run_world(
            seed,
            chosen.cards,
            chosen.fraud_share,
            chosen.budget,
            lambda words: print(words, file=sys.stderr, flush=True),
        )
        results = ReactionResults(
            cards=chosen.cards, fraud_share=chosen.fraud_share, budget=chosen.budget, courses=courses
        )
        if chosen.output is not None:
            chosen.output.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=0) + b"\n")
    print(markdown(results))


if __name__ == "__main__":
    main()
