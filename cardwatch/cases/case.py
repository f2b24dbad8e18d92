"""A case: a challenged or declined transaction, as an investigator needs to know it.

A case follows from the decision and from nothing else. What people do with it are actions (`cardwatch.cases.history`).
"""

from __future__ import annotations

from datetime import date, datetime
from enum import Enum

from msgspec import Struct

from cardwatch.events import Action, Channel, LabelSource, utc_day


class CaseState(Enum):
    """The state of a case. A decided one stays decided."""

    OPEN = "open"
    ASSIGNED = "assigned"
    DECIDED = "decided"


class CaseOutcome(Enum):
    """What an investigator has found. `inconclusive` says nothing about the transaction, and gives no label."""

    FRAUD = "fraud"
    GENUINE = "genuine"
    INCONCLUSIVE = "inconclusive"

    @property
    def is_fraud(self) -> bool | None:
        """What the label says, None if the outcome gives no label."""
        return None if self is CaseOutcome.INCONCLUSIVE else self is CaseOutcome.FRAUD


class Case(Struct, frozen=True, kw_only=True):
    """A transaction that was challenged or declined. The control share approves its rows, so they are no cases.

    `partition` and `offset` are its position in the log. `amount_minor` is in minor units of `currency`, which is None
    if the archive lacks the transaction of a former decision. `probability` is None if the rules decided alone.
    `reasons` are the codes of the decision, most important first.
    """

    transaction_id: str
    card_id: str
    merchant_id: str
    partition: int
    offset: int
    occurred_at: datetime
    channel: Channel
    amount_minor: int
    currency: str | None
    action: Action
    probability: float | None
    reasons: list[str]
    model_version: str | None

    @property
    def day(self) -> date:
        """The event day, in UTC."""
        return utc_day(self.occurred_at)


class CaseLabel(Struct, frozen=True, kw_only=True):
    """A label of the case's transaction, of any source, as the archive knows it."""

    is_fraud: bool
    source: LabelSource
    observed_at: datetime
