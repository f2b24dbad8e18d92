"""`cardwatch down`: stop the stack that `cardwatch up` has started."""

from __future__ import annotations

import click

from adapters.local_stack.stack_home import StackHome
from adapters.runtime.settings import read_settings
from cli.stack.addresses import relative


@click.command()
@click.option("--delete-data", is_flag=True, help="Also delete the stack's data: log, archive, models and the rest.")
def down(*, delete_data: bool) -> None:
    """Stop the stack. Its data are kept, and the next `cardwatch up` continues with them."""
    home = StackHome(read_settings())
    if home.record() is not None:
        click.echo("stopping the stack ...")
    stopped = home.stop()
    had_data = home.folder.exists()
    if delete_data:
        home.delete()
    what = "the stack has stopped" if stopped else f"no stack runs in {relative(home.folder)}"
    data = "its data are deleted" if delete_data else "its data are kept"
    click.echo(f"{what}; {data}" if had_data else what)
