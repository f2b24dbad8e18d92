"""`cardwatch heartbeat`: report that a source has sent everything up to a time, so that days can be closed."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from adapters.kafka.progress import publish_progress
from adapters.kafka.topics import FIRST_RESPONSE_SECONDS, end_offsets, wait_for_broker
from adapters.runtime.settings import read_settings
from cardwatch.errors import InvalidRecord, Misconfigured
from cardwatch.events import validate_time
from cardwatch.progress import Heartbeat
from cardwatch.topics import TRANSACTIONS


@click.command()
@click.option(
    "--source", required=True, help="Name of the source. The archive waits for every source that has sent a heartbeat."
)
@click.option("--at", required=True, help="Event time, for example 2025-01-06T23:00:00Z; without an offset, UTC.")
@click.option("--last", is_flag=True, help="The source has ended: it is not waited for any more.")
def heartbeat(source: str, at: str, *, last: bool) -> None:
    """Say that everything which occurred before a moment has been sent.

    Call it when the source's records are in the log: the ends of the topic now are part of the record.
    """
    settings = read_settings()
    if not settings.kafka_bootstrap:
        raise Misconfigured("CARDWATCH_KAFKA_BOOTSTRAP is empty: name the broker that the source writes to")
    if not 1 <= len(source) <= 64:
        raise Misconfigured(f"--source={source!r} is not a name of 1 to 64 characters")
    wait_for_broker(settings.kafka, FIRST_RESPONSE_SECONDS)
    ends = {str(partition): end for partition, end in end_offsets(settings.kafka, TRANSACTIONS).items()}
    moment = _moment(at)
    record = Heartbeat(source=source, at=moment, transaction_ends=ends, last=last)
    publish_progress(settings.kafka, record)
    click.echo(f"{source}: everything before {record.at.isoformat()} is sent{', and nothing follows' if last else ''}")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Misconfigured(f"--at={text!r} is not a time like 2025-01-06T23:00:00Z") from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    try:
        validate_time(moment, "at")
    except InvalidRecord as error:
        raise Misconfigured(f"--at={text!r} {error.reason}") from error
    return moment
