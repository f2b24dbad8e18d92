"""The case queue: what is to be reviewed, in which order, and what people do with it.

Cases follow from decisions in the archive and from the actions on them (`cardwatch.cases`). This is the one path of the
REST API, the page and the command.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final, TypeAlias

from msgspec import structs

from adapters.archive.case_store import CaseStore
from adapters.cases.queue import CaseQueue
from adapters.cases.shown import CaseFilter, CaseHistory, CasePage, QueueCounts
from adapters.records.printable import printable
from cardwatch.cases import history
from cardwatch.cases.case import Case, CaseOutcome
from cardwatch.cases.history import CaseAction, CaseStatus, Investigator, status_of
from cardwatch.cases.labels import label_of
from cardwatch.cases.policy import CasePolicy
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.errors import CardwatchError, CaseChanged, CaseUnknown
from cardwatch.events import Label, from_epoch_ms, to_epoch_ms

log = logging.getLogger(__name__)

_ATTEMPTS: Final = 20
"""Maximum number of attempts to confirm a decision on a case while other people add notes to it."""

Position: TypeAlias = tuple[int, int]
"""Partition and offset of a transaction: by these a case is named, because an id may hold any character."""


class CaseDesk:
    """Lists cases and takes actions on them.

    `write_label` writes a label to the topic, and returns when it is in the log. `now` returns the event time, None if
    it is not known; then it is that of the newest case.

    Every method raises `ArchiveUnavailable` if the index does not answer. Methods that act raise `CaseUnknown`, and
    `CaseChanged` if the case has not `version`, unless the very same action made the version after it: then it is not
    done again, so that a request whose answer was lost can be repeated.
    """

    def __init__(
        self,
        store: CaseStore,
        decision_policy: DecisionPolicy,
        policy: CasePolicy,
        write_label: Callable[[Label], None],
        now: Callable[[], datetime | None],
    ) -> None:
        self._store, self._write_label, self._event_time = store, write_label, now
        self._queue = CaseQueue(store, decision_policy, policy)

    def page(self, wanted: CaseFilter) -> CasePage:
        """Return a part of the queue. A transaction is found whatever its day is."""
        if wanted.transaction_id is not None and wanted.day is None:
            found = self._store.cases([wanted.transaction_id])
            wanted = structs.replace(wanted, day=found[0].day if found else None)
        return self._queue.page(wanted, self._now())

    def counts(self) -> QueueCounts:
        """Return the numbers of cases in the queue."""
        return self._queue.counts(self._now())

    def show(self, position: Position) -> CaseHistory:
        """Return one case with its history; raises `CaseUnknown`."""
        return self._shown(self._case(position))

    def position_of(self, transaction_id: str) -> Position:
        """Return the position of the case of a transaction; raises `CaseUnknown`."""
        found = self._store.cases([transaction_id])
        if not found:
            raise CaseUnknown(f"there is no case of a transaction with the id {printable(transaction_id)!r}")
        return found[0].partition, found[0].offset

    def assign(self, position: Position, version: int | None, by: Investigator, to: str) -> CaseHistory:
        """Assign a case to `to`. Without a `version`, here and below, the newest one is acted on."""
        history.require_name(to, "$.to")
        return self._act(position, version, lambda status, at: history.assign(status, by, at, to))

    def release(self, position: Position, version: int | None, by: Investigator) -> CaseHistory:
        """Put an assigned case back."""
        return self._act(position, version, lambda status, at: history.release(status, by, at))

    def note(self, position: Position, version: int | None, by: Investigator, text: str) -> CaseHistory:
        """Add a note."""
        return self._act(position, version, lambda status, at: history.note(status, by, at, text))

    def decide(
        self, position: Position, version: int | None, by: Investigator, outcome: CaseOutcome, comment: str = ""
    ) -> CaseHistory:
        """Decide a case. Its label is in the log when this returns.

        Raises `BrokerUnavailable` if the broker does not take it: the decision is stored and the case waits for its
        label. The same call again writes it, and so does `finish_pending`.
        """
        return self._act(position, version, lambda status, at: history.decide(status, by, at, outcome, comment))

    def finish_pending(self) -> int:
        """Write the labels of decisions that were interrupted, and return how many cases are decided by that."""
        finished = 0
        for case in self._store.cases(self._store.pending()):
            self._finish(case)
            finished += 1
        return finished

    def _act(
        self, position: Position, version: int | None, make: Callable[[CaseStatus, datetime], CaseAction]
    ) -> CaseHistory:
        case, at = self._case(position), self._moment()
        actions = self._store.actions(case.transaction_id)
        expected = len(actions) if version is None else version
        labels = self._store.labels([case.transaction_id]).get(case.transaction_id, [])
        if expected == len(actions):
            action = make(status_of(actions, labels), max(at, case.occurred_at))
            if self._store.append(case.transaction_id, action):
                _audit(case, action)
            else:
                actions = self._store.actions(case.transaction_id)
        if expected < len(actions):
            # A label may be that of the repeated action, so the status is the one before it.
            made = make(status_of(actions[:expected]), at)
            if not made.repeats(actions[expected]):
                raise CaseChanged(
                    f"the case has version {len(actions)} and not {expected}, because {actions[expected].by!r} has "
                    "acted on it meanwhile: read it again"
                )
        elif expected > len(actions):
            raise CaseChanged(f"the case has version {len(actions)} and not {expected}: read it again")
        self._finish(case)
        return self._shown(case)

    def _finish(self, case: Case) -> None:
        """Write the label of a decision, and then confirm it. Nothing is done if the case waits for no label."""
        for _ in range(_ATTEMPTS):
            status = status_of(self._store.actions(case.transaction_id))
            if not status.is_label_pending:
                return
            label = label_of(case, status)
            if label is None or status.decided_by is None:
                raise CardwatchError(f"the decision of {printable(case.transaction_id)} has no outcome for a label")
            self._write_label(label)
            confirmation = history.confirm(status, Investigator(status.decided_by), self._moment())
            if self._store.append(case.transaction_id, confirmation):
                _audit(case, confirmation)
                return
        raise CaseChanged("the case is changed all the time, so that its label could not be confirmed: try again")

    def _case(self, position: Position) -> Case:
        case = self._store.case_at(*position)
        if case is None:
            raise CaseUnknown(
                f"there is no case at {position[0]}:{position[1]}: the transaction was approved, its decision is not "
                "archived yet, or there is none"
            )
        return case

    def _shown(self, case: Case) -> CaseHistory:
        return CaseHistory(case=self._queue.shown(case, self._now()), actions=self._store.actions(case.transaction_id))

    def _now(self) -> datetime | None:
        now = self._event_time()
        if now is None and (newest := self._store.newest_ms()) is not None:
            return from_epoch_ms(newest)
        return now

    def _moment(self) -> datetime:
        """Return the event time of now in whole milliseconds, as the index and the archive store times."""
        now = self._now()
        if now is None:
            raise CaseUnknown("there is no case yet")
        return from_epoch_ms(to_epoch_ms(now))


def _audit(case: Case, action: CaseAction) -> None:
    what = action.outcome or action.assignee or ""
    log.info(
        "audit: %s %s case %s version %d %s",
        printable(action.by),
        action.kind.value,
        printable(case.transaction_id),
        action.version,
        getattr(what, "value", what),
    )
