"""`cardwatch steps`: hold the stream worker before a step of the commit order, and let it go on."""

from __future__ import annotations

import click

from adapters.local_stack.stack_home import StackHome
from adapters.runtime.settings import read_settings
from adapters.runtime.step_hold import HELD_STEPS, StepHold
from cardwatch.errors import Misconfigured
from cli.stack.addresses import relative

_SETTING = "CARDWATCH_HOLD_STEPS"


@click.group()
def steps() -> None:
    """Walk through the commit order: hold the stream worker before a step, kill it there, and see what it repeats.

    The stack has to be started with CARDWATCH_HOLD_STEPS=true.
    """


@steps.command()
@click.argument("step", type=click.Choice(HELD_STEPS))
def hold(step: str) -> None:
    """Let the worker stand still before STEP of its next batch."""
    _hold().ask(step)
    click.echo(f"the worker stands still before {step} of its next batch, until `cardwatch steps release`")


@steps.command()
def release() -> None:
    """Let the worker go on."""
    _hold().release()
    click.echo("the worker goes on")


@steps.command()
def show() -> None:
    """Say whether the worker stands still, and where."""
    hold = _hold()
    held, asked = hold.held(), hold.asked()
    if held is not None:
        click.echo(f"process {held.pid} stands still before {held.step}")
    else:
        click.echo(f"the worker runs; it will stand still before {asked}" if asked else "the worker runs")


def _hold() -> StepHold:
    home = StackHome(read_settings())
    status = home.status()
    if status is None:
        raise Misconfigured(f"no stack runs in {relative(home.folder)}; `{_SETTING}=true cardwatch up` starts one")
    if status.environment.get(_SETTING, "").lower() != "true":
        raise Misconfigured(f"this stack holds no steps: start it with {_SETTING}=true cardwatch up")
    return StepHold(home.folder / "run")
