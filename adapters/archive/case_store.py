"""Alerts and what people did with them, in the index of the archive: cases as the case queue reads and changes them.

The archive service writes alerts and labels. Actions are the only rows that others write, and each is one row that is
inserted only if its number is free, so that of two processes that act on the same version of a case one wins.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Select, exists, func, select
from sqlalchemy.dialects import postgresql, sqlite

from adapters.archive.index import ALERTS, CASE_ACTIONS, LABELS, ArchiveIndex
from adapters.runtime.clock import epoch_ms
from cardwatch.cases.case import Case, CaseLabel, CaseOutcome
from cardwatch.cases.history import CaseAction, CaseActionKind
from cardwatch.errors import ArchiveUnavailable
from cardwatch.events import Action, Channel, LabelSource, from_epoch_ms, to_epoch_ms

_IDS_PER_QUERY: Final = 500
_REASONS: Final = msgspec.json.Decoder(list[str])
_DECIDING: Final = CASE_ACTIONS.alias("deciding")
_CONFIRMING: Final = CASE_ACTIONS.alias("confirming")

Item = TypeVar("Item")


class AlertLine(NamedTuple):
    """The part of a case by which the queue orders and filters. Reading only this part takes half of the time."""

    transaction_id: str
    day: str
    occurred_at_ms: int
    channel: str
    amount_minor: int
    currency: str | None
    action: str
    probability: float | None


class CaseStore:
    """Cases in the index of the archive in `folder`: at `index_url`, or in the folder too. Days are event dates in UTC.

    Every call raises `ArchiveUnavailable` if there is no archive or its index does not answer.
    """

    def __init__(self, folder: Path, index_url: str = "") -> None:
        self._folder = folder
        self._reading = ArchiveIndex(folder, index_url, readonly=True)
        self._writing = ArchiveIndex(folder, index_url, readonly=False)

    def newest_ms(self) -> int | None:
        """Return the event time of the newest case in milliseconds since 1970, None without any."""
        newest_day = select(func.max(ALERTS.c.day)).scalar_subquery()
        [(newest,)] = self._query(select(func.max(ALERTS.c.occurred_at_ms)).where(ALERTS.c.day == newest_day))
        return None if newest is None else int(newest)

    def lines(self, first: date, last: date) -> list[AlertLine]:
        """Return the cases of the days by their event time; at the same time by their position in the log."""
        columns = [ALERTS.c[name] for name in AlertLine._fields]
        ordered = (ALERTS.c.occurred_at_ms, ALERTS.c.partition, ALERTS.c.log_offset)
        rows = self._query(select(*columns).where(_of_days(first, last)).order_by(*ordered))
        return [AlertLine._make(row) for row in rows]

    def cases(self, transaction_ids: Sequence[str]) -> list[Case]:
        """Return the cases of these transactions, in this order; an id that is none is left out."""
        found = {}
        for ids in _blocks(transaction_ids):
            for row in self._query(select(ALERTS).where(ALERTS.c.transaction_id.in_(ids))):
                found[row.transaction_id] = _case(row)
        return [found[each] for each in transaction_ids if each in found]

    def case_at(self, partition: int, offset: int) -> Case | None:
        """Return the case of the transaction at this position in the log, None if it is none."""
        at = (ALERTS.c.partition == partition, ALERTS.c.log_offset == offset)
        rows = self._query(select(ALERTS).where(*at).order_by(ALERTS.c.transaction_id).limit(1))
        return _case(rows[0]) if rows else None

    def actions(self, transaction_id: str) -> list[CaseAction]:
        """Return what was done with a case, in the order of the versions."""
        wanted = select(CASE_ACTIONS).where(CASE_ACTIONS.c.transaction_id == transaction_id)
        return [_action(row) for row in self._query(wanted.order_by(CASE_ACTIONS.c.version))]

    def actions_of_days(self, first: date, last: date) -> dict[str, list[CaseAction]]:
        """Return the actions on the cases of the days without notes and texts, by transaction, in order."""
        wanted = select(CASE_ACTIONS).join(ALERTS, ALERTS.c.transaction_id == CASE_ACTIONS.c.transaction_id)
        rows = self._query(wanted.where(_of_days(first, last)).order_by(*CASE_ACTIONS.primary_key.columns))
        return _grouped((row.transaction_id, _action(row)) for row in rows)

    def labels(self, transaction_ids: Sequence[str]) -> dict[str, list[CaseLabel]]:
        """Return the archived labels of these transactions, by transaction."""
        rows = [
            row
            for ids in _blocks(transaction_ids)
            for row in self._query(select(LABELS).where(LABELS.c.transaction_id.in_(ids)))
        ]
        return _grouped((row.transaction_id, _label(row)) for row in rows)

    def labels_of_days(self, first: date, last: date) -> dict[str, list[CaseLabel]]:
        """Return the archived labels of the cases of the days, by transaction."""
        wanted = select(LABELS).join(ALERTS, ALERTS.c.transaction_id == LABELS.c.transaction_id)
        return _grouped((row.transaction_id, _label(row)) for row in self._query(wanted.where(_of_days(first, last))))

    def append(self, transaction_id: str, action: CaseAction) -> bool:
        """Store an action, and return True; return False, without effect, if its version is taken."""
        insert = (postgresql if self._writing.is_shared else sqlite).insert(CASE_ACTIONS)
        row = {
            "transaction_id": transaction_id,
            "version": action.version,
            "kind": action.kind.value,
            "actor": action.by,
            "at_ms": to_epoch_ms(action.at),
            "written_ms": int(epoch_ms()),
            "assignee": action.assignee,
            "outcome": None if action.outcome is None else action.outcome.value,
            "text": action.text,
        }
        self._require_archive()
        stored = insert.values(row).on_conflict_do_nothing().returning(CASE_ACTIONS.c.version)
        with self._writing.connect() as connection, self._writing.transaction(connection):
            return connection.execute(stored).first() is not None

    def pending(self) -> list[str]:
        """Return the transactions whose case has a decision with a label that is not confirmed."""
        confirmed = exists().where(
            _CONFIRMING.c.kind == CaseActionKind.CONFIRM.value,
            _CONFIRMING.c.transaction_id == _DECIDING.c.transaction_id,
        )
        unconfirmed = select(_DECIDING.c.transaction_id).where(
            _DECIDING.c.kind == CaseActionKind.DECIDE.value,
            _DECIDING.c.outcome != CaseOutcome.INCONCLUSIVE.value,
            ~confirmed,
        )
        return [str(transaction_id) for (transaction_id,) in self._query(unconfirmed)]

    def _query(self, query: Select[Any]) -> Sequence[Any]:
        self._require_archive()
        return self._reading.query(query)

    def _require_archive(self) -> None:
        if not self._reading.exists:
            raise ArchiveUnavailable(f"there is no archive in {self._folder}: the archive service has not run here yet")


def _of_days(first: date, last: date) -> ColumnElement[bool]:
    return ALERTS.c.day.between(first.isoformat(), last.isoformat())


def _blocks(ids: Sequence[str]) -> Iterator[Collection[str]]:
    for start in range(0, len(ids), _IDS_PER_QUERY):
        yield ids[start : start + _IDS_PER_QUERY]


def _grouped(pairs: Iterator[tuple[str, Item]]) -> dict[str, list[Item]]:
    grouped: defaultdict[str, list[Item]] = defaultdict(list)
    for key, item in pairs:
        grouped[key].append(item)
    return dict(grouped)


def _case(row: Any) -> Case:
    return Case(
        transaction_id=row.transaction_id,
        card_id=row.card_id,
        merchant_id=row.merchant_id,
        partition=row.partition,
        offset=row.log_offset,
        occurred_at=from_epoch_ms(row.occurred_at_ms),
        channel=Channel(row.channel),
        amount_minor=row.amount_minor,
        currency=row.currency,
        action=Action(row.action),
        probability=row.probability,
        reasons=_REASONS.decode(row.reasons),
        model_version=row.model_version,
    )


def _action(row: Any) -> CaseAction:
    return CaseAction(
        version=row.version,
        kind=CaseActionKind(row.kind),
        by=row.actor,
        at=from_epoch_ms(row.at_ms),
        assignee=row.assignee,
        outcome=None if row.outcome is None else CaseOutcome(row.outcome),
        text=row.text,
    )


def _label(row: Any) -> CaseLabel:
    return CaseLabel(
        is_fraud=bool(row.is_fraud),
        source=LabelSource(row.source),
        observed_at=from_epoch_ms(row.observed_at_ms),
    )
