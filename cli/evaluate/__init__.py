"""`cardwatch evaluate`: train and test on transactions of your own."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import click

from cli.finite_range import FiniteRange

READABLE: Final = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
WRITABLE: Final = click.Path(dir_okay=False, writable=True, path_type=Path)
POSITIVE: Final = click.IntRange(min=1)
CARDS: Final = click.IntRange(min=1, max=1_000_000)
PRESETS: Final = ("handbook", "paysim", "banksim", "ieee-cis", "sparkov", "tabformer", "baf")
"""Public formats, as `cli.evaluate.presets` has them; importing it would slow down `--help`."""


@click.command("evaluate")
@click.option("--data", type=READABLE, help="The transactions: CSV (also compressed) or Parquet.")
@click.option("--mapping", type=READABLE, help="Which column is what: YAML, see docs/evaluate.md.")
@click.option("--preset", type=click.Choice(PRESETS), help="Instead of --mapping: the mapping of a public data set.")
@click.option("--suggest", type=READABLE, help="Print a mapping for this file, guessed from its first rows, and end.")
@click.option("--output", default="evaluation.json", type=WRITABLE, help="Where the results go, as JSON.")
@click.option(
    "--on-error",
    type=click.Choice(["fail", "reject"]),
    default="fail",
    help="A row that does not fit: stop there, or set it aside and count it.",
)
@click.option("--rejects", type=WRITABLE, help="Where rejected rows go.  [default: DATA.rejects.csv]")
@click.option("--train-days", type=POSITIVE, help="Days to train on.  [default: the mapping's, else 7]")
@click.option("--delay-days", type=click.IntRange(min=0), help="Days until labels are known.  [likewise, 7]")
@click.option("--test-days", type=POSITIVE, help="Days to test on, and to move on by.  [likewise, 7]")
@click.option("--folds", type=POSITIVE, help="How often.  [likewise, 4]")
@click.option(
    "--train-start",
    type=click.DateTime(["%Y-%m-%d"]),
    help="First training day of the newest fold.  [default: so that the newest test ends with the data]",
)
@click.option("--score-column", "score_columns", multiple=True, help="A column of another model's scores. Repeatable.")
@click.option("--policy", "policy_file", type=READABLE, help="Costs of decisions: the services' policy file, TOML.")
@click.option("--card-precision-k", "cards_a_day", type=CARDS, help="Cards checked in a day.  [default: 100]")
@click.option("--confidence", type=FiniteRange(0.5, 0.999), help="Add confidence intervals of this level: 0.95.")
@click.option("--scores", type=WRITABLE, help="Where the scored test rows go, as Parquet.")
@click.option("--report", type=WRITABLE, help="Where a report with curves goes, as HTML.")
@click.option("--truth", type=READABLE, help="Typologies, as `cardwatch simulate` writes them: recall by typology.")
@click.option("--families", is_flag=True, help="Then train and test again without each family of features in turn.")
def evaluate(
    data: Path | None,
    mapping: Path | None,
    preset: str | None,
    suggest: Path | None,
    output: Path,
    on_error: str,
    rejects: Path | None,
    families: bool,
    **flags: Any,
) -> None:
    """Train and test the detector on your own transactions.

    The same kernel, model and measures as in production, fold after fold: train, wait for the labels, test,
    without the cards that are known to be compromised by then. Prints a table and writes it as JSON.
    """
    if suggest is not None:
        _print_suggestion(suggest, data, mapping, preset)
        return
    data, mapping = _input(data, mapping, preset)
    from cli.evaluate.command import run  # noqa: PLC0415 (--help needs none of its libraries)
    from cli.evaluate.wanted import Wanted  # noqa: PLC0415 (likewise)

    if rejects is not None and on_error != "reject":
        raise click.UsageError("--rejects needs --on-error reject")
    wanted = Wanted(**{name: flags.pop(name) for name in Wanted.__struct_fields__})
    protocol: dict[str, int | date] = {
        name: value.date() if isinstance(value, datetime) else value
        for name, value in flags.items()
        if value is not None
    }
    set_aside = (rejects or data.with_name(data.name + ".rejects.csv")) if on_error == "reject" else None
    run(data, mapping, output, set_aside, protocol, with_families=families, wanted=wanted)


def _print_suggestion(suggest: Path, *others: object) -> None:
    from cli.evaluate.suggest import suggest_mapping  # noqa: PLC0415 (likewise)

    if any(other is not None for other in others):
        raise click.UsageError("--suggest FILE only prints a mapping: without --data, --mapping and --preset")
    click.echo(suggest_mapping(suggest), nl=False)


def _input(data: Path | None, mapping: Path | None, preset: str | None) -> tuple[Path, Path]:
    """The data and its mapping file."""
    from cli.evaluate.presets import NOTES, load_preset, preset_file  # noqa: PLC0415 (likewise)

    if data is None:
        raise click.UsageError("Missing option '--data'.")
    if preset is None:
        if mapping is None:
            raise click.UsageError("Missing option '--mapping', or '--preset'. (--suggest FILE proposes a mapping.)")
        return data, mapping
    if mapping is not None:
        raise click.UsageError("--mapping and --preset exclude each other")
    load_preset(preset, data)
    if note := NOTES[preset]:
        click.echo(f"Note: {note}")
    return data, preset_file(preset)
