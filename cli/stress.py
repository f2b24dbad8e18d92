"""`cardwatch stress`: the loop on many simulated worlds, in processes of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import click
import msgspec

from adapters.runtime.settings import child_environment, read_settings
from stress.scenarios import CARDS, SCENARIOS

MAXIMUM_SEEDS: Final = 10_000
_SEEDS: Final = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")


class SeedRange(click.ParamType[list[int]]):
    """Seeds as numbers and ranges, such as `1-10,42`."""

    name = "seeds"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        """Return the seeds in their order, each once."""
        seeds: dict[int, None] = {}
        for part in str(value).split(","):
            if (found := _SEEDS.fullmatch(part.strip())) is None:
                self.fail(f"{part!r} is neither a number nor a range such as 1-10", param, ctx)
            first, last = int(found[1]), int(found[2] or found[1])
            if last < first or last - first >= MAXIMUM_SEEDS:
                self.fail(f"{part!r} must be a range of 1 to {MAXIMUM_SEEDS:,} seeds, lowest first", param, ctx)
            seeds |= dict.fromkeys(range(first, last + 1))
        return list(seeds)


@click.command()
@click.option("--seeds", default="1-3", type=SeedRange(), help="Numbers and ranges, such as 1-10,42.")
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    type=click.Choice([scenario.name for scenario in SCENARIOS]),
    help="A kind of world; may be repeated.  [default: all]",
)
@click.option("--cards", default=CARDS, type=click.IntRange(min=200), help="Cards of each world.")
@click.option("--processes", type=click.IntRange(min=1), help="Worlds at the same time.  [default: one per core]")
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Where results are kept.  [default: CARDWATCH_HOME/stress]"
)
def stress(
    seeds: list[int], scenarios: tuple[str, ...], cards: int, processes: int | None, folder: Path | None
) -> None:
    """Test the loop (monitor, retrain, judge, promote) on simulated worlds, without servers.

    A world takes 15 to 80 seconds of one core. Worlds whose results are in the folder are not run again, so that an
    interrupted test goes on. The tables say what the loop did, and what its promotions cost in truth.
    """
    settings = read_settings()
    chosen = scenarios or [scenario.name for scenario in SCENARIOS]
    run = msgspec.json.encode({"seeds": seeds, "scenarios": chosen, "cards": cards}).decode()
    kept = folder or settings.home / "stress"
    command = [sys.executable, "-m", "stress", str(kept), str(processes or len(os.sched_getaffinity(0))), run]
    with subprocess.Popen(command, env=child_environment(settings)) as process:
        try:
            status = process.wait()
        except KeyboardInterrupt:  # the terminal has interrupted the child too
            status = process.wait()
    sys.exit(status)
