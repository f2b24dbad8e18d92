"""`cardwatch tour`: generates the walk through the design, as a page and as the data of the console's tour."""

from __future__ import annotations

from pathlib import Path

import click

from cardwatch.errors import Misconfigured
from cli.figures import shown
from cli.tour.catalogue import figures
from cli.tour.document import document, tour_data
from cli.tour.page_data import PAGE_DATA, write_page_data


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), default=Path("docs"))
@click.option(
    "--json", "data_file", type=click.Path(path_type=Path), default=PAGE_DATA, help="File for the page's data."
)
@click.option("--json-only", "is_json_only", is_flag=True, help="Write the page's data only, as the images need it.")
@click.option("--figures", "is_list", is_flag=True, help="List all figures that the texts may name, and write nothing.")
def tour(folder: Path, data_file: Path, is_json_only: bool, is_list: bool) -> None:
    """Write whiteboard.md into the documentation folder, and the tour's data for the page of the console."""
    known = figures()
    if is_list:
        for name, figure in sorted(known.items()):
            click.echo(f"{name:<48} {shown(figure):>16}  {figure.source}")
        return
    data = tour_data(known)
    if not is_json_only:
        if not folder.is_dir():
            raise Misconfigured(f"--folder {folder}: no such folder; run this in the root of the repository")
        (folder / "whiteboard.md").write_text(document(data), encoding="utf-8")
        click.echo(f"whiteboard.md written to {folder}")
    write_page_data(data, data_file)
    click.echo(f"the tour of the console's page written to {data_file}")
