"""Decisions of record at chosen positions, from the topic, in the columns that the archive has for them."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Struct

from cardwatch.errors import InvalidRecord
from cardwatch.events import Decision, decode
from cardwatch.records import Record
from cli.demo.recorded_decisions import Position

_COLUMNS: Final[list[tuple[str, pa.DataType, Callable[[Decision], object]]]] = [
    ("partition", pa.int32(), lambda decision: decision.partition),
    ("log_offset", pa.int64(), lambda decision: decision.offset),
    ("merchant_id", pa.string(), lambda decision: decision.transaction.merchant_id),
    ("merchant_category", pa.string(), lambda decision: decision.transaction.merchant_category),
    ("country", pa.string(), lambda decision: decision.transaction.country),
    ("amount_minor", pa.int64(), lambda decision: decision.transaction.amount_minor),
    ("currency", pa.string(), lambda decision: decision.transaction.currency),
    ("sequence", pa.int64(), lambda decision: decision.sequence),
    ("features", pa.list_(pa.float32()), lambda decision: _with_nan(decision.features)),
    ("feature_schema", pa.string(), lambda decision: decision.feature_schema),
    ("table_id", pa.string(), lambda decision: decision.table_id),
    ("model_version", pa.string(), lambda decision: decision.model_version),
    ("model_digest", pa.string(), lambda decision: decision.model_digest),
    ("policy_version", pa.string(), lambda decision: decision.policy_version),
    ("margin", pa.float32(), lambda decision: decision.margin),
    ("probability", pa.float64(), lambda decision: decision.probability),
    ("control_propensity", pa.float64(), lambda decision: decision.control_propensity),
]


class DecidedPosition(Struct, frozen=True):
    """The position of a decision's transaction. The rest of the record is not decoded."""

    partition: int
    offset: int


def decisions_at(records: Iterable[Record], positions: Container[Position]) -> pa.Table:
    """Return the decisions on the transactions at these positions, in the order of partitions and offsets.

    Of several decisions at a position the first is returned. Records that are no decisions are left out; the audit of
    the topics counts them.
    """
    decode_position = msgspec.json.Decoder(DecidedPosition).decode
    found: dict[Position, Decision] = {}
    for record in records:
        try:
            at = decode_position(record.value or b"")
            position = (at.partition, at.offset)
            if position in positions and position not in found:
                found[position] = decode(record.value, Decision)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidRecord):
            continue
    decisions = [found[position] for position in sorted(found)]
    columns = [pa.array([value_of(each) for each in decisions], kind) for _, kind, value_of in _COLUMNS]
    return pa.table(columns, names=[name for name, _, _ in _COLUMNS])


def _with_nan(features: list[float | None]) -> list[float]:
    return [np.nan if value is None else value for value in features]
