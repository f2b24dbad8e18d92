"""`cardwatch console`: the address of the console, and its page."""

from __future__ import annotations

import click

from adapters.local_stack.stack_home import StackHome
from adapters.runtime.settings import read_settings
from cardwatch.errors import CardwatchError
from cli.console_page import build_console_page
from cli.stack.addresses import console_address, relative
from infra.console_page import PAGE


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
