"""Checks against the log and the reference tables: payment, sequence, table and features."""

from __future__ import annotations

from typing import Final

import numpy as np

from cardwatch.audit.checks import CheckedColumn, CheckName, Compared, Flags, Unchecked, checked, same_bits, shown
from cardwatch.audit.outcomes_again import NOT_IN_LOG, OTHER_SCHEMA, day_of
from cardwatch.audit.recorded_columns import AuditedDecisions, AuditedTables
from cardwatch.features.definitions import FEATURE_NAMES, SCHEMA_HASH
from cardwatch.features.reference_table import DAY_MS

SHOWN_FEATURES: Final = 5
"""Number of different features that a check names."""


def log_checks(decisions: AuditedDecisions, tables: AuditedTables) -> list[CheckedColumn]:
    """Return the checks of what the log and the tables determine."""
    return [
        _transaction(decisions),
        _one_decision(decisions),
        _sequence(decisions),
        _table(decisions, tables),
        _features(decisions, tables),
    ]


def _transaction(decisions: AuditedDecisions) -> CheckedColumn:
    different = ~decisions.in_log
    for field in decisions.fields.values():
        different = different | (field.different & decisions.in_log)

    def values(row: int) -> Compared:
        where = f"transactions[{decisions.partitions[row]}] {decisions.offsets[row]}"
        if not decisions.in_log[row]:
            return Compared(decisions.transaction_ids[row], "none", NOT_IN_LOG)
        names = [name for name, field in decisions.fields.items() if field.different[row]]
        if not names:
            return Compared(decisions.transaction_ids[row], where)
        fields = {name: decisions.fields[name] for name in names}
        recorded = ", ".join(f"{name} {field.recorded(row)}" for name, field in fields.items())
        logged = ", ".join(f"{name} {field.logged(row)}" for name, field in fields.items())
        return Compared(recorded, logged, where)

    return checked(CheckName.TRANSACTION, len(decisions), different, values)


def _one_decision(decisions: AuditedDecisions) -> CheckedColumn:
    repeated, copies = decisions.replayed.duplicates & decisions.in_log, decisions.copies

    def values(row: int) -> Compared:
        recorded = f"{copies[row]} decision{'' if copies[row] == 1 else 's'}"
        return Compared(recorded, "none: the transaction repeats an earlier one" if repeated[row] else "1 decision")

    return checked(CheckName.ONE_DECISION, len(decisions), repeated | (copies > 1), values)


def _sequence(decisions: AuditedDecisions) -> CheckedColumn:
    replayed, unchecked = decisions.replayed.sequences, _not_replayed(decisions)

    def values(row: int) -> Compared:
        recorded, computed = int(decisions.sequences[row]), int(replayed[row])
        remark = "the archive begins after the first transactions of the card" if recorded > computed else ""
        return Compared(f"{recorded:,}", f"{computed:,}", remark)

    return checked(CheckName.SEQUENCE, len(decisions), decisions.sequences != replayed, values, unchecked)


def _table(decisions: AuditedDecisions, tables: AuditedTables) -> CheckedColumn:
    ids, different, unchecked = decisions.table_ids, decisions.table_ids.is_missing, Unchecked(len(decisions))
    days = decisions.occurred_at_ms // DAY_MS
    for code, name in enumerate(ids.names):
        stored, rows = tables.by_id[name], ids.codes == code
        if stored.is_wrong:
            different = different | rows
        elif stored.table is None:
            unchecked.add(stored.problem, rows)
        else:
            different = different | (rows & decisions.in_log & (stored.table.valid_from_day > days))

    def values(row: int) -> Compared:
        name = ids.of(row)
        if name is None:
            return Compared("none", "", "the record names no table")
        stored = tables.by_id[name]
        if stored.table is None or not decisions.in_log[row]:
            return Compared(name, "", stored.problem)
        newest = tables.newest_id(day_of(int(decisions.occurred_at_ms[row])))
        if stored.table.valid_from_day > days[row]:
            return Compared(name, newest, f"it is valid from {stored.table.valid_from.date()} on")
        remark = f"replaced by {stored.table.table_id}, which was rebuilt" if stored.is_rebuilt else ""
        if not remark and newest != name:
            remark = f"{newest} is the newest of the day; it was not there yet, if the features replay"
        return Compared(name, stored.table.table_id, remark)

    return checked(CheckName.TABLE, len(decisions), different, values, unchecked)


def _features(decisions: AuditedDecisions, tables: AuditedTables) -> CheckedColumn:
    unchecked, replayed = _not_replayed(decisions), decisions.replayed.features
    for code, name in enumerate(decisions.table_ids.names):
        if tables.by_id[name].table is None:
            unchecked.add(f"reference table {name} cannot be used", decisions.table_ids.codes == code)
    unchecked.add("the record names no table", decisions.table_ids.is_missing)
    unchecked.add("the transaction is a repeat, which has no features", decisions.replayed.duplicates)
    different: Flags = np.zeros(len(decisions), np.bool_)
    if decisions.feature_schema == SCHEMA_HASH:
        different = np.logical_not(same_bits(decisions.features, replayed).all(axis=1))
    for code, name in enumerate(decisions.table_ids.names):
        if tables.by_id[name].is_rebuilt:
            reason = "its table was rebuilt, and may have other values than the one that it stands for"
            unchecked.add(reason, different & (decisions.table_ids.codes == code))

    def values(row: int) -> Compared:
        count = decisions.features.shape[1]
        if decisions.feature_schema != SCHEMA_HASH:
            return Compared(f"{count} values of schema {decisions.feature_schema}", f"schema {SCHEMA_HASH}")
        if unchecked.any[row]:
            return Compared(f"{count} values", "")
        columns = np.flatnonzero(~same_bits(decisions.features[row], replayed[row])).tolist()
        if not columns:
            return Compared(f"{count} values", f"{count} values")
        recorded, computed = (
            ", ".join(f"{FEATURE_NAMES[at]} {shown(rows[row, at])}" for at in columns[:SHOWN_FEATURES])
            for rows in (decisions.features, replayed)
        )
        return Compared(recorded, computed, f"{len(columns)} of {count} features differ")

    return checked(CheckName.FEATURES, len(decisions), different, values, unchecked)


def _not_replayed(decisions: AuditedDecisions) -> Unchecked:
    unchecked = Unchecked(len(decisions))
    unchecked.add(NOT_IN_LOG, ~decisions.in_log)
    if decisions.feature_schema != SCHEMA_HASH:
        unchecked.add(OTHER_SCHEMA, np.ones(len(decisions), np.bool_))
    return unchecked
