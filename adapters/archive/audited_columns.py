"""Archived decisions, and the transactions at their positions, as the columns that an audit checks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import structs
from numpy.typing import NDArray

from adapters.archive.arrow_columns import KERNEL_COLUMNS, Arrow, codes_with_missing
from adapters.archive.layout import SCHEMAS
from adapters.archive.log_files import log_offsets
from cardwatch.audit.checks import Flags
from cardwatch.audit.recorded_columns import AuditedDecisions, ComparedField, TextColumn
from cardwatch.events import AuthorizationOutcome, Channel, Transaction, from_epoch_ms
from cardwatch.features.definitions import FEATURES, SCHEMA_HASH
from cardwatch.features.kernel import FoldedRows
from cardwatch.topics import DECISIONS

_COMPARED: Final = (
    "transaction_id", "card_id", "merchant_id", "occurred_at", "amount_minor", "merchant_category", "channel",
    "country",
)  # fmt: skip
_NOT_AUDITED: Final = frozenset({"decided_at", "latency_ms"})
DECISION_COLUMNS: Final = tuple(name for name in SCHEMAS[DECISIONS].names if name not in _NOT_AUDITED)
"""Columns of decisions that an audit needs."""
TRANSACTION_COLUMNS: Final = tuple(dict.fromkeys([*KERNEL_COLUMNS, "currency", "customer_id", "card_range"]))
"""Columns of transactions that an audit needs: those that features and policies are computed from."""
_CHANNELS: Final = {channel.value: channel for channel in Channel}
_OUTCOMES: Final = {outcome.value: outcome for outcome in AuthorizationOutcome}


def audited_columns(
    decisions: pa.Table,
    logged: pa.Table,
    in_log: Flags,
    replayed: FoldedRows,
    copies: NDArray[np.int64] | None = None,
) -> Iterator[AuditedDecisions]:
    """Yield n decisions, with `DECISION_COLUMNS`, in parts of one feature schema each.

    `logged` are the transactions at the same positions, with `TRANSACTION_COLUMNS`, missing where `in_log`, bool [n],
    is False; `replayed` is what the kernel gives for them. `copies` as in `AuditedDecisions`, by default 1.
    """
    schemas, codes = codes_with_missing(decisions["feature_schema"])
    counted = np.ones(len(decisions), np.int64) if copies is None else copies
    for code in np.unique(codes).tolist():
        rows = np.flatnonzero(codes == code)
        is_all = len(rows) == len(codes)
        yield _columns(
            decisions if is_all else decisions.take(rows),
            logged if is_all else logged.take(rows),
            "" if code < 0 else schemas[code],
            in_log[rows],
            rows_at(replayed, rows),
            counted[rows],
        )


def rows_at(folded: FoldedRows, rows: NDArray[np.int64]) -> FoldedRows:
    """Return some of the rows."""
    return FoldedRows(folded.features[rows], folded.sequences[rows], folded.duplicates[rows])


def _columns(
    decisions: pa.Table, logged: pa.Table, schema: str, in_log: Flags, replayed: FoldedRows, copies: NDArray[np.int64]
) -> AuditedDecisions:
    return AuditedDecisions(
        partitions=decisions["partition"].to_numpy().astype(np.int64),
        offsets=log_offsets(decisions),
        transaction_ids=[name or "" for name in decisions["transaction_id"].to_pylist()],
        sequences=_filled(decisions["sequence"], -1).astype(np.int64),
        feature_schema=schema,
        features=_features(decisions, schema),
        table_ids=_texts(decisions, "table_id"),
        model_versions=_texts(decisions, "model_version"),
        model_digests=_texts(decisions, "model_digest"),
        policy_versions=_texts(decisions, "policy_version"),
        margins=_numbers(decisions, "margin", np.float32),
        probabilities=_numbers(decisions, "probability", np.float64),
        actions=_texts(decisions, "action"),
        reasons=[reasons or [] for reasons in decisions["reasons"].to_pylist()],
        is_degraded=_filled(decisions["degraded"], False).astype(np.bool_),
        degraded_reasons=_texts(decisions, "degraded_reason"),
        shadow_versions=_texts(decisions, "shadow_version"),
        shadow_margins=_numbers(decisions, "shadow_margin", np.float32),
        shadow_probabilities=_numbers(decisions, "shadow_probability", np.float64),
        canary_versions=_texts(decisions, "canary_version"),
        canary_shares=_numbers(decisions, "canary_share", np.float64),
        propensities=_numbers(decisions, "control_propensity", np.float64),
        copies=copies,
        in_log=in_log,
        occurred_at_ms=_epoch_ms(logged["occurred_at"]),
        payments=payments_of(logged, in_log),
        fields={name: _compared(decisions[name], logged[name]) for name in _COMPARED},
        replayed=replayed,
    )


def payments_of(logged: pa.Table, in_log: Flags) -> list[Transaction | None]:
    """Return the transactions of the log, None where there is none. Their times have whole milliseconds."""
    values: dict[str, Sequence[Any]] = {
        name: logged[name].to_pylist() for name in TRANSACTION_COLUMNS if name != "occurred_at"
    }
    values["occurred_at"] = [from_epoch_ms(each) for each in _epoch_ms(logged["occurred_at"]).tolist()]
    values["channel"] = [_CHANNELS.get(each) for each in values["channel"]]
    values["previous_outcome"] = [_OUTCOMES.get(each) for each in values["previous_outcome"]]
    names = [field.name for field in structs.fields(Transaction)]
    rows = zip(*(values[name] for name in names), strict=True)
    return [
        Transaction(**dict(zip(names, row, strict=True))) if found else None
        for row, found in zip(rows, in_log.tolist(), strict=True)
    ]


def _features(decisions: pa.Table, schema: str) -> NDArray[np.float32]:
    """Return the features, float32 [n, features]. A row with another number of values than its schema has none."""
    lengths = _filled(pc.list_value_length(decisions["features"]), 0)
    width = len(FEATURES) if schema == SCHEMA_HASH else int(lengths[0]) if len(lengths) else 0
    is_whole = lengths == width
    whole = decisions["features"] if is_whole.all() else decisions["features"].filter(pa.array(is_whole))
    values = pc.list_flatten(whole).to_numpy().astype(np.float32, copy=False).reshape(-1, width)
    if is_whole.all():
        return np.ascontiguousarray(values)
    features = np.full((len(lengths), width), np.nan, np.float32)
    features[is_whole] = values
    return features


def _texts(decisions: pa.Table, name: str) -> TextColumn:
    return TextColumn(*codes_with_missing(decisions[name].cast(pa.string())))


def _numbers(decisions: pa.Table, name: str, kind: Any) -> Any:
    return _filled(decisions[name].cast(pa.from_numpy_dtype(kind)), float("nan")).astype(kind, copy=False)


def _filled(column: Arrow, value: Any) -> Any:
    return column.fill_null(pa.scalar(value, column.type)).to_numpy(zero_copy_only=False)


def _epoch_ms(moments: Arrow) -> NDArray[np.int64]:
    whole: NDArray[np.int64] = moments.cast(pa.timestamp("ms", "UTC")).cast(pa.int64()).fill_null(0).to_numpy()
    return whole


def _compared(recorded: Arrow, logged: Arrow) -> ComparedField:
    if not pa.types.is_integer(recorded.type) and not pa.types.is_timestamp(recorded.type):
        recorded, logged = recorded.cast(pa.string()), logged.cast(pa.string())
    different = pc.not_equal(recorded, logged.cast(recorded.type)).fill_null(True)
    return ComparedField(
        different.to_numpy(zero_copy_only=False)
        if not isinstance(different, pa.ChunkedArray)
        else different.to_numpy(),
        lambda row: recorded[row].as_py(),
        lambda row: logged[row].as_py(),
    )
