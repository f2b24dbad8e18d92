"""`cardwatch models`: the versions of the model, their stages, and who moved what when."""

from __future__ import annotations

from pathlib import Path

import click

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option("--moves", "shown_moves", default=10, type=click.IntRange(min=0), help="Show so many newest moves.")
@click.option("--json", "output", type=FILE, help="Write versions and all moves to this file.")
def models(shown_moves: int, output: Path | None) -> None:
    """List the versions of the model, newest first, with stage and verdict, and the newest moves between stages.

    The move log is checked: a move that was changed, left out or inserted ends the command with an error.
    """
    import msgspec  # noqa: PLC0415 (`--help` need not wait for it)
    from rich.console import Console  # noqa: PLC0415 (as above)

    from adapters.move_log.open import opened_ladder  # noqa: PLC0415 (as above)
    from adapters.move_log.overview import overview_of  # noqa: PLC0415 (as above)
    from adapters.runtime.files import write_atomically  # noqa: PLC0415 (as above)
    from cli.models.registry import ladder_settings  # noqa: PLC0415 (as above)
    from cli.models.text import tables_of  # noqa: PLC0415 (as above)

    with opened_ladder(ladder_settings()) as ladder:
        overview = overview_of(ladder.registry.versions(), ladder.mover)
    if output is not None:
        write_atomically(output, msgspec.json.format(msgspec.json.encode(overview)) + b"\n")
    console = Console()
    for table in tables_of(overview, shown_moves):
        console.print(table)
