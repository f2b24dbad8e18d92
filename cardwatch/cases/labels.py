"""The label that an investigator gives, in the case queue or outside of it."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from cardwatch.cases.case import Case
from cardwatch.cases.history import CaseStatus
from cardwatch.events import Label, LabelSource


class LabelSubject(Protocol):
    """What a label names of its transaction; transactions and cases have it."""

    @property
    def transaction_id(self) -> str:
        """Its id."""

    @property
    def card_id(self) -> str:
        """The card."""

    @property
    def merchant_id(self) -> str:
        """The merchant."""

    @property
    def occurred_at(self) -> datetime:
        """Its event time."""


def investigator_label(subject: LabelSubject, *, is_fraud: bool, now: datetime) -> Label:
    """Return the label that an investigator gives at the event time `now`, and not before the transaction.

    It is effective as of the transaction, like every label. The reference table of a day uses labels that were observed
    before it, so that in a simulated world a label with the time of the wall clock would never count.
    """
    return Label(
        transaction_id=subject.transaction_id,
        card_id=subject.card_id,
        merchant_id=subject.merchant_id,
        is_fraud=is_fraud,
        effective_at=subject.occurred_at,
        observed_at=max(now, subject.occurred_at),
        source=LabelSource.INVESTIGATOR,
    )


def label_of(case: Case, status: CaseStatus) -> Label | None:
    """Return the label that a decision in the queue becomes, None without one and for an inconclusive one.

    It depends on the case and its `decide` action alone, so that it has the same bytes whoever writes it, and when.
    """
    if status.outcome is None or status.decided_by is None or status.decided_at is None:
        return None
    is_fraud = status.outcome.is_fraud
    return None if is_fraud is None else investigator_label(case, is_fraud=is_fraud, now=status.decided_at)
