"""Rows of the index about alerts: challenged and declined transactions, which the case queue reviews.

Rows of a control share are approved and so are none. The index of a former version has no such rows: they are read from
the files of its decisions, once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from adapters.archive.layout import SCHEMAS
from adapters.archive.policy_amounts import log_positions
from cardwatch.events import Action, to_epoch_ms, utc_day
from cardwatch.topics import DECISIONS, TRANSACTIONS

_COPIED: Final = (
    "transaction_id", "card_id", "merchant_id", "partition", "log_offset", "channel", "amount_minor", "action",
    "probability", "model_version",
)  # fmt: skip
_READ: Final = [*_COPIED, "occurred_at", "reasons"]


def alert_rows(decisions: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of the index for those of the archive's decisions that are alerts.

    `currency` is not a column of archived decisions, and is taken from the row if it has one.
    """
    return [
        {
            **{name: row[name] for name in _COPIED},
            "day": utc_day(row["occurred_at"]).isoformat(),
            "occurred_at_ms": to_epoch_ms(row["occurred_at"]),
            "currency": row.get("currency"),
            "reasons": msgspec.json.encode(row["reasons"]).decode(),
        }
        for row in decisions
        if row["action"] != Action.APPROVE.value
    ]


def archived_alert_rows(decisions: Iterable[Path], transactions: Mapping[str, Iterable[Path]]) -> Iterator[list[Any]]:
    """Yield the rows of the index for the alerts in each file of decisions.

    `transactions`: by event day the files of transactions, whose currencies the files of decisions lack.
    """
    for path in decisions:
        table = pq.read_table(path, schema=SCHEMAS[DECISIONS], columns=_READ, partitioning=None)
        alerts = table.filter(pc.not_equal(table["action"], pa.scalar(Action.APPROVE.value)))
        if not alerts.num_rows:
            continue
        day = path.parent.name.removeprefix("date=")
        yield alert_rows(_with_currencies(alerts, transactions.get(day, ())).to_pylist())


def _with_currencies(alerts: pa.Table, files: Iterable[Path]) -> pa.Table:
    schema = SCHEMAS[TRANSACTIONS]
    columns = ["partition", "log_offset", "currency"]
    tables = [pq.read_table(path, schema=schema, columns=columns, partitioning=None) for path in files]
    paid = pa.concat_tables([pa.schema([schema.field(name) for name in columns]).empty_table(), *tables])
    found: Any = pc.index_in(pa.array(log_positions(alerts)), value_set=pa.array(log_positions(paid)))
    return alerts.append_column("currency", paid["currency"].take(found))
