"""Recorded decisions as the columns of a what-if, read from the archive day by day, and only what is needed.

Features are read for a day only when a policy or a model asks for them, and those of one day are kept at a time.
Currencies and card ranges lie with the transactions, so these are read only for a policy that needs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct
from numpy.typing import NDArray

from adapters.archive.arrow_columns import Arrow, codes_with_missing
from adapters.archive.feature_rows import feature_matrix
from adapters.archive.log_files import log_offsets
from adapters.archive.outcome_states import label_codes, newest_verdicts
from adapters.archive.policy_amounts import log_positions
from adapters.archive.tables import ArchivedTables
from cardwatch.decision.cost_policy import ACTIONS, CHANNELS, DecisionPolicy
from cardwatch.decision.decide_again import Places, RecordedRows
from cardwatch.decision.what_if import WhatIfRows
from cardwatch.errors import CardwatchError
from cardwatch.events import Action
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.label_maturity import end_of_day
from cardwatch.label_states import label_states

_COLUMNS: Final = (
    "transaction_id", "amount_minor", "channel", "action", "probability", "control_propensity", "policy_version",
    "feature_schema",
)  # fmt: skip
_OF_TRANSACTIONS: Final = ("currency", "card_range")
_ACTIONS: Final = pa.array([action.value for action in ACTIONS])
_CHANNELS: Final = pa.array([channel.value for channel in CHANNELS])
_DECLINE: Final = ACTIONS.index(Action.DECLINE)


class TruthOfIds(Struct, frozen=True, kw_only=True):
    """The true typology of transactions by their ids. `codes` are places in `typologies`, int64 [n].

    `amounts_minor`: int64 [n], by which a transaction is recognised: ids repeat in every simulated world. None: ids are
    enough. `others` is the code of transactions that are not in it, -1 if nothing is known of them.
    """

    transaction_ids: Arrow
    codes: NDArray[np.int64]
    typologies: tuple[str, ...]
    is_fraud: tuple[bool, ...]
    amounts_minor: NDArray[np.int64] | None = None
    others: int = -1

    def of(self, decisions: pa.Table) -> NDArray[np.int64]:
        """Return the typologies of m decided transactions, int64 [m], -1 for those that the truth does not know."""
        places = _places(decisions["transaction_id"], self.transaction_ids)
        codes: NDArray[np.int64] = np.append(self.codes, self.others)[places]
        if self.amounts_minor is not None:
            codes[np.append(self.amounts_minor, -1)[places] != decisions["amount_minor"].to_numpy()] = -1
        return codes


def read_recorded_rows(
    archive: ArchivedTables,
    first: date,
    last: date,
    *,
    policies: Sequence[DecisionPolicy],
    maturity_days: int,
    truth: TruthOfIds | None = None,
) -> list[WhatIfRows]:
    """Return the decisions on transactions of the days, a part for each day that has some.

    `policies` are those that will decide again: they say what is needed. Label states are those at the end of the
    newest closed day, by which every label of the archive counts.
    """
    newest = max(archive.closed_days(), default=last)
    verdicts = newest_verdicts(archive.labels(end_of_day(newest)))
    needs_currency = any(policy.currency is not None for policy in policies)
    features = _FeaturesOfDay(archive)
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    parts = []
    for day in days:
        decisions = archive.decision_columns(day, day, _COLUMNS)
        if not decisions.num_rows:
            continue
        actions = _places(decisions["action"], _ACTIONS).astype(np.int8)
        codes = label_codes(decisions["transaction_id"], verdicts)
        ages = np.full(len(actions), (newest - day).days)
        parts.append(
            WhatIfRows(
                recorded=_recorded(archive, day, decisions, actions, features, needs_currency=needs_currency),
                partitions=decisions["partition"].to_numpy().astype(np.int64),
                offsets=log_offsets(decisions),
                states=label_states(codes, actions == _DECLINE, ages, maturity_days),
                typologies=np.full(len(actions), -1) if truth is None else truth.of(decisions),
            )
        )
    return parts


def _recorded(
    archive: ArchivedTables,
    day: date,
    decisions: pa.Table,
    actions: NDArray[np.int8],
    features: _FeaturesOfDay,
    *,
    needs_currency: bool,
) -> RecordedRows:
    positions, count = log_positions(decisions), decisions.num_rows
    ids, is_of_schema = decisions["transaction_id"], pc.equal(decisions["feature_schema"], pa.scalar(SCHEMA_HASH))
    has_features = is_of_schema.to_numpy(zero_copy_only=False).astype(np.bool_)
    versions, version_codes = codes_with_missing(decisions["policy_version"])
    currencies, currency_codes = (
        codes_with_missing(_column(archive, day, positions, "currency")) if needs_currency else ([], np.full(count, -1))
    )
    values: dict[str, list[str | None]] = {}

    def fields(name: str) -> list[str | None]:
        if name not in values:
            names, codes = codes_with_missing(_column(archive, day, positions, name))
            values[name] = np.array([*names, None], np.object_)[codes].tolist()
        return values[name]

    return RecordedRows(
        actions=actions,
        probabilities=_numbers(decisions["probability"]),
        amounts_minor=decisions["amount_minor"].to_numpy().astype(np.float64),
        currencies=tuple(currencies),
        currency_codes=currency_codes,
        channels=_places(decisions["channel"], _CHANNELS),
        propensities=_numbers(decisions["control_propensity"]),
        has_features=has_features,
        versions=tuple(versions),
        version_codes=version_codes,
        features=lambda places: features.of(day, positions, has_features, places),
        fields=fields,
        transaction_ids=lambda places: _taken(ids, places).to_pylist(),
    )


class _FeaturesOfDay:
    """Reads the features of a day when they are asked for, and keeps those of the last such day."""

    def __init__(self, archive: ArchivedTables) -> None:
        self._archive = archive
        self._day: date | None = None
        self._matrix = np.empty((0, 0), np.float32)
        self._rows: Places = np.empty(0, np.int64)

    def of(
        self, day: date, positions: NDArray[np.int64], has_features: NDArray[np.bool_], places: Places
    ) -> NDArray[np.float32]:
        """Return the features of the rows at `places` of a day, all of which have some, float32 [m, features]."""
        if day != self._day:
            table = self._archive.decision_columns(day, day, ["features"])
            chosen = _found(table, positions)
            if chosen is not None:
                table = table.take(chosen)
            if not has_features.all():
                table = table.filter(pa.array(has_features))
            self._matrix, self._rows, self._day = feature_matrix(table), np.cumsum(has_features) - 1, day
        if len(places) == len(self._matrix):
            return self._matrix
        return self._matrix[self._rows[places]]


def _column(archive: ArchivedTables, day: date, positions: NDArray[np.int64], name: str) -> Arrow:
    """The values of a field of all rows, missing where the transaction is."""
    of = archive.transaction_columns if name in _OF_TRANSACTIONS else archive.decision_columns
    table = of(day, day, [name])
    found = _found(table, positions, required=name not in _OF_TRANSACTIONS)
    return table[name] if found is None else _taken(table[name], found)


def _taken(column: Arrow, places: Places) -> Arrow:
    """The values at these places, missing where a place is -1."""
    return column.take(pa.array(places, mask=places < 0))


def _found(table: pa.Table, positions: NDArray[np.int64], *, required: bool = True) -> Places | None:
    """The rows of a table at these positions, -1 where there is none; None if they are the rows of the table."""
    there = log_positions(table)
    if np.array_equal(there, positions):
        return None
    places = _places(pa.array(positions), pa.array(there))
    if required and (places < 0).any():
        raise CardwatchError("decisions have left the archive while it was read; start the command again")
    return places


def _places(values: Arrow, of: Arrow) -> NDArray[np.int64]:
    """The place of each value among `of`, -1 for those that are not there."""
    found: Arrow = pc.index_in(values, value_set=of)
    places: NDArray[np.int64] = found.fill_null(-1).to_numpy().astype(np.int64)
    return places


def _numbers(column: Arrow) -> NDArray[np.float64]:
    numbers: NDArray[np.float64] = column.fill_null(pa.scalar(float("nan"), pa.float64())).to_numpy()
    return numbers.astype(np.float64, copy=False)
