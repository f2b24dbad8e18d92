"""`cardwatch dead-letters`: list and show rejected records, and send those again that are valid now."""

from __future__ import annotations

from collections import Counter
from typing import Final

import click

from adapters.kafka.offsets import commit_offsets
from adapters.kafka.producer import LogWriter
from adapters.kafka.topics import end_offsets
from adapters.records.dead_letters import GROUP, find_letter, letters_to_resend, newest_letters, read_original
from adapters.records.position import FORMS_TEXT, parse_position
from adapters.records.printable import printable
from adapters.records.resending import resend_letter, resendable
from cardwatch.errors import CardwatchError, Misconfigured
from cardwatch.topics import DEAD_LETTERS, TRANSACTIONS
from cli.dead_letters.text import described, one_line
from cli.records.broker import broker_settings

SHOWN_BYTES: Final = 2_000
"""Number of bytes of a value that `show` prints without --all. A valid transaction has a few hundred."""

_REASON: Final = click.option(
    "--reason",
    default="",
    show_default=False,
    help="Only letters whose reason contains this text, such as 'wrong partition'.",
)


@click.group(name="dead-letters")
def dead_letters() -> None:
    """List and show rejected records, and send those again that are valid now.

    The broker is the one of CARDWATCH_KAFKA_BOOTSTRAP, else that of the stack that `cardwatch up` runs.
    """


@dead_letters.command(name="list")
@click.option("--limit", default=20, type=click.IntRange(min=1), help="Show this many, the newest.")
@_REASON
def list_letters(limit: int, reason: str) -> None:
    """List the newest dead letters, oldest first: when, where the record lies, the reason, and its size.

    `cardwatch dead-letters show` prints one of them in full.
    """
    letters = newest_letters(broker_settings().kafka, limit, reason)
    for each in letters.newest:
        click.echo(one_line(each))
    selected = f" with {reason!r} in the reason" if reason else ""
    click.echo(f"{letters.total:,} dead letters{selected}" + (f", {limit:,} shown" if letters.total > limit else ""))


@dead_letters.command()
@click.argument("position", nargs=-1, required=True)
@click.option("--all", "whole", is_flag=True, help=f"Print all bytes.  [default: the first {SHOWN_BYTES:,}]")
@click.option("--hex", "as_hex", is_flag=True, help="Print the bytes as hexadecimal numbers, also those of a text.")
def show(position: tuple[str, ...], *, whole: bool, as_hex: bool) -> None:
    """Show why the record at POSITION was rejected, and its bytes.

    POSITION is the partition and offset of the record in `transactions`, as `list` and the log lines of the stream
    worker print it. These are the same:

    \b
        cardwatch dead-letters show 2:17
        cardwatch dead-letters show transactions-2-17
        cardwatch dead-letters show 'transactions[2] 17'

    Card numbers in key and value are masked. Of a long record the letter has the beginning only; the whole is then read
    from the topic, if retention still keeps it.
    """
    wanted = parse_position(" ".join(position))
    if wanted is None:
        raise Misconfigured(f"{printable(' '.join(position))!r} is no position like {FORMS_TEXT}")
    kafka = broker_settings().kafka
    found = find_letter(kafka, wanted)
    if found.letter is None:
        raise CardwatchError(f"there is no dead letter of {wanted}. {found.searched}. `cardwatch dead-letters list`")
    original = read_original(kafka, found.letter.letter)
    click.echo(described(found.letter, original, shown_bytes=None if whole else SHOWN_BYTES, as_hexadecimal=as_hex))


@dead_letters.command()
@click.argument("position", nargs=-1)
@_REASON
@click.option("--dry-run", is_flag=True, help="Send nothing; only say what would be sent.")
@click.option("--again", is_flag=True, help="Begin with the oldest letter, also with those that were sent before.")
def resend(position: tuple[str, ...], *, reason: str, dry_run: bool, again: bool) -> None:
    """Send rejected transactions again that are valid now, each under its card as the key.

    Use it after a producer's partitioner or key was corrected. Records that are still invalid are counted and left.
    The next call begins after the letters of this one, unless --again is given. A call with --reason does not move this
    beginning, because it leaves out letters. A transaction that was decided already is recognised by its id, as long as
    it is among the last 16 of its card.

    With a POSITION like 2:17, only the record that lay there is sent, whether it was sent before or not. This does not
    move the beginning either.
    """
    if position:
        if reason or again:
            raise Misconfigured("give a position, or --reason and --again, not both")
        _resend_one(" ".join(position), dry_run=dry_run)
        return
    settings = broker_settings()
    outcomes: Counter[str] = Counter()
    ends = end_offsets(settings.kafka, DEAD_LETTERS)
    writer = LogWriter(settings.kafka, partitioner=settings.partitioner)
    for each in letters_to_resend(settings.kafka, ends, again=again):
        if reason not in each.letter.reason:
            outcomes["not selected"] += 1
            continue
        record = resendable(settings.kafka, each)
        if record.obstacle:
            outcomes[record.obstacle] += 1
            continue
        if not dry_run:
            writer.write(TRANSACTIONS, record.card_id, record.value)
        outcomes["would be sent" if dry_run else "sent"] += 1
    writer.flush()
    if not dry_run and not reason:
        commit_offsets(settings.kafka, GROUP, DEAD_LETTERS, ends)
    for outcome, number in sorted(outcomes.items()):
        click.echo(f"{number:,} {outcome}")
    if not outcomes:
        click.echo("no dead letters that were not handled before")


def _resend_one(text: str, *, dry_run: bool) -> None:
    wanted = parse_position(text)
    if wanted is None:
        raise Misconfigured(f"{printable(text)!r} is no position like {FORMS_TEXT}")
    record = resend_letter(broker_settings(), wanted, dry_run=dry_run)
    if record.obstacle:
        raise CardwatchError(f"the record at {wanted} was not sent: {record.obstacle}")
    click.echo("1 would be sent" if dry_run else "1 sent")
