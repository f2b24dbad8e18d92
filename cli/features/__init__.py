"""`cardwatch features`: generates the page and the picture that document the features."""

from __future__ import annotations

from pathlib import Path

import click

from cardwatch.errors import Misconfigured
from cli.features.document import document
from cli.features.picture import picture


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), default=Path("docs"))
def features(folder: Path) -> None:
    """Write features.md and images/update.svg into the documentation folder."""
    if not folder.is_dir():
        raise Misconfigured(f"--folder {folder}: no such folder; run this in the root of the repository")
    (folder / "images").mkdir(exist_ok=True)
    (folder / "features.md").write_text(document(), encoding="utf-8")
    (folder / "images" / "update.svg").write_text(picture(), encoding="utf-8")
    click.echo(f"features.md and images/update.svg written to {folder}")
