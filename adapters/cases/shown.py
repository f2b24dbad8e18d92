"""Cases as programs, the page and the terminal show them."""

from __future__ import annotations

from datetime import date, datetime

from msgspec import Struct

from cardwatch.cases.case import CaseLabel, CaseOutcome, CaseState
from cardwatch.cases.history import CaseAction
from cardwatch.events import Action, Channel


class ShownCase(Struct, frozen=True, kw_only=True):
    """A case with its place in the queue. Times are event time.

    `amount_minor` is what was paid, in minor units of `currency`. `expected_loss_minor` is what approving it would be
    expected to cost, in minor units of `loss_currency`; None without a probability or a rate. `loss_currency` is None
    if the policy names none and takes amounts as they are.

    `is_overdue`: not decided, and `due_at` has passed. `version` is the number of actions on the case. `labels` are
    those of its transaction that are archived, of every source.
    """

    partition: int
    offset: int
    transaction_id: str
    card_id: str
    merchant_id: str
    day: date
    opened_at: datetime
    due_at: datetime
    is_overdue: bool
    channel: Channel
    amount_minor: int
    currency: str | None
    expected_loss_minor: float | None
    loss_currency: str | None
    is_within_capacity: bool
    action: Action
    probability: float | None
    reasons: list[str]
    model_version: str | None
    state: CaseState
    version: int
    assignee: str | None
    outcome: CaseOutcome | None
    decided_by: str | None
    decided_at: datetime | None
    is_label_pending: bool
    labels: list[CaseLabel]


class CaseHistory(Struct, frozen=True, kw_only=True):
    """A case and all actions on it, notes included, in order."""

    case: ShownCase
    actions: list[CaseAction]


class CaseFilter(Struct, frozen=True, kw_only=True):
    """Which cases are wanted: of these states, of one day or of the days of the queue, of one assignee or of anybody.

    `is_within_capacity`: only those within the capacity of their day or only those beyond, None for both. `is_overdue`:
    the same. `transaction_id` and `after` select by id, and from a place in the order on.
    """

    states: frozenset[CaseState] = frozenset({CaseState.OPEN, CaseState.ASSIGNED})
    day: date | None = None
    assignee: str | None = None
    transaction_id: str | None = None
    is_within_capacity: bool | None = None
    is_overdue: bool | None = None
    after: int = 0
    limit: int = 50


class QueueCounts(Struct, frozen=True, kw_only=True):
    """Numbers of cases of the days of the queue.

    `overdue` are within the capacity of their day, `overdue_beyond` are not. `by_outcome` are the decided ones.
    """

    by_state: dict[str, int]
    by_outcome: dict[str, int]
    overdue: int
    overdue_beyond: int
    labels_pending: int


class CasePage(Struct, frozen=True, kw_only=True):
    """A part of the queue. `total` is the number of cases that the filter admits; `at` is the event time of now."""

    cases: list[ShownCase]
    total: int
    counts: QueueCounts
    capacity_per_day: int | None
    at: datetime | None
