"""`cardwatch decisions`: follow the decisions of record, and explain one of them."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import click

from adapters.records.decision_search import find_decision
from adapters.records.position import parse_position
from cardwatch.errors import CardwatchError
from cardwatch.events import Action, encode
from cli.decisions.following import DecisionFilter, follow, newest_decisions
from cli.decisions.text import HEADING, described, one_line
from cli.records.broker import broker_settings

MAX_LAST: Final = 100_000
"""Maximum number of decisions of the past that are put into the order of their times, in memory. With
--from-beginning they are printed while they are read."""


@click.group()
def decisions() -> None:
    """Follow the decisions of record, and explain one of them.

    Only committed decisions are read. The broker is the one of CARDWATCH_KAFKA_BOOTSTRAP, else that of the stack that
    `cardwatch up` runs.
    """


@decisions.command()
@click.option("--action", "actions", type=click.Choice([action.value for action in Action]), multiple=True,
              help="Only decisions with this action; may be repeated.")  # fmt: skip
@click.option("--card", default="", show_default=False, help="Only decisions about this card.")
@click.option("--degraded", is_flag=True, help="Only decisions that the rules made.")
@click.option("--last", default=10, type=click.IntRange(0, MAX_LAST),
              help="Begin with this many decisions of the past.")  # fmt: skip
@click.option("--from-beginning", is_flag=True, help="Begin with the oldest decision that the topic holds.")
@click.option("--no-follow", is_flag=True, help="End at the end of the topic instead of waiting for new decisions.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole records, as JSON lines.")
def tail(
    *,
    actions: tuple[str, ...],
    card: str,
    degraded: bool,
    last: int,
    from_beginning: bool,
    no_follow: bool,
    as_json: bool,
) -> None:
    """Print the newest decisions, and new ones until Ctrl-C.

    The columns: when it was decided (UTC), partition and offset of the transaction in `transactions`, the transaction,
    its card, its amount in minor units, the action, the probability of fraud, the time from the log to the decision,
    and the reasons. `--last` counts decisions that the filters let pass.

    \b
        cardwatch decisions tail --action decline --action challenge
        cardwatch decisions tail --degraded --last 100 --no-follow
        cardwatch decisions tail --from-beginning --no-follow --json > decisions.jsonl
    """
    kafka = broker_settings().kafka
    wanted = DecisionFilter(frozenset(map(Action, actions)), card, degraded=degraded)
    with suppress(KeyboardInterrupt):
        if not as_json:
            click.echo(HEADING)
        past = newest_decisions(kafka, wanted, None if from_beginning else last)
        for decision in past.decisions:
            click.echo(encode(decision) if as_json else one_line(decision))
        for decision in follow(kafka, past.ends, wanted) if not no_follow else ():
            click.echo(encode(decision) if as_json else one_line(decision))


@decisions.command()
@click.argument("transaction", metavar="ID", nargs=-1, required=True)
@click.option(
    "--id", "is_id", is_flag=True, help="ID is the id of a transaction, even if it is written like a position."
)
@click.option("--json", "as_json", is_flag=True, help="Print the whole record as JSON.")
def show(transaction: tuple[str, ...], *, is_id: bool, as_json: bool) -> None:
    """Explain the decision of the transaction ID, or of the one at a position like 2:17.

    A position is the partition and offset of the transaction in `transactions`, as `tail` and the log lines of the
    stream worker print it. The newest decisions are looked at first, so an old one takes longer.

    \b
        cardwatch decisions show 2:17
        cardwatch decisions show T-000123
    """
    text = " ".join(transaction)
    found = find_decision(broker_settings(), text, None if is_id else parse_position(text))
    if found.decision is None:
        raise CardwatchError(found.searched)
    click.echo(encode(found.decision) if as_json else described(found.decision))
