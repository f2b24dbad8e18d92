"""`cardwatch down`: stop what `cardwatch up` has started."""

from __future__ import annotations

import click

from adapters.runtime.settings import read_settings
from cli.stack.places import short
from infra.local_stack.stack_home import StackHome


@click.command()
@click.option("--delete-data", is_flag=True, help="Delete log, archive, models and everything else of it, too.")
def down(*, delete_data: bool) -> None:
    """Stop the stack; its data stay, and the next `cardwatch up` goes on with them."""
    home = StackHome(read_settings())
    if home.record() is not None:
        click.echo("stopping the stack ...")
    stopped = home.stop()
    had_data = home.folder.exists()
    if delete_data:
        home.delete()
    what = "the stack has stopped" if stopped else f"no stack runs in {short(home.folder)}"
    data = "its data are deleted" if delete_data else "its data are kept"
    click.echo(f"{what}; {data}" if had_data else what)
