"""Parse one batch of a file's rows into our fields, as the mapping says; every faulty row is reported once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from adapters.archive.tabular import TextBatch
from cli.evaluate import identifiers, parsing
from cli.evaluate.identifiers import parse_identifiers
from cli.evaluate.mapping import (
    CODE_RULES,
    Amount,
    CensoredFlag,
    Code,
    Degrees,
    FraudFlag,
    Identifier,
    Joinable,
    Mapping,
    Time,
)
from cli.evaluate.rejects import Fault
from cli.evaluate.score_fields import parse_score_columns
from models.prequential import DAY_MS

Columns = dict[str, Any]
"""Our field -> its n values: numpy arrays of numbers, `parsing.Coded` texts."""
FieldSpec = Identifier | Time | Amount | Code | Degrees | FraudFlag | CensoredFlag
"""Any entry of a mapping that names a column."""


class _Read(Protocol):
    """Gives the texts of a field, and where to report those that cannot be read."""

    def __call__(self, spec: FieldSpec, *, required: bool = False) -> tuple[parsing.Texts, parsing.Refuse]: ...


class BatchFaults:
    """The rows of a batch that are not used: a mask, and for each faulty one the first thing that is wrong with it."""

    def __init__(self, numbers: NDArray[np.int64]) -> None:
        self.bad = np.zeros(len(numbers), np.bool_)
        self.found: list[Fault] = []
        self.left_out = 0
        self._numbers = numbers

    def add(self, column: str, texts: parsing.Texts, mask: parsing.Mask, reason: str) -> None:
        """Note the rows of `mask` that nothing is known to be wrong with so far."""
        for position in np.flatnonzero(mask & ~self.bad):
            self.found.append(Fault(int(self._numbers[position]), column, texts[int(position)].as_py(), reason))
        self.bad |= mask

    def leave_out(self, mask: parsing.Mask) -> None:
        """Do not use the rows of `mask`, which have no fault."""
        self.left_out += int((mask & ~self.bad).sum())
        self.bad |= mask


def parse_batch(batch: TextBatch, mapping: Mapping, score_columns: Sequence[str] = ()) -> tuple[Columns, BatchFaults]:
    """The values of every field that the mapping knows and of the score columns; those in a faulty row mean nothing."""
    faults = BatchFaults(batch.numbers)

    def read(spec: FieldSpec, *, required: bool = False) -> tuple[parsing.Texts, parsing.Refuse]:
        names = spec.names if isinstance(spec, Joinable) else (spec.column or "",)
        parts = [parsing.clean(batch.columns[name], mapping.missing) for name in names]
        texts, is_time = parts[0], isinstance(spec, Time)
        if len(parts) > 1:
            texts = pc.binary_join_element_wise(*parts, " " if is_time else identifiers.JOINT)
        refuse = partial(faults.add, " + ".join(names), texts)
        if len(parts) > 1 and not is_time:
            refuse(identifiers.holds_joint(parts), identifiers.JOINT_REFUSED)
        if required:
            refuse(parsing.is_null(texts), parsing.MISSING)
        return texts, refuse

    ours, label = mapping.transaction, mapping.label
    columns: Columns = {
        "row": batch.numbers,
        "occurred_at": parsing.parse_times(*read(ours.occurred_at, required=True), ours.occurred_at),
        "card_id": parse_identifiers(*read(ours.card_id, required=True), ours.card_id, is_card=True),
        "merchant_id": parse_identifiers(*read(ours.merchant_id, required=True), ours.merchant_id),
        "amount": parsing.parse_amounts(*read(ours.amount, required=True), ours.amount),
        "is_fraud": parsing.parse_fraud(*read(label.is_fraud, required=True), label.is_fraud),
    }
    columns["censored"] = np.zeros(len(batch.numbers), np.bool_)
    if label.censored is not None:
        columns["censored"] = parsing.parse_censored(read(label.censored)[0], label.censored) & ~columns["is_fraud"]
    if ours.transaction_id is not None:
        columns["transaction_id"] = parse_identifiers(*read(ours.transaction_id, required=True), ours.transaction_id)
    for name, spec in (
        ("device_id", ours.device_id),
        ("card_range", ours.card_range),
    ):
        if spec is not None:
            columns[name] = parse_identifiers(*read(spec), spec)
    columns |= _codes_and_places(mapping, read)
    columns |= parse_score_columns(batch, score_columns, mapping.missing, faults.add)
    columns["observed_at"] = columns["occurred_at"] + mapping.protocol.delay_days * DAY_MS
    if label.observed_at is not None:
        texts, refuse = read(label.observed_at)
        columns["observed_at"] = _observed_at(
            columns, parsing.parse_times(texts, refuse, label.observed_at), texts, refuse
        )
    if ours.amount.negative == "leave_out":
        faults.leave_out(columns["amount"] < 0)
    return columns, faults


def _codes_and_places(mapping: Mapping, read: _Read) -> Columns:
    ours, columns = mapping.transaction, Columns()
    for name in CODE_RULES:
        code = getattr(ours, name)
        if code is not None and code.column is not None:
            may_be_missing = name == "previous_outcome" or code.otherwise is not None
            columns[name] = parsing.parse_codes(*read(code, required=not may_be_missing), name, code)
    for name, bound in (("latitude", 90), ("longitude", 180)):
        if (place := getattr(ours, name)) is not None:
            columns[name] = parsing.parse_degrees(*read(place), place, bound)
    return columns


def _observed_at(
    columns: Columns, written: NDArray[np.int64], texts: parsing.Texts, refuse: parsing.Refuse
) -> NDArray[np.int64]:
    """Return when labels were observed: as written for fraud, else the protocol's delay after the transaction."""
    has_it = columns["is_fraud"] & ~parsing.is_null(texts)
    refuse(has_it & (written < columns["occurred_at"]), "is before the transaction that it is about")
    return np.where(has_it, written, columns["observed_at"])
