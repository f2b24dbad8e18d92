"""`cardwatch tour`: generates the walk through the design, as a page and as the data of the console's tour."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from adapters.runtime.files import write_atomically
from cardwatch.errors import Misconfigured
from cli.tour.catalogue import figures
from cli.tour.document import document, tour_data, tour_json
from cli.tour.figures import shown
from cli.tour.reading import ROOT

PAGE_DATA: Final = ROOT / "services" / "console" / "page" / "src" / "generated" / "tour.json"
"""What the console's page imports. It is rebuilt from `docs/tour` and not committed."""


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), default=Path("docs"))
@click.option(
    "--json", "data_file", type=click.Path(path_type=Path), default=PAGE_DATA, help="File for the page's data."
)
@click.option("--figures", "is_list", is_flag=True, help="List all figures that the texts may name, and write nothing.")
def tour(folder: Path, data_file: Path, is_list: bool) -> None:
    """Write whiteboard.md into the documentation folder, and the tour's data for the page of the console."""
    known = figures()
    if is_list:
        for name, figure in sorted(known.items()):
            click.echo(f"{name:<48} {shown(figure):>16}  {figure.source}")
        return
    if not folder.is_dir():
        raise Misconfigured(f"--folder {folder}: no such folder; run this in the root of the repository")
    data = tour_data(known)
    (folder / "whiteboard.md").write_text(document(data), encoding="utf-8")
    write_page_data(data, data_file)
    click.echo(f"whiteboard.md written to {folder}, and the data of the page to {data_file}")


def write_page_data(data: Mapping[str, Any], file: Path = PAGE_DATA) -> None:
    """Write the tour for the page of the console, which must be there before the page is built."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, tour_json(data).encode())
