"""The command line of `cardwatch simulate`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click
from msgspec import structs

from cardwatch.simulation.emitter import transaction_id
from cardwatch.simulation.label_settings import LabelSettings
from cardwatch.simulation.selection import SelectionSettings
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import SimulatedDay, Simulation
from cli.simulate.columns import DayTables
from cli.simulate.decision_file import DecisionFile
from cli.simulate.files import TRANSACTIONS_FILE, TRUTH_FILE, write_world
from cli.simulate.label_file import read_label_settings
from cli.simulate.timeline_file import read_timeline


@click.command()
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The new folder for the files.")
@click.option("--seed", default=7, show_default=True, type=click.IntRange(min=0), help="It fixes all rows.")
@click.option("--days", default=90, show_default=True, type=click.IntRange(1, 10_000), help="Number of days.")
@click.option("--cards", default=2_000, show_default=True, type=click.IntRange(50, 10_000_000), help="Number of cards.")
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
@click.option(
    "--labels",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    help="When and how fraud becomes known: YAML, see docs/simulation.md.  [default: all within days]",
)
@click.option(
    "--decisions",
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    help="Decisions on these transactions, CSV or Parquet with transaction_id and action: labels follow from them, see "
    "docs/label-states.md.  [default: everything is approved]",
)
def simulate(
    out: Path,
    seed: int,
    days: int,
    cards: int,
    change_after: int | None,
    timeline: Path | None,
    labels: Path | None,
    decisions: Path | None,
) -> None:
    """Write simulated transactions and the truth about them as Parquet files.

    transactions.parquet has all fields of a transaction, whether it is reported as fraud, and when that becomes known.
    truth.parquet has the typology of each, and the campaign that it belongs to, timeline.json what changed and when,
    labels.json how labels arrive, and after which decisions. Read the first with
    `cardwatch evaluate --mapping examples/mappings/simulated.yaml`.
    """
    if change_after is not None and change_after >= days:
        raise click.BadParameter(f"{change_after} is not before the end, --days {days}", param_hint="--change-after")
    events = () if timeline is None else read_timeline(timeline)
    label_settings = LabelSettings() if labels is None else read_label_settings(labels)
    decided = None if decisions is None else DecisionFile(decisions)
    if decided is not None and label_settings.selection is None:
        label_settings = structs.replace(label_settings, selection=SelectionSettings())
    settings = SimulationSettings(
        seed=seed, cards=cards, change_day=change_after, timeline=events, labels=label_settings
    )
    simulation = Simulation(settings)
    written = write_world(
        out,
        _with_progress(simulation, days, decided),
        DayTables(simulation.population),
        settings,
        None if decided is None else decided.description(),
    )
    click.echo(
        f"{out / TRANSACTIONS_FILE}: {written.transactions:,} transactions of {days:,} days, "
        f"{written.reported:,} of them reported as fraud"
    )
    click.echo(f"{out / TRUTH_FILE}: their typologies, with {written.campaigns:,} campaigns of fraudsters")
    maturity = settings.labels.maturity_days
    click.echo(
        f"99 % of the reports of a day's fraud arrive within {maturity} days: evaluate with --delay-days {maturity}"
    )


def _with_progress(simulation: Simulation, days: int, decided: DecisionFile | None) -> Iterator[SimulatedDay]:
    with click.progressbar(range(days), label="Simulating", file=sys.stderr) as numbers:
        for number in numbers:
            records = simulation.begin_day(number)
            actions = None
            if decided is not None:
                actions = decided.take([transaction_id(number, record) for record in records["number"].tolist()])
            yield simulation.end_day(actions)
    if decided is not None:
        decided.require_all_used()
