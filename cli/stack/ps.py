"""`cardwatch ps`: what of the stack runs, and how it is."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, NamedTuple

import click
from rich.console import Console
from rich.table import Table

from adapters.runtime.clock import epoch_ms
from adapters.runtime.settings import read_settings
from cardwatch.errors import CardwatchError
from cli.stack.places import short
from infra.local_stack.process_record import StackRecord
from infra.local_stack.process_tree import ProcessIdentity, memory_bytes
from infra.local_stack.running_stack import why_not_ready
from infra.local_stack.stack_home import StackHome, Standing

HEADINGS: Final = ("name", "pid", "up", "MB", "address", "state")
_RIGHT: Final = ("pid", "up", "MB")


class Line(NamedTuple):
    """What is shown of one process."""

    name: str
    pid: str
    up: str
    megabytes: str
    address: str
    state: str


@click.command()
def ps() -> None:
    """List the stack's processes: since when, with how much memory, where, and what each waits for, if it does."""
    home = StackHome(read_settings())
    record, standing = home.record(), home.standing()
    if record is None:
        raise CardwatchError(f"no stack runs in {short(home.folder)}; `cardwatch up` starts one")
    if standing is None:
        raise CardwatchError("the stack is only about to start; `cardwatch logs stack` shows how far it is")
    _show([*lines(record, standing)])


def lines(record: StackRecord, standing: Standing) -> list[Line]:
    """A line for each process, the stack's own first."""
    alive = {name: who for name, who in record.processes.items() if who.alive}
    reasons = why_not_ready({name: place for name, place in standing.places.items() if name in alive})
    shown = [_line("stack", standing.owner, "", "looks after the others", alone=True)]
    for name, place in standing.places.items():
        if name in record.processes:
            state = _state(name, standing, reasons, is_alive=name in alive)
            shown.append(_line(name, alive.get(name), place.address, state))
        else:
            shown.append(_line(name, None, place.address, "is somebody else's"))
    return shown


def _state(name: str, standing: Standing, reasons: dict[str, str | None], *, is_alive: bool) -> str:
    if name in standing.done:
        return "done"
    if not is_alive:
        return "has died; it is started again in a moment"
    why = reasons[name]
    again = f" (started again {count} x)" if (count := standing.revived.get(name)) else ""
    return ("ready" if why is None else f"waits: {why}") + again


def _line(name: str, who: ProcessIdentity | None, address: str, state: str, *, alone: bool = False) -> Line:
    if who is None:
        return Line(name, "", "", "", address, state)
    age = timedelta(seconds=max(int(epoch_ms() / 1000.0 - who.created), 0))
    return Line(name, str(who.pid), str(age), f"{memory_bytes(who, alone=alone) / 1e6:.0f}", address, state)


def _show(shown: list[Line]) -> None:
    console = Console()
    if console.is_terminal:
        table = Table(box=None, pad_edge=False)
        for heading in HEADINGS:
            table.add_column(heading, justify="right" if heading in _RIGHT else "left", overflow="fold")
        for line in shown:
            table.add_row(*line)
        console.print(table, highlight=False)
        return
    rows = [HEADINGS, *shown]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
