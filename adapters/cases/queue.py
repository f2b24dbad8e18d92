"""The cases of some days in the order of the queue, and what the page and programs see of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.archive.case_store import AlertLine, CaseStore
from adapters.cases.shown import CaseFilter, CasePage, QueueCounts, ShownCase
from cardwatch.cases.case import Case, CaseLabel, CaseOutcome, CaseState
from cardwatch.cases.history import CaseAction, CaseStatus, status_of
from cardwatch.cases.policy import CasePolicy
from cardwatch.cases.queue import QueueOrder, expected_losses_minor, order_cases
from cardwatch.decision.cost_policy import CHANNELS, DecisionPolicy
from cardwatch.events import Action, LabelSource, from_epoch_ms, utc_day

_CHANNEL_PLACES: Final = {channel.value: place for place, channel in enumerate(CHANNELS)}
_UNTOUCHED: Final = CaseStatus()


class _Days(NamedTuple):
    """The cases of some days. `statuses`, `losses_minor` and `due_at` are by case, `order` names them by place."""

    lines: list[AlertLine]
    statuses: list[CaseStatus]
    losses_minor: NDArray[np.float64]
    due_at: list[datetime]
    order: QueueOrder


class CaseQueue:
    """Reads cases and orders them by the policies."""

    def __init__(self, store: CaseStore, decision_policy: DecisionPolicy, policy: CasePolicy) -> None:
        self._store, self._decision_policy, self._policy = store, decision_policy, policy

    def page(self, wanted: CaseFilter, now: datetime | None) -> CasePage:
        """Return the cases that `wanted` admits, in the order of the queue, from the place `wanted.after` on."""
        days = self._read(*self._range(wanted.day, now))
        admitted = [place for place in days.order.places.tolist() if _admits(wanted, days, place, now)]
        shown = admitted[wanted.after : wanted.after + wanted.limit]
        ids = [days.lines[place].transaction_id for place in shown]
        labels = self._store.labels(ids)
        found = {case.transaction_id: case for case in self._store.cases(ids)}
        return CasePage(
            cases=[
                self._shown(found[days.lines[place].transaction_id], days, place, labels, now)
                for place in shown
                if days.lines[place].transaction_id in found
            ],
            total=len(admitted),
            counts=_counts(days, now),
            capacity_per_day=self._policy.capacity_per_day,
            at=now,
        )

    def counts(self, now: datetime | None) -> QueueCounts:
        """Return the numbers of cases of the days of the queue."""
        return _counts(self._read(*self._range(None, now)), now)

    def shown(self, case: Case, now: datetime | None) -> ShownCase:
        """Return a case with its place among those of its day."""
        days = self._read(case.day, case.day)
        place = next(place for place, line in enumerate(days.lines) if line.transaction_id == case.transaction_id)
        return self._shown(case, days, place, self._store.labels([case.transaction_id]), now)

    def _range(self, day: date | None, now: datetime | None) -> tuple[date, date]:
        """Return first and last day: `day`, or those of the queue. Without a `now` there is no case."""
        if day is not None or now is None:
            return day or date.max, day or date.max
        return utc_day(now) - timedelta(days=self._policy.queue_days - 1), date.max

    def _read(self, first: date, last: date) -> _Days:
        lines = self._store.lines(first, last)
        actions = self._store.actions_of_days(first, last)
        labels = self._store.labels_of_days(first, last)
        statuses = [_status(line.transaction_id, actions, labels) for line in lines]
        amounts = np.array([self._amount_minor(line) for line in lines], np.float64)
        losses = expected_losses_minor(
            self._decision_policy,
            np.array([np.nan if line.probability is None else line.probability for line in lines], np.float64),
            amounts,
            np.array([_CHANNEL_PLACES[line.channel] for line in lines], np.int64),
        )
        takes_capacity = [
            status.outcome is not None or not _is_answered(labels.get(line.transaction_id, ()))
            for line, status in zip(lines, statuses, strict=True)
        ]
        order = order_cases(
            losses,
            amounts,
            np.array([date.fromisoformat(line.day).toordinal() for line in lines], np.int64),
            np.array(takes_capacity, np.bool_),
            self._policy.capacity_per_day,
        )
        due_at = [self._policy.due_at(Action(line.action), from_epoch_ms(line.occurred_at_ms)) for line in lines]
        return _Days(lines, statuses, losses, due_at, order)

    def _amount_minor(self, line: AlertLine) -> float:
        """Return an amount in the currency of the policy, NaN if there is no rate for it."""
        if self._decision_policy.currency is None:
            return float(line.amount_minor)
        rate = None if line.currency is None else self._decision_policy.rate_of(line.currency)
        return np.nan if rate is None else line.amount_minor * rate

    def _shown(
        self, case: Case, days: _Days, place: int, labels: Mapping[str, list[CaseLabel]], now: datetime | None
    ) -> ShownCase:
        status, loss = days.statuses[place], float(days.losses_minor[place])
        return ShownCase(
            partition=case.partition,
            offset=case.offset,
            transaction_id=case.transaction_id,
            card_id=case.card_id,
            merchant_id=case.merchant_id,
            day=case.day,
            opened_at=case.occurred_at,
            due_at=days.due_at[place],
            is_overdue=_is_overdue(status, days.due_at[place], now),
            channel=case.channel,
            amount_minor=case.amount_minor,
            currency=case.currency,
            expected_loss_minor=None if np.isnan(loss) else loss,
            loss_currency=self._decision_policy.currency,
            is_within_capacity=bool(days.order.is_within_capacity[place]),
            action=case.action,
            probability=case.probability,
            reasons=case.reasons,
            model_version=case.model_version,
            state=status.state,
            version=status.version,
            assignee=status.assignee,
            outcome=status.outcome,
            decided_by=status.decided_by,
            decided_at=status.decided_at,
            is_label_pending=status.is_label_pending,
            labels=labels.get(case.transaction_id, []),
        )


def _status(
    transaction_id: str, actions: Mapping[str, Sequence[CaseAction]], labels: Mapping[str, Sequence[CaseLabel]]
) -> CaseStatus:
    if transaction_id not in actions and transaction_id not in labels:
        return _UNTOUCHED
    return status_of(actions.get(transaction_id, ()), labels.get(transaction_id, ()))


def _is_answered(labels: Sequence[CaseLabel]) -> bool:
    return any(label.source is not LabelSource.INVESTIGATOR for label in labels)


def _is_overdue(status: CaseStatus, due_at: datetime, now: datetime | None) -> bool:
    return status.outcome is None and now is not None and now > due_at


def _admits(wanted: CaseFilter, days: _Days, place: int, now: datetime | None) -> bool:
    status = days.statuses[place]
    return (
        status.state in wanted.states
        and wanted.transaction_id in (None, days.lines[place].transaction_id)
        and wanted.assignee in (None, status.assignee)
        and wanted.is_within_capacity in (None, bool(days.order.is_within_capacity[place]))
        and wanted.is_overdue in (None, _is_overdue(status, days.due_at[place], now))
    )


def _counts(days: _Days, now: datetime | None) -> QueueCounts:
    states = Counter(status.state for status in days.statuses)
    outcomes = Counter(status.outcome for status in days.statuses if status.state is CaseState.DECIDED)
    overdue = np.array(
        [_is_overdue(status, due_at, now) for status, due_at in zip(days.statuses, days.due_at, strict=True)], np.bool_
    )
    return QueueCounts(
        by_state={state.value: states[state] for state in CaseState},
        by_outcome={outcome.value: outcomes[outcome] for outcome in CaseOutcome},
        overdue=int((overdue & days.order.is_within_capacity).sum()),
        overdue_beyond=int((overdue & ~days.order.is_within_capacity).sum()),
        labels_pending=sum(status.is_label_pending for status in days.statuses),
    )
