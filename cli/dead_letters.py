"""`cardwatch dead-letters`: list rejected records, and send those again that are valid now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from typing import Final

import click

from adapters.kafka.consumer import LogReader
from adapters.kafka.offsets import OffsetReader, commit_offsets
from adapters.kafka.producer import LogWriter
from adapters.kafka.topics import FIRST_RESPONSE_SECONDS, end_offsets, wait_for_broker
from adapters.runtime.settings import Settings, read_settings
from cardwatch.card_numbers import mask_card_numbers
from cardwatch.errors import BrokerUnavailable, InvalidRecord, Misconfigured
from cardwatch.events import DeadLetter, Transaction, decode
from cardwatch.topics import DEAD_LETTERS, TRANSACTIONS

GROUP: Final = "cardwatch-dead-letters"
"""Consumer group whose committed offsets say which dead letters were sent again or given up."""
READ_SECONDS: Final = 10.0
"""Timeout for the original of a letter that contains only its beginning."""


@click.group(name="dead-letters")
def dead_letters() -> None:
    """List rejected records, and send those again that are valid now."""


@dead_letters.command(name="list")
@click.option("--limit", default=20, type=click.IntRange(min=1), help="Show this many, the newest.")
def list_letters(limit: int) -> None:
    """List the newest dead letters: where the record lies, the reason, and its size."""
    letters = list(_letters(_settings(), {}))
    for letter in letters[-limit:]:
        size = letter.value_bytes or len(letter.value or b"")
        reason = mask_card_numbers(f"{letter.field}: {letter.reason}" if letter.field else letter.reason)
        click.echo(f"{letter.topic}[{letter.partition}] {letter.offset}: {reason} ({size:,} bytes)")
    click.echo(f"{len(letters):,} dead letters")


@dead_letters.command()
@click.option("--reason", default="", help="Only letters whose reason contains this text, such as 'wrong partition'.")
@click.option("--dry-run", is_flag=True, help="Send nothing; only say what would be sent.")
@click.option("--again", is_flag=True, help="Begin with the oldest letter, also with those that were sent before.")
def resend(*, reason: str, dry_run: bool, again: bool) -> None:
    """Send rejected transactions again that are valid now, each under its card as the key.

    Use it after a producer's partitioner or key was corrected. Records that are still invalid are counted and left.
    The next call begins after the letters of this one, unless --again is given. A call with --reason does not move this
    beginning, because it leaves out letters. A transaction that was decided already is recognised by its id, as long as
    it is among the last 16 of its card.
    """
    settings = _settings()
    sent: Counter[str] = Counter()
    ends = end_offsets(settings.kafka, DEAD_LETTERS)
    writer = LogWriter(settings.kafka, partitioner=settings.partitioner)
    for letter in _letters(settings, {} if again else _resent(settings, list(ends))):
        if reason not in letter.reason or letter.topic != TRANSACTIONS:
            sent["not selected"] += 1
            continue
        value = _original(settings, letter)
        if value is None:
            sent["cut, and the original is no longer in the topic"] += 1
            continue
        try:
            transaction = decode(value, Transaction)
        except InvalidRecord as error:
            sent[f"still invalid ({mask_card_numbers(str(error))[:80]})"] += 1
            continue
        if not dry_run:
            writer.write(TRANSACTIONS, transaction.card_id, value)
        sent["would be sent" if dry_run else "sent"] += 1
    writer.flush()
    if not dry_run and not reason:
        commit_offsets(settings.kafka, GROUP, DEAD_LETTERS, ends)
    for outcome, number in sorted(sent.items()):
        click.echo(f"{number:,} {outcome}")
    if not sent:
        click.echo("no dead letters that were not handled before")


def _settings() -> Settings:
    settings = read_settings()
    if not settings.kafka_bootstrap:
        raise Misconfigured("CARDWATCH_KAFKA_BOOTSTRAP is empty: name the broker that holds the dead letters")
    wait_for_broker(settings.kafka, FIRST_RESPONSE_SECONDS)
    return settings


def _resent(settings: Settings, partitions: list[int]) -> dict[int, int]:
    with closing(OffsetReader(settings.kafka, GROUP)) as offsets:
        return offsets.committed(DEAD_LETTERS, partitions)


def _letters(settings: Settings, starts: dict[int, int]) -> Iterator[DeadLetter]:
    """Yield the letters from `starts` to the present end of the topic."""
    ends = end_offsets(settings.kafka, DEAD_LETTERS)
    positions = {(DEAD_LETTERS, partition): starts.get(partition, 0) for partition in ends}
    with LogReader(settings.kafka, positions) as reader:
        while any(reader.reached(DEAD_LETTERS, partition) < end for partition, end in ends.items()):
            for record in reader.poll(1.0):
                try:
                    yield decode(record.value, DeadLetter)
                except InvalidRecord as error:
                    click.echo(
                        f"{DEAD_LETTERS}[{record.partition}] {record.offset} is no dead letter: {error}", err=True
                    )


def _original(settings: Settings, letter: DeadLetter) -> bytes | None:
    """Return the value of the rejected record, from the topic if the letter contains only its beginning."""
    if letter.value_sha256 is None:
        return letter.value
    position = (letter.topic, letter.partition)
    try:
        with LogReader(settings.kafka, {position: letter.offset}) as reader:
            records = reader.poll(READ_SECONDS, limit=1)
    except BrokerUnavailable:  # retention has deleted the record
        return None
    found = next((record.value for record in records if record.offset == letter.offset), None)
    return found if found is not None and sha256(found).hexdigest() == letter.value_sha256 else None
