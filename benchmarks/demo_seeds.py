"""Run the demo on several seeds: `python -m benchmarks.demo_seeds --output FILE` (about four minutes a seed).

The figures depend on the seed only, so the load of the machine changes none of them. The file is written after each
seed, and seeds that it already has are not run again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
from msgspec import Struct

from adapters.runtime.settings import child_environment, read_settings
from benchmarks.world_means import estimate
from cli.demo.report import SUMMARY_NAME
from cli.demo.summary import DemoSummary
from infra.aws.markdown_tables import table
from models.wilson import wilson_interval

HELD_OUT_SEEDS: Final = range(41, 51)
"""Seeds that were not used while the world and the features were developed."""
TIMEOUT_SECONDS: Final = 1_800.0
_MISSING: Final = "-"


class SeedRun(Struct, frozen=True, kw_only=True):
    """The results of a demo. `failed` are the conditions that it does not meet; delays are in simulated days.

    Average precision is that before the change, after it and after the swap; None where there was no such phase.
    """

    seed: int
    closed: bool
    failed: list[str]
    average_precision: list[float | None]
    days_to_detection: int | None
    days_to_promotion: int | None

    @property
    def regained(self) -> float | None:
        """The share of the average precision lost by the change that the swap brought back; 1 is all of it."""
        before, after, swapped = self.average_precision
        if before is None or after is None or swapped is None or before <= after:
            return None
        return (swapped - after) / (before - after)


def run_demo(seed: int) -> SeedRun:
    """Run `cardwatch demo` to its end. Raises `RuntimeError` with its output if it leaves no summary."""
    with TemporaryDirectory() as home:
        environment = child_environment(read_settings({}, home=Path(home)))
        command = [sys.executable, "-m", "cli.main", "demo", "--seed", str(seed)]
        ended = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
        path = Path(home) / "demo" / "reports" / SUMMARY_NAME
        if not path.exists():
            raise RuntimeError(f"the demo of seed {seed} ended with {ended.returncode}: {ended.stdout}{ended.stderr}")
        return of_summary(seed, msgspec.json.decode(path.read_bytes(), type=DemoSummary))


def of_summary(seed: int, summary: DemoSummary) -> SeedRun:
    """Return the part of a demo's summary that is compared between seeds."""
    facts = summary.facts
    precisions = {phase.name: phase.quality.average_precision for phase in facts.phases}
    return SeedRun(
        seed=seed,
        closed=facts.closed,
        failed=[check.sentence for check in facts.checks if not check.passed],
        average_precision=[precisions.get(name) for name in ("before", "after", "swapped")],
        days_to_detection=facts.change_to_detection and facts.change_to_detection.days,
        days_to_promotion=facts.detection_to_promotion and facts.detection_to_promotion.days,
    )


def markdown(runs: Sequence[SeedRun]) -> str:
    """Return the table of the documentation: a line per seed, and the means of at least two that have a value."""
    rows = [
        (
            str(run.seed),
            "yes" if run.closed else "no",
            *(_shown(value, ".3f") for value in run.average_precision),
            _shown(run.days_to_detection, "d"),
            _shown(run.days_to_promotion, "d"),
            _shown(run.regained, ".2f"),
        )
        for run in runs
    ]
    low, high = wilson_interval(sum(run.closed for run in runs), len(runs))
    share = f"{sum(run.closed for run in runs)} of {len(runs)} ({low:.2f} to {high:.2f})"
    detection, promotion, regained = (
        estimate([value for run in runs if (value := getattr(run, name)) is not None]).shown(form)
        for name, form in (("days_to_detection", ".1f"), ("days_to_promotion", ".1f"), ("regained", ".2f"))
    )
    head = ("seed", "closed", "before", "after", "swapped", "days to detection", "days to promotion", "regained")
    return table(head, [*rows, ("all", share, "", "", "", detection, promotion, regained)])


def _shown(value: float | None, form: str) -> str:
    return _MISSING if value is None else f"{value:{form}}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(HELD_OUT_SEEDS), help="at least two")
    parser.add_argument("--output", type=Path, required=True, help="JSON file for the results")
    chosen = parser.parse_args()
    runs: list[SeedRun] = []
    if chosen.output.exists():
        runs = msgspec.json.decode(chosen.output.read_bytes(), type=list[SeedRun])
    for seed in sorted(set(chosen.seeds) - {run.seed for run in runs}):
        print(f"seed {seed}", file=sys.stderr, flush=True)
        runs = sorted([*runs, run_demo(seed)], key=lambda run: run.seed)
        chosen.output.write_bytes(msgspec.json.encode(runs) + b"\n")
    print(markdown(runs))


if __name__ == "__main__":
    main()
