"""Decisions and what became of them: the archive's rows in arrays, and what can be said about any slice of them."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct
from numpy.typing import NDArray

from adapters.archive.reader import Archive, fraud_ids
from cardwatch.events import EPOCH, Action
from models.evaluation import Evaluation, evaluate


class Quality(Struct, frozen=True, kw_only=True):
    """Quality of some decisions. Values are in minor units; a fraud is caught if challenged or declined.

    Average precision, and recall at a false-positive rate of 0.1 %, are those of the recorded margins; None where
    there is no fraud to rank, or nothing else. `alarms` counts challenges and declines.
    """

    transactions: int
    frauds: int
    average_precision: float | None
    recall: float | None
    alarms: int
    frauds_caught: int
    caught_minor: int
    missed_minor: int


class DecisionOutcomes(Struct, frozen=True, kw_only=True):
    """Decisions as arrays of one length. `margins` is NaN where the rules alone decided."""

    days: NDArray[np.datetime64]
    card_ids: NDArray[np.object_]
    versions: NDArray[np.object_]
    margins: NDArray[np.float32]
    amounts_minor: NDArray[np.int64]
    alarms: NDArray[np.bool_]
    frauds: NDArray[np.bool_]

    def between(self, first: date, last: date) -> DecisionOutcomes:
        """The decisions on transactions of these days, both ends included."""
        return self._where((self.days >= np.datetime64(first)) & (self.days <= np.datetime64(last)))

    def quality(self) -> Quality:
        """Return the quality of these decisions."""
        scored = self._where(~np.isnan(self.margins))
        ranked = scored._ranked() if scored.frauds.any() and not scored.frauds.all() else None
        caught = self.frauds & self.alarms
        return Quality(
            transactions=len(self.days),
            frauds=int(self.frauds.sum()),
            average_precision=ranked.average_precision if ranked else None,
            recall=ranked.recall_at_fpr_0_1_percent if ranked else None,
            alarms=int(self.alarms.sum()),
            frauds_caught=int(caught.sum()),
            caught_minor=int(self.amounts_minor[caught].sum()),
            missed_minor=int(self.amounts_minor[self.frauds & ~self.alarms].sum()),
        )

    def version(self) -> str | None:
        """The model version that made most of these decisions, None if the rules made them all."""
        named, counts = np.unique([version for version in self.versions if version], return_counts=True)
        return str(named[counts.argmax()]) if len(named) else None

    def _ranked(self) -> Evaluation:
        return evaluate(
            self.margins,
            self.frauds,
            amount_minor=self.amounts_minor,
            card_ids=self.card_ids,
            days=self.days.astype(np.int64),
        )

    def _where(self, chosen: NDArray[np.bool_]) -> DecisionOutcomes:
        return DecisionOutcomes(**{name: getattr(self, name)[chosen] for name in self.__struct_fields__})


def read_outcomes(archive: Archive, first: date, last: date) -> DecisionOutcomes:
    """The decisions of these days with the labels that were known at the end of `last`; no label means genuine."""
    decided = archive.decisions(first, last)
    known = archive.labels(EPOCH + (last + timedelta(days=1) - EPOCH.date()))
    return DecisionOutcomes(
        days=decided["occurred_at"].cast(pa.timestamp("ms")).to_numpy().astype("datetime64[D]"),
        card_ids=np.array(decided["card_id"].to_pylist(), np.object_),
        versions=np.array(decided["model_version"].to_pylist(), np.object_),
        margins=decided["margin"].fill_null(pa.scalar(float("nan"), pa.float32())).to_numpy().astype(np.float32),
        amounts_minor=decided["amount_minor"].to_numpy().astype(np.int64),
        alarms=pc.not_equal(decided["action"], pa.scalar(Action.APPROVE.value)).to_numpy().astype(np.bool_),
        frauds=pc.is_in(decided["transaction_id"], value_set=fraud_ids(known)).to_numpy().astype(np.bool_),
    )
