"""`cardwatch contracts`: the JSON Schemas of everything that travels, generated from the core's types."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click
import msgspec

from cardwatch.events import DeadLetter, Decision, Label, Transaction
from cardwatch.progress import Progress

CONTRACTS: Final[dict[str, Any]] = {
    "transaction": Transaction,
    "label": Label,
    "decision": Decision,
    "dead-letter": DeadLetter,
    "progress": Progress,
}


def schema(name: str) -> str:
    """The JSON Schema of one contract, as the text of its file."""
    return msgspec.json.format(msgspec.json.encode(msgspec.json.schema(CONTRACTS[name])), indent=2).decode() + "\n"


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), default=Path("docs/contracts"))
def contracts(folder: Path) -> None:
    """Write the JSON Schemas of the topics' records."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in CONTRACTS:
        (folder / f"{name}.schema.json").write_text(schema(name))
    click.echo(f"{len(CONTRACTS)} schemas written to {folder}")
