"""`cardwatch cases`: the queue of challenged and declined transactions, and what is done with a case."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any, Final

import click
import msgspec

from adapters.cases.desk import CaseDesk, Position
from adapters.cases.opening import open_desk
from adapters.cases.shown import CaseFilter, CaseHistory
from adapters.records.position import FORMS_TEXT, parse_position
from adapters.records.printable import printable
from adapters.runtime.policy_file import read_policies
from cardwatch.cases.case import CaseOutcome, CaseState
from cardwatch.cases.history import Investigator, require_name
from cardwatch.errors import Misconfigured
from cardwatch.topics import TRANSACTIONS
from cli.cases.text import described, queue_lines
from cli.decisions.following import newest_event_time
from cli.records.broker import broker_settings

OPERATOR: Final = "operator"

_CASE: Final = click.argument("case", nargs=-1, required=True)
_IS_ID: Final = click.option(
    "--id", "is_id", is_flag=True, help="CASE is the id of a transaction, even if it is written like a position."
)
_AS: Final = click.option("--as", "by", default=OPERATOR, help="Name of who acts, with the rights of a supervisor.")
_JSON: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON, as the REST API answers.")


@click.group()
def cases() -> None:
    """List challenged and declined transactions as cases, and work on them.

    CASE is the position of its transaction like 2:17, or the id of the transaction. It uses the archive's index and the
    broker of the settings, else those of the stack that `cardwatch up` runs. The REST API of the console does the same.
    """


@cases.command(name="list")
@click.option(
    "--state",
    "states",
    type=click.Choice([state.value for state in CaseState]),
    multiple=True,
    help="Only cases in this state; may be repeated.  [default: open, assigned]",
)
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="Only cases of this event day.  [default: newest days]")
@click.option("--assignee", help="Only cases that are assigned to this name.")
@click.option("--overdue", is_flag=True, help="Only cases whose service level has passed.")
@click.option("--limit", default=20, type=click.IntRange(min=1), help="Show this many.")
@_JSON
def list_cases(
    states: tuple[str, ...], day: datetime | None, assignee: str | None, limit: int, *, overdue: bool, as_json: bool
) -> None:
    """List the queue: the largest expected loss first, within the capacity of each day."""
    chosen: dict[str, Any] = {"states": frozenset(map(CaseState, states))} if states else {}
    wanted = CaseFilter(
        **chosen,
        day=None if day is None else day.date(),
        assignee=assignee,
        is_overdue=True if overdue else None,
        limit=limit,
    )
    page = _desk().page(wanted)
    if as_json:
        click.echo(msgspec.json.encode(page))
        return
    for line in queue_lines(page):
        click.echo(line)


@cases.command()
@_CASE
@_IS_ID
@_JSON
def show(case: tuple[str, ...], *, is_id: bool, as_json: bool) -> None:
    """Show a case with its history and notes."""
    desk = _desk()
    _print(desk.show(_position(desk, case, is_id=is_id)), as_json=as_json)


@cases.command()
@_CASE
@_IS_ID
@click.option("--to", help="To whom it is assigned.  [default: who acts]")
@_AS
def assign(case: tuple[str, ...], to: str | None, by: str, *, is_id: bool) -> None:
    """Assign a case."""
    desk = _desk()
    _print(desk.assign(_position(desk, case, is_id=is_id), None, _investigator(by), by if to is None else to))


@cases.command()
@_CASE
@_IS_ID
@_AS
def release(case: tuple[str, ...], by: str, *, is_id: bool) -> None:
    """Put an assigned case back."""
    desk = _desk()
    _print(desk.release(_position(desk, case, is_id=is_id), None, _investigator(by)))


@cases.command()
@_CASE
@_IS_ID
@click.option("--text", required=True, help="The note. Card numbers in it are masked.")
@_AS
def note(case: tuple[str, ...], text: str, by: str, *, is_id: bool) -> None:
    """Add a note to a case."""
    desk = _desk()
    _print(desk.note(_position(desk, case, is_id=is_id), None, _investigator(by), text))


@cases.command()
@_CASE
@_IS_ID
@click.option("--outcome", required=True, type=click.Choice([each.value for each in CaseOutcome]))
@click.option("--comment", default="", show_default=False, help="Why. Card numbers in it are masked.")
@_AS
def decide(case: tuple[str, ...], outcome: str, comment: str, by: str, *, is_id: bool) -> None:
    """Decide a case: with fraud or genuine its label is written to the topic `labels` before the case is decided.

    \b
        cardwatch cases decide 2:17 --outcome fraud --comment 'the cardholder did not pay'
    """
    desk = _desk()
    position = _position(desk, case, is_id=is_id)
    _print(desk.decide(position, None, _investigator(by), CaseOutcome(outcome), comment))


def _desk() -> CaseDesk:
    settings = broker_settings()
    return open_desk(settings, read_policies(settings), partial(newest_event_time, settings.kafka))


def _position(desk: CaseDesk, case: tuple[str, ...], *, is_id: bool) -> Position:
    text = " ".join(case)
    found = None if is_id else parse_position(text)
    if found is None:
        return desk.position_of(text)
    if found.topic != TRANSACTIONS:
        raise Misconfigured(f"{printable(text)!r} is no transaction: give its id, or its position like {FORMS_TEXT}")
    return found.partition, found.offset


def _investigator(name: str) -> Investigator:
    return Investigator(require_name(name, "--as"), is_supervisor=True)


def _print(shown: CaseHistory, *, as_json: bool = False) -> None:
    if as_json:
        click.echo(msgspec.json.encode(shown))
        return
    for line in described(shown):
        click.echo(line)
