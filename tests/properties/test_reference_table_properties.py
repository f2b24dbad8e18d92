"""A reference table uses only what had occurred and was known before its day, in any order of arrival."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from adapters.archive.reference_tables import ReferenceTableStore
from adapters.archive.writer import ArchiveWriter
from cardwatch.events import Channel, Label, LabelSource, Transaction, encode
from cardwatch.features.reference_builder import ReferenceBuilder
from cardwatch.features.reference_table import MERCHANT_SECTION, MERCHANT_VALUES, ReferenceTable
from cardwatch.partitioning import UNCHECKED
from cardwatch.progress import DayEmitted
from cardwatch.records import Record
from cardwatch.topics import LABELS, PROGRESS, TRANSACTIONS
from services.archive.archiver import Archiver
from services.archive.metrics import ArchiveMetrics
from services.archive.recovery import ArchiverState
from services.archive.watermarks import Watermarks

FIRST = datetime(2025, 1, 6, tzinfo=UTC)
DAYS = 4
HOURS = 24 * DAYS


class Paid(NamedTuple):
    number: int
    merchant: str
    hour: int


class Labelled(NamedTuple):
    number: int
    merchant: str
    is_fraud: bool
    effective_hour: int
    observed_hour: int


Event = Paid | Labelled

merchants = st.sampled_from(["a", "b", "c"])
hours = st.integers(0, HOURS - 1)
paid = st.builds(Paid, st.integers(0, 99), merchants, hours)
labelled = st.builds(Labelled, st.integers(0, 9), merchants, st.booleans(), hours, hours)
histories = st.lists(paid | labelled, max_size=20)
few = settings(max_examples=10, deadline=None)  # each writes two archives


class EmptyLog:
    """A log whose records have all been read."""

    def reached(self, _topic: str, _partition: int) -> int:
        return 0

    def end(self, _topic: str, _partition: int) -> int:
        return 0

    def committed(self, _topic: str, partitions: Sequence[int]) -> dict[int, int]:
        return {}


def value_of(event: Event) -> tuple[str, bytes]:
    if isinstance(event, Paid):
        transaction = Transaction(
            transaction_id=f"t-{event.number}",
            card_id="card",
            merchant_id=event.merchant,
            occurred_at=FIRST + timedelta(hours=event.hour),
            amount_minor=100 * event.number,
            currency="EUR",
            merchant_category="5411",
            channel=Channel.CHIP,
            country="DE",
        )
        return TRANSACTIONS, encode(transaction)
    label = Label(
        transaction_id=f"t-{event.number}",
        card_id="card",
        merchant_id=event.merchant,
        is_fraud=event.is_fraud,
        effective_at=FIRST + timedelta(hours=event.effective_hour),
        observed_at=FIRST + timedelta(hours=event.observed_hour),
        source=LabelSource.CUSTOMER,
    )
    return LABELS, encode(label)


def known_hour(event: Event) -> int:
    """Return the hour in which the event becomes known."""
    return event.hour if isinstance(event, Paid) else event.observed_hour


def day(number: int) -> date:
    return FIRST.date() + timedelta(days=number)


def tables(events: Sequence[Event], then: Sequence[tuple[int, Event]] = ()) -> list[ReferenceTable]:
    """Return the tables valid from days 1 to `DAYS`: `events` are read first, (n, event) after n days are closed."""
    with tempfile.TemporaryDirectory() as folder:
        writer, store = ArchiveWriter(Path(folder)), ReferenceTableStore(Path(folder) / "tables")
        archiver = Archiver(
            writer,
            store,
            ArchiverState(ReferenceBuilder(), Watermarks([0])),
            UNCHECKED,
            offsets=EmptyLog(),
            announce=lambda _event: None,
            metrics=ArchiveMetrics(CollectorRegistry()),
        )
        offset = 0
        for closing in range(DAYS):
            arriving = [*(events if closing == 0 else []), *(event for after, event in then if after == closing)]
            for event in arriving:
                topic, value = value_of(event)
                archiver.add([Record(topic, 0, offset, 0, b"card", value)])
                offset += 1
            ended = DayEmitted(day=day(closing), transaction_ends={}, label_ends={}, decided=False)
            archiver.add([Record(PROGRESS, 0, closing, 0, None, msgspec.json.encode(ended))])
            archiver.close_days(EmptyLog())
        writer.close()
        return store.all()


def ids(found: Sequence[ReferenceTable]) -> list[str]:
    return [table.table_id for table in found]


@few
@given(histories, st.data())
def test_the_order_of_arrival_changes_no_table(events: list[Event], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(events))
    assert ids(tables(shuffled)) == ids(tables(events))


@pytest.mark.rubric("data-4")
@few
@given(histories, st.integers(1, DAYS))
def test_a_table_uses_only_what_was_known_before_its_day(events: list[Event], valid: int) -> None:
    known = [event for event in events if known_hour(event) < 24 * valid]
    assert ids(tables(events))[valid - 1] == ids(tables(known))[valid - 1]


@few
@given(histories, paid | labelled, st.integers(0, DAYS - 1))
def test_a_late_event_changes_no_table_of_its_day_or_before_nor_one_that_was_built(
    events: list[Event], late: Event, read_after: int
) -> None:
    unchanged = max(read_after, known_hour(late) // 24)
    assert ids(tables(events, then=[(read_after, late)]))[:unchanged] == ids(tables(events))[:unchanged]


def test_a_late_label_shows_in_the_next_table() -> None:
    # Of day 0 and known on day 0, but read when days 0 and 1 are closed: the tables of days 1 and 2 are built.
    events: list[Event] = [Paid(1, "a", 5), Paid(2, "b", 5)]
    found = tables(events, then=[(2, Labelled(1, "a", True, 5, 6))])
    risk = [
        table.sections[MERCHANT_SECTION].values[:, MERCHANT_VALUES.index("risk_recent")].tolist() for table in found
    ]
    assert risk[0] == risk[1]
    assert risk[0][0] == risk[0][1]  # no fraud is known: equal risks
    assert max(risk[2]) > 1 > min(risk[2])
    assert risk[2] == risk[3]
