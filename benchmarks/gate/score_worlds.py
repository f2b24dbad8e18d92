"""Score worlds beforehand: `python -m benchmarks.gate.score_worlds --size small --seeds 100 200 --folder DIR`.

A world that the folder already has is not scored again.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Final

from benchmarks.gate.worlds import WorldPlan, score_world

PLANS: Final = {
    "small": WorldPlan(cards=2_000, train_days=28, calm_days=28, changed_days=14, models=3),
    "large": WorldPlan(cards=30_000, train_days=21, calm_days=14, changed_days=14, models=3),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=PLANS, required=True)
    parser.add_argument("--seeds", type=int, nargs=2, required=True, metavar=("FIRST", "UNTIL"))
    parser.add_argument("--folder", type=Path, required=True)
    chosen = parser.parse_args()
    for seed in range(*chosen.seeds):
        path = chosen.folder / f"{chosen.size}-{seed}.npz"
        if path.exists():
            continue
        begun = time.monotonic()
        score_world(PLANS[chosen.size], seed).save(path)
        print(f"{path.name} after {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
