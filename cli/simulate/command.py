"""The command line of `cardwatch simulate`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import click
import msgspec

from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import SimulatedDay, Simulation
from cli.simulate.columns import DayTables
from cli.simulate.files import TRANSACTIONS_FILE, TRUTH_FILE, write_world
from cli.simulate.timeline_file import read_timeline


@click.command()
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The new folder for the files.")
@click.option("--seed", default=7, show_default=True, type=click.IntRange(min=0), help="It fixes all rows.")
@click.option("--days", default=90, show_default=True, type=click.IntRange(min=1), help="Number of days.")
@click.option("--cards", default=2_000, show_default=True, type=click.IntRange(min=50), help="Number of cards.")
@click.option(
    "--change-after",
    type=click.IntRange(min=0),
    help="Number of the day on which fraud and spending change, as in the demo.  [default: no change]",
)
@click.option(
    "--timeline",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    help="What changes and when: YAML, see docs/simulation.md.",
)
def simulate(out: Path, seed: int, days: int, cards: int, change_after: int | None, timeline: Path | None) -> None:
    """Write simulated transactions and the truth about them as Parquet files.

    transactions.parquet has all fields of a transaction, whether it is reported as fraud, and when that becomes known.
    truth.parquet has the typology of each, and the campaign that it belongs to, timeline.json what changed and when.
    Read the first with `cardwatch evaluate --mapping examples/mappings/simulated.yaml`.
    """
    if change_after is not None and change_after >= days:
        raise click.BadParameter(f"{change_after} is not before the end, --days {days}", param_hint="--change-after")
    events = () if timeline is None else read_timeline(timeline)
    simulation = Simulation(SimulationSettings(seed=seed, cards=cards, change_day=change_after, timeline=events))
    days_simulated = _with_progress(simulation, days)
    written = write_world(out, days_simulated, DayTables(simulation.population), dated(simulation.settings))
    click.echo(
        f"{out / TRANSACTIONS_FILE}: {written.transactions:,} transactions of {days:,} days, "
        f"{written.reported:,} of them reported as fraud"
    )
    click.echo(f"{out / TRUTH_FILE}: their typologies, with {written.campaigns:,} campaigns of fraudsters")


def dated(settings: SimulationSettings) -> list[dict[str, object]]:
    """Return the events of a world with their days as dates.

    `first_day`: of the onset; `full_from`: of the full strength; `last_day`: of the first occurrence, None for ever.
    """

    def day(number: int) -> str:
        return (settings.first_day + timedelta(days=number)).isoformat()

    return [
        {
            "first_day": day(event.from_day),
            "full_from": day(event.from_day + event.ramp_days),
            "last_day": None if event.until_day is None else day(event.until_day - 1),
            **msgspec.to_builtins(event),
        }
        for event in settings.events()
    ]


def _with_progress(simulation: Simulation, days: int) -> Iterator[SimulatedDay]:
    with click.progressbar(range(days), label="Simulating", file=sys.stderr) as numbers:
        for number in numbers:
            yield simulation.simulate_day(number)
