"""`cardwatch console`: the address of the console, and its page."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import click
from PIL import Image

from adapters.local_stack.stack_home import StackHome
from adapters.runtime.settings import read_settings
from cardwatch.errors import CardwatchError, Misconfigured
from cli.console_page import build_console_page
from cli.stack.addresses import console_address, relative
from infra.console_page import PAGE, take_screenshots


@click.group(invoke_without_command=True)
@click.pass_context
def console(context: click.Context) -> None:
    """Print the address of the running stack's console, with the token that lets its page change something."""
    if context.invoked_subcommand is not None:
        return
    home = StackHome(read_settings())
    status = home.status()
    if status is None:
        raise CardwatchError(f"no stack runs in {relative(home.folder)}; `cardwatch up` starts one")
    click.echo(console_address(status))


@console.command()
def build() -> None:
    """Build the page of the console, unless there is one of these sources; needs npm's registry."""
    if problem := build_console_page(click.echo):
        raise CardwatchError(f"the page of the console cannot be built: {problem}")
    click.echo(relative(PAGE / "dist" / "index.html"))


@console.command()
@click.option("--replay", type=click.Path(path_type=Path), help="Replay of a demo.  [default: that of the last demo]")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("docs/images"), show_default=True)
def screenshots(replay: Path | None, folder: Path) -> None:
    """Write pictures of the console's views for the documentation, from the replay of a demo; needs Chromium."""
    replay = replay or read_settings().home / "demo" / "reports" / "replay.html"
    if not replay.is_file():
        raise Misconfigured(f"there is no replay {relative(replay)}; `cardwatch demo` writes one")
    if not folder.is_dir():
        raise Misconfigured(f"--folder {folder}: no such folder; run this in the root of the repository")
    with TemporaryDirectory() as taken:
        if problem := build_console_page(click.echo) or take_screenshots(replay, Path(taken)):
            raise CardwatchError(f"there are no pictures: {problem}")
        for picture in sorted(Path(taken).glob("*.png")):
            with Image.open(picture) as image:  # a third of the size, to the pixel
                image.save(folder / f"{picture.stem}.webp", lossless=True, method=6)
    click.echo(f"console-*.webp written to {folder}")
