"""`cardwatch label`: say of a decided transaction whether it was fraud."""

from __future__ import annotations

import click
import msgspec

from adapters.records.decision_search import find_decision
from adapters.records.labelling import write_label
from adapters.records.position import parse_position
from adapters.runtime.terminal_text import escaped
from cardwatch.cases.labels import investigator_label
from cardwatch.errors import CardwatchError, Misconfigured
from cli.decisions.following import newest_event_time
from cli.records.broker import broker_settings


@click.command()
@click.argument("transaction", metavar="ID", nargs=-1, required=True)
@click.option("--fraud/--genuine", "is_fraud", default=None, help="What the transaction was.")
@click.option(
    "--id", "is_id", is_flag=True, help="ID is the id of a transaction, even if it is written like a position."
)
def label(transaction: tuple[str, ...], *, is_fraud: bool | None, is_id: bool) -> None:
    """Label the decided transaction ID, or the one at a position like 2:17, as an investigator does.

    The label is written to the topic `labels` and observed at the newest event time, so that it counts in the next
    reference table, in monitoring and in training. Of several labels of a transaction the newest counts.

    \b
        cardwatch label 2:17 --fraud
        cardwatch label T-000123 --genuine
    """
    if is_fraud is None:
        raise Misconfigured("say what it was: --fraud or --genuine")
    settings = broker_settings()
    text = " ".join(transaction)
    found = find_decision(settings, text, None if is_id else parse_position(text))
    if found.decision is None:
        raise CardwatchError(found.searched)
    subject = found.decision.transaction
    now = newest_event_time(settings.kafka) or subject.occurred_at
    made = investigator_label(subject, is_fraud=is_fraud, now=now)
    write_label(settings, made)
    said = "fraud" if made.is_fraud else "genuine"
    observed = msgspec.to_builtins(made.observed_at)
    click.echo(f"{escaped(made.transaction_id)} is labelled {said}, observed {observed}")
