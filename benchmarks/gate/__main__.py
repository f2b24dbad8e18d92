"""Error rate and power of the promotion gate: `python -m benchmarks.gate --folder DIR --output FILE`.

The folder has the worlds that `python -m benchmarks.gate.score_worlds` has scored beforehand.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from benchmarks.gate.score_worlds import PLANS
from benchmarks.gate.trials import GATE, GateTrial, JudgedWorld, large_trials, small_trials
from benchmarks.gate.worlds import ScoredWorld
from infra.aws.markdown_tables import table
from models.wilson import wilson_interval

METHODS = (GATE, "studentised", "percentile", "normal")
MINIMUM_GAINS = (0.0, 0.05, 0.1)
REPETITIONS = 5


class KindSummary(Struct, frozen=True, kw_only=True):
    """Trials of a kind. `above` counts those whose bound is above a minimum gain, by method and minimum gain.

    `promoted` counts verdicts of the whole gate with its default policy, `failed` its missed requirements.
    """

    kind: str
    worlds: int
    trials: int
    mean_saving: float
    above: dict[str, dict[str, int]]
    promoted: int
    failed: dict[str, int]


def summarise(trials: Iterable[GateTrial]) -> list[KindSummary]:
    """Return one summary per kind."""
    by_kind: dict[str, list[GateTrial]] = {}
    for trial in trials:
        by_kind.setdefault(trial.kind, []).append(trial)
    return [_summary(kind, found) for kind, found in sorted(by_kind.items())]


def _summary(kind: str, trials: Sequence[GateTrial]) -> KindSummary:
    failed: dict[str, int] = {}
    for trial in trials:
        for sentence in trial.failed:
            name = " ".join(word for word in sentence.removeprefix("FAILED: ").split() if word.isalpha())[:40]
            failed[name] = failed.get(name, 0) + 1
    return KindSummary(
        kind=kind,
        worlds=len({trial.world for trial in trials}),
        trials=len(trials),
        mean_saving=round(float(np.mean([trial.saving for trial in trials])), 4),
        above={
            method: {str(gain): sum(trial.bounds[method] > gain for trial in trials) for gain in MINIMUM_GAINS}
            for method in METHODS
        },
        promoted=sum(trial.promoted for trial in trials),
        failed=dict(sorted(failed.items())),
    )


def markdown(summaries: Sequence[KindSummary]) -> str:
    """Return the table of docs/verdict.md."""
    head = (
        "trials",
        "worlds",
        "number",
        *(f"{method} above {gain:.0%}" for method in METHODS for gain in (0.0, 0.05)),
        "promoted",
    )
    rows = []
    for each in summaries:
        low, high = wilson_interval(each.promoted, each.trials)
        shares = [f"{each.above[method][str(gain)] / each.trials:.1%}" for method in METHODS for gain in (0.0, 0.05)]
        promoted = f"{each.promoted / each.trials:.1%} ({low:.1%} to {high:.1%})"
        rows.append((each.kind, str(each.worlds), f"{each.trials:,}", *shares, promoted))
    return table(head, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    chosen = parser.parse_args()
    trials: list[GateTrial] = []
    for path in sorted(chosen.folder.glob("*.npz"), reverse=True):
        size, _, seed = path.stem.partition("-")
        if not seed.isdigit():
            continue
        world = JudgedWorld(int(seed), ScoredWorld.load(path), PLANS[size].calm_days)
        trials += small_trials(world) if size == "small" else large_trials(world, REPETITIONS)
        chosen.output.write_bytes(msgspec.json.format(msgspec.json.encode(summarise(trials))) + b"\n")
        print(path.name, file=sys.stderr, flush=True)
    print(markdown(summarise(trials)))


if __name__ == "__main__":
    main()
