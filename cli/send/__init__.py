"""`cardwatch send`: send transactions to the log, and wait for their decisions of record."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import BinaryIO, Final

import click

from adapters.records.delivery import Delivery, DeliveryOutcome, LoggedTransaction
from adapters.records.printable import printable
from adapters.runtime.clock import epoch_ms
from adapters.runtime.settings import Settings
from adapters.runtime.terminal_text import escaped
from adapters.tracing.open import producer_span
from cardwatch.errors import CardwatchError, Misconfigured
from cardwatch.events import Transaction, encode, from_epoch_ms
from cardwatch.simulation.presets import presets
from cli.decisions.text import HEADING, one_line
from cli.finite_range import FiniteRange
from cli.records.broker import broker_settings, stack_settings
from cli.send.asking import ask
from cli.send.fields import field_options, transaction_from_options
from cli.send.lines import read_transactions
from cli.send.preset_payments import preset_transactions

MIN_SECONDS: Final = 0.1
MAX_SECONDS: Final = 86_400.0
"""Range of the timeout. A record is collected with others for some ms, and the clients count ms in 32 bits."""


@click.command()
@click.argument("file", type=click.File("rb"), required=False)
@click.option("--preset", metavar="NAME", help=f"One of {', '.join(each.name for each in presets())}.")
@click.option("--preset-seed", default=0, type=click.IntRange(0, 2**31 - 1), help="Another number, another example.")
@field_options
@click.option("--ask-only", is_flag=True, help="Send nothing: ask the scoring service what would be decided.")
@click.option("--hops", is_flag=True, help="Say when each hop was reached: log, decision, commit.")
@click.option("--on-error", default="refuse", type=click.Choice(["refuse", "skip"]),
              help="Send nothing if a line of FILE is no transaction, or leave that line out.")  # fmt: skip
@click.option("--timeout", "timeout_seconds", default=30.0, type=FiniteRange(MIN_SECONDS, MAX_SECONDS),
              help="Seconds to wait for the broker, and then for the decisions.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the whole decisions, as JSON lines.")
def send(
    file: BinaryIO | None,
    *,
    preset: str | None,
    preset_seed: int,
    ask_only: bool,
    hops: bool,
    on_error: str,
    timeout_seconds: float,
    as_json: bool,
    **fields: str | None,
) -> None:
    """Send transactions to the log, and print their decisions of record.

    FILE has one transaction as JSON per line; - is the standard input. Without FILE, the options give the fields of one
    transaction, which docs/contracts/transaction.schema.json describes. Everything is checked before anything is sent.

    \b
        cardwatch example --json | cardwatch send -
        cardwatch send payments.jsonl --on-error skip --json > decisions.jsonl
        cardwatch send --card-id card-1 --merchant-id shop-1 --amount-minor 12990 --currency EUR \\
            --merchant-category 5732 --channel ecommerce --country DE --occurred-at 2025-03-08T12:00:00Z
        cardwatch send --preset card-testing --card-id card-000017 --hops

    A preset is a genuine payment of the card, or an incident of a typology of fraud as the simulated world has it, at
    the newest event time of the running system. With --ask-only nothing is sent and nothing changes.

    `cardwatch example` takes card, merchant and time from the running stack. The event time of a simulated stack is not
    that of the clock, and a payment on a day without a reference table is decided by the rules.

    Sending is safe to repeat: a transaction that was decided before gets no second decision, as long as its id is among
    the last 16 of its card, and the earlier decision is printed. The exit status is 1 if a transaction was rejected or
    has no decision in time.

    With CARDWATCH_TRACES_URL the transactions are traced, and the traceparent with the id of the trace is printed.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    if file is not None and (given or preset):
        raise Misconfigured(f"give FILE or {_option(next(iter(given), 'preset'))}, not both")
    settings = broker_settings() if preset else None
    if file is not None:
        transactions = read_transactions(file, skip=on_error == "skip", report=_tell)
    elif settings is not None and preset:
        transactions = preset_transactions(settings, preset, given, preset_seed)
    elif given:
        transactions = [transaction_from_options(given, from_epoch_ms(int(epoch_ms())))]
    else:
        raise Misconfigured("nothing to send: give FILE, - for the standard input, or the fields of one transaction")
    settings = settings or (stack_settings() if ask_only else broker_settings())
    if ask_only:
        for line in ask(settings, transactions, as_json=as_json):
            click.echo(line)
        return
    _send(settings, transactions, timeout_seconds, as_json=as_json, hops=hops)


def _send(
    settings: Settings, transactions: list[Transaction], timeout_seconds: float, *, as_json: bool, hops: bool
) -> None:
    with closing(Delivery(settings, transactions, timeout_seconds)) as delivery:
        try:
            failed = _deliver(settings, delivery, as_json=as_json, hops=hops)
        except KeyboardInterrupt:
            _tell(f"\n{delivery.so_far()}")
            raise
        if reason := delivery.unanswered():
            raise CardwatchError(reason)
    if failed:
        sys.exit(1)


def _deliver(settings: Settings, delivery: Delivery, *, as_json: bool, hops: bool) -> bool:
    """Write the transactions and print their outcomes; return whether one was rejected."""
    failed = False
    with producer_span(settings, "send", "send transactions") as headers:
        delivery.write(headers)
        for name, value in headers:
            _tell(f"{name}: {value.decode()}")
        if not as_json:
            click.echo(HEADING)
        if hops:
            _tell(f"acknowledged by the log after {delivery.acknowledged_ms:,.1f} ms")
        for outcome in delivery.steps():
            if hops:
                _tell(_hop(outcome))
            if isinstance(outcome, LoggedTransaction):
                continue
            if outcome.decision is not None:
                click.echo(encode(outcome.decision) if as_json else one_line(outcome.decision))
            if message := _message(outcome):
                _tell(message)
            failed |= outcome.letter is not None
    return failed


def _hop(step: LoggedTransaction | DeliveryOutcome) -> str:
    name = escaped(step.transaction.transaction_id)
    if isinstance(step, LoggedTransaction):
        return f"{name} is in the log at {step.position}, read after {step.after_ms:,.1f} ms"
    if step.decision is None or step.was_decided_before:
        return f"{name} has its outcome after {step.after_ms:,.1f} ms"
    return (
        f"{name} was decided {step.decision.latency_ms:,.1f} ms after its record came into the log; the committed "
        f"decision was read after {step.after_ms:,.1f} ms"
    )


def _message(outcome: DeliveryOutcome) -> str:
    """Return what is to be said about a transaction beside its decision."""
    name = escaped(outcome.transaction.transaction_id)
    if outcome.letter is not None:
        where = f"{outcome.letter.partition}:{outcome.letter.offset}"
        reason = printable(f"{outcome.letter.field}: {outcome.letter.reason}")
        return f"{name} was rejected: {reason}. `cardwatch dead-letters show {where}`"
    if not outcome.was_decided_before:
        return ""
    if outcome.decision is None:
        return f"{name} was decided before, and its decision is no longer in the topic"
    return f"{name} was decided before, at {outcome.decision.partition}:{outcome.decision.offset}; nothing was added"


def _tell(text: str) -> None:
    click.echo(text, err=True)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
