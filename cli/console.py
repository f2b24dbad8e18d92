"""`cardwatch console`: the address of the console, and its page."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from PIL import Image

from adapters.local_stack.stack_home import StackHome, StackStatus
from adapters.runtime.settings import read_settings
from cardwatch.errors import CardwatchError, Misconfigured
from cli.console_page import build_console_page
from cli.stack.addresses import console_address, relative
from infra.console_page import PAGE, take_running_screenshots, take_screenshots


@click.group(invoke_without_command=True)
@click.pass_context
def console(context: click.Context) -> None:
    """Print the address of the running stack's console, with the token that lets its page change something."""
    if context.invoked_subcommand is not None:
        return
    click.echo(console_address(_running()))


@console.command()
def build() -> None:
    """Build the page of the console, unless there is one of these sources; needs npm's registry."""
    if problem := build_console_page(click.echo):
        raise CardwatchError(f"the page of the console cannot be built: {problem}")
    click.echo(relative(PAGE / "dist" / "index.html"))


@console.command()
@click.option("--replay", type=click.Path(path_type=Path), help="Replay of a demo.  [default: that of the last demo]")
@click.option("--running", is_flag=True, help="Of the running stack, the views that a replay does not have.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("docs/images"), show_default=True)
def screenshots(replay: Path | None, running: bool, folder: Path) -> None:
    """Write pictures of the console's views for the documentation; needs Chromium.

    They are taken from the replay of a demo or, with --running, from a running stack, to which a payment is sent.
    """
    if running and replay is not None:
        raise Misconfigured("--running and --replay exclude each other: pictures are of a stack or of a recording")
    if not folder.is_dir():
        raise Misconfigured(f"--folder {folder}: no such folder; run this in the root of the repository")
    take = _of_running_stack() if running else _of_replay(replay)
    with TemporaryDirectory() as taken:
        if problem := build_console_page(click.echo) or take(Path(taken)):
            raise CardwatchError(f"there are no pictures: {problem}")
        for picture in sorted(Path(taken).glob("*.png")):
            with Image.open(picture) as image:  # a third of the size, to the pixel
                image.save(folder / f"{picture.stem}.webp", lossless=True, method=6)
    click.echo(f"console-*.webp written to {folder}")


def _of_replay(replay: Path | None) -> Callable[[Path], str | None]:
    replay = replay or read_settings().home / "demo" / "reports" / "replay.html"
    if not replay.is_file():
        raise Misconfigured(f"there is no replay {relative(replay)}; `cardwatch demo` writes one")
    return partial(take_screenshots, replay)


def _of_running_stack() -> Callable[[Path], str | None]:
    return partial(take_running_screenshots, console_address(_running()))


def _running() -> StackStatus:
    home = StackHome(read_settings())
    status = home.status()
    if status is None:
        raise CardwatchError(f"no stack runs in {relative(home.folder)}; `cardwatch up` starts one")
    return status
