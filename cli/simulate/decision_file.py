"""Files with decisions about the transactions of a simulated world, from which its labels follow."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from adapters.archive.containers import is_parquet
from cardwatch.errors import Misconfigured
from cardwatch.events import Action
from cardwatch.simulation.selection import APPROVE, Actions

_COLUMNS: Final = ("transaction_id", "action")
_CODES: Final = {action.value: code for code, action in enumerate(Action)}


class DecisionFile:
    """The actions of a file, by transaction id. A transaction that the file does not name is approved."""

    def __init__(self, path: Path) -> None:
        """Read a CSV or Parquet file with the columns `transaction_id` and `action`.

        Raises `Misconfigured` if it cannot be read, has another action, or names a transaction twice.
        """
        self._path = path
        rows = _read(path)
        ids, actions = (rows[name].cast(pa.string()).to_pylist() for name in _COLUMNS)
        if unknown := sorted({str(action) for action in actions} - set(_CODES)):
            raise Misconfigured(f"decisions {path}: action is {unknown[0]!r}, not one of {', '.join(_CODES)}")
        self._actions: dict[Any, int] = {name: _CODES[str(action)] for name, action in zip(ids, actions, strict=True)}
        if len(self._actions) < len(ids):
            raise Misconfigured(f"decisions {path}: {len(ids) - len(self._actions)} transactions are named twice")

    def take(self, transaction_ids: Sequence[str]) -> Actions:
        """Return the action on each transaction, int8 [n], by its position in `Action`."""
        taken = {name: self._actions.pop(name, APPROVE) for name in dict.fromkeys(transaction_ids)}
        return np.array([taken[name] for name in transaction_ids], np.int8)

    def require_all_used(self) -> None:
        """Raise `Misconfigured` if the file names transactions that no day had."""
        if self._actions:
            raise Misconfigured(
                f"decisions {self._path}: {len(self._actions):,} transactions are not in this world, such as "
                f"{next(iter(self._actions))!r}: the file belongs to another seed or other settings"
            )

    def description(self) -> dict[str, str]:
        """Return what `labels.json` says about the decisions."""
        return {
            "decisions": self._path.name,
            "sha256": hashlib.sha256(self._path.read_bytes()).hexdigest(),
            "others": "approved",
        }


def _read(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path) if is_parquet(path) else pyarrow.csv.read_csv(path)
    except (OSError, pa.ArrowException) as error:
        raise Misconfigured(f"decisions {path}: cannot be read: {error}") from error
    if missing := [name for name in _COLUMNS if name not in table.column_names]:
        raise Misconfigured(f"decisions {path}: has no column {missing[0]}")
    return table.select(list(_COLUMNS))
