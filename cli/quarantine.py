"""`cardwatch quarantine`: the days that the data contract excludes from training and judging."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime

import click

from adapters.kafka.progress import ProgressReader, publish_progress
from adapters.runtime.settings import Settings, read_settings
from cardwatch.data_contract.quarantine import QuarantineState, name_of_column
from cardwatch.drift.progress_state import quarantine_after
from cardwatch.errors import Misconfigured
from cardwatch.progress import Progress, QuarantineReleased

POLL_SECONDS = 0.2
_DAY = click.DateTime(formats=["%Y-%m-%d"])


@click.group()
def quarantine() -> None:
    """List or release the days that the data contract excludes from training and judging.

    With CARDWATCH_DATA_BUCKET the records are those of the monitor's job on AWS, else those of the topic progress.
    """


@quarantine.command("list")
def list_days() -> None:
    """List the excluded days, each with the columns that broke the contract, and say whether retraining is blocked."""
    state = quarantine_after(read_records(read_settings()))
    click.echo("\n".join(lines_of(state)))


@quarantine.command()
@click.option("--from", "first", type=_DAY, required=True, help="First day to release.")
@click.option("--until", "last", type=_DAY, required=True, help="Last day to release.")
@click.option("--because", required=True, help="Why the data of these days are right; it is recorded.")
def release(first: datetime, last: datetime, because: str) -> None:
    """Release days whose data are right: they are trained on again, and data like theirs are no finding any more.

    What was found on them counts as right until another model is champion: it has a contract of its own, which is
    learned from these days too. The release takes effect with the next day that the monitor processes.
    """
    settings = read_settings()
    records = list(read_records(settings))
    released = chosen_days(quarantine_after(records), first.date(), last.date())
    if not because.strip():
        raise Misconfigured("--because is empty: say why the data of these days are right")
    record = QuarantineReleased(first_day=released[0], day=released[-1], because=because.strip()[:500])
    write_record(settings, record)
    click.echo("\n".join(lines_of(quarantine_after([*records, record]))))


def chosen_days(state: QuarantineState, first: date, last: date) -> list[date]:
    """Return the days with findings from `first` to `last`, in order. Raises `Misconfigured` if there is none."""
    days = sorted(day for day in state.found if first <= day <= last)
    if not days:
        known = ", ".join(map(str, sorted(state.found))) or "none"
        raise Misconfigured(f"no day from {first} to {last} is in quarantine; quarantined days: {known}")
    return days


def lines_of(state: QuarantineState) -> list[str]:
    """Return the state of the quarantine in words: a line per finding, and a last one that says what is blocked."""
    lines = []
    for day, findings in sorted(state.found.items()):
        columns = ", ".join(dict.fromkeys(name_of_column(finding.column) for finding in findings))
        lines.append(f"{day}  {columns}: {findings[0].sentence}")
    days = len(state.excluded_days)
    counted = f"{days} day is" if days == 1 else f"{days} days are" if days else "no day is"
    excluded = f"{counted} excluded from training and judging"
    if state.open_findings:
        since = min(finding.since for finding in state.open_findings)
        return [*lines, f"{excluded}; retraining is blocked since {since}"]
    return [*lines, f"{excluded}; retraining is not blocked"]


def read_records(settings: Settings) -> Iterator[Progress]:
    """Yield all progress records in their order."""
    if settings.data_bucket:
        # Imported here: a stack on one machine needs no AWS library.
        from adapters.aws.s3 import Bucket  # noqa: PLC0415
        from adapters.aws.s3_progress import S3ProgressLog  # noqa: PLC0415

        yield from S3ProgressLog(Bucket(settings.data_bucket)).before(date.max)
        return
    with closing(ProgressReader(settings.kafka)) as reader:
        while not reader.caught_up():
            if (record := reader.poll(POLL_SECONDS)) is not None:
                yield record


def write_record(settings: Settings, record: QuarantineReleased) -> None:
    """Write a release to where `read_records` finds it."""
    if settings.data_bucket:
        from adapters.aws.s3 import Bucket  # noqa: PLC0415
        from adapters.aws.s3_progress import ProgressPart, S3ProgressLog  # noqa: PLC0415

        log = S3ProgressLog(Bucket(settings.data_bucket))
        log.write(record.day, ProgressPart.RELEASES, [*log.of_day(record.day, ProgressPart.RELEASES), record])
        return
    publish_progress(settings.kafka, record)
