"""`cardwatch ps`: the processes of the stack and their states."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, NamedTuple

import click
from rich.console import Console
from rich.table import Table

from adapters.local_stack.process_record import StackRecord
from adapters.local_stack.process_tree import ProcessIdentity, memory_bytes
from adapters.local_stack.readiness import unready_reasons
from adapters.local_stack.stack_home import StackHome, StackStatus
from adapters.runtime.addresses import without_userinfo
from adapters.runtime.clock import epoch_ms
from adapters.runtime.settings import read_settings
from cardwatch.errors import CardwatchError
from cli.stack.addresses import relative

HEADINGS: Final = ("name", "pid", "up", "MB", "address", "state")
_RIGHT_ALIGNED: Final = ("pid", "up", "MB")


class ProcessRow(NamedTuple):
    """The cells of one process."""

    name: str
    pid: str
    up: str
    megabytes: str
    address: str
    state: str


@click.command()
def ps() -> None:
    """List the stack's processes with uptime, memory, address and state."""
    home = StackHome(read_settings())
    record, status = home.record(), home.status()
    if record is None:
        raise CardwatchError(f"no stack runs in {relative(home.folder)}; `cardwatch up` starts one")
    if status is None:
        raise CardwatchError("the stack is about to start; `cardwatch logs stack` shows its progress")
    _print_table(process_rows(record, status))


def process_rows(record: StackRecord, status: StackStatus) -> list[ProcessRow]:
    """Return a row for each process, the supervisor first."""
    alive = {name: identity for name, identity in record.processes.items() if identity.alive}
    reasons = unready_reasons({name: endpoint for name, endpoint in status.endpoints.items() if name in alive})
    rows = [_row("stack", status.owner, "", "supervises the others", leader_only=True)]
    for name, endpoint in status.endpoints.items():
        if name in record.processes:
            state = _state(name, status, reasons, is_alive=name in alive)
            rows.append(_row(name, alive.get(name), endpoint.address, state))
        else:
            rows.append(_row(name, None, endpoint.address, "external"))
    return rows


def _state(name: str, status: StackStatus, reasons: dict[str, str | None], *, is_alive: bool) -> str:
    if name in status.finished:
        return "done"
    if not is_alive:
        return "has exited and will be restarted"
    reason = reasons[name]
    restarts = f" (restarted {count} x)" if (count := status.restarts.get(name)) else ""
    return ("ready" if reason is None else f"waits: {reason}") + restarts


def _row(
    name: str, identity: ProcessIdentity | None, address: str, state: str, *, leader_only: bool = False
) -> ProcessRow:
    address, state = without_userinfo(address), without_userinfo(state)
    if identity is None:
        return ProcessRow(name, "", "", "", address, state)
    age = timedelta(seconds=max(int(epoch_ms() / 1000.0 - identity.created), 0))
    megabytes = memory_bytes(identity, leader_only=leader_only) / 1e6
    return ProcessRow(name, str(identity.pid), str(age), f"{megabytes:.0f}", address, state)


def _print_table(rows: list[ProcessRow]) -> None:
    console = Console()
    if console.is_terminal:
        table = Table(box=None, pad_edge=False)
        for heading in HEADINGS:
            table.add_column(heading, justify="right" if heading in _RIGHT_ALIGNED else "left", overflow="fold")
        for row in rows:
            table.add_row(*row)
        console.print(table, highlight=False)
        return
    lines = [HEADINGS, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
