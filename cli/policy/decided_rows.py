"""Archived decisions of the model, as the decision policy sees them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct, structs
from numpy.typing import NDArray

from adapters.archive.reader import Archive
from cardwatch.decision.cost_policy import CHANNELS, DecisionPolicy
from cardwatch.detector.detector import Detector
from cardwatch.errors import Misconfigured
from cardwatch.events import Channel, Transaction
from cardwatch.features.definitions import FEATURES, SCHEMA_HASH
from cardwatch.registry import ModelVersions

_POSITION: Final = ["partition", "log_offset"]
_OF_DECISION: Final = ["transaction_id", "card_id", "merchant_id", "occurred_at", "amount_minor", "merchant_category"]


class DecidedRows(Struct, frozen=True, kw_only=True):
    """n decisions of the model on `days` days. All arrays have n rows.

    `amounts_minor`: in minor units of the policy's currency. `left_out`: decisions of the rules, of another feature
    schema, or in a currency for which the policy has no rate. `propensities`: NaN for rows outside the control share.
    """

    days: int
    left_out: int
    transactions: list[Transaction]
    features: NDArray[np.float32]
    probabilities: NDArray[np.float64]
    amounts_minor: NDArray[np.float64]
    channels: NDArray[np.int64]
    propensities: NDArray[np.float64]


def read_decided_rows(archive: Archive, policy: DecisionPolicy, days: int) -> DecidedRows:
    """Return the decisions of the last closed days. Raises `Misconfigured` if the model has decided none of them."""
    closed = sorted(archive.closed_days())[-days:]
    if not closed:
        raise Misconfigured("the archive has no closed day yet")
    decided = archive.decisions(closed[0], closed[-1])
    paid = archive.transactions(closed[0], closed[-1]).select([*_POSITION, "currency", "card_range"])
    flat = decided.drop_columns(["features", "reasons"])  # a join takes no lists
    joined = flat.append_column("row", pa.array(np.arange(len(flat)), pa.int64())).join(
        paid, _POSITION, join_type="inner"
    )
    by_model = pc.and_(joined["probability"].is_valid(), pc.equal(joined["feature_schema"], pa.scalar(SCHEMA_HASH)))
    has_rate = [policy.rate_of(str(currency)) is not None for currency in joined["currency"].to_pylist()]
    kept = joined.filter(pc.and_(by_model, pa.array(has_rate, pa.bool_()))).sort_by("row")
    if not len(kept):
        raise Misconfigured(f"no decision of the model on {closed[0]} to {closed[-1]} can be used")
    features = pc.list_flatten(decided["features"].take(kept["row"]))
    transactions = [_transaction(row) for row in kept.to_pylist()]
    return DecidedRows(
        days=len(closed),
        left_out=len(decided) - len(kept),
        transactions=transactions,
        features=features.to_numpy().astype(np.float32).reshape(-1, len(FEATURES)),
        probabilities=kept["probability"].to_numpy(),
        amounts_minor=np.array([each.amount_minor * (policy.rate_of(each.currency) or 1.0) for each in transactions]),
        channels=np.array([CHANNELS.index(each.channel) for each in transactions], np.int64),
        propensities=kept["control_propensity"].to_numpy(zero_copy_only=False).astype(np.float64),
    )


def rescored(rows: DecidedRows, registry: ModelVersions, version: str) -> DecidedRows:
    """Return the rows with the probabilities that this version of the model gives them, whoever has decided them.

    Raises what `registered_detector` raises.
    """
    detector = registered_detector(registry, version)
    return structs.replace(rows, probabilities=detector.probabilities(detector.margins(rows.features)))


def registered_detector(registry: ModelVersions, version: str) -> Detector:
    """Return a version of the model.

    Raises `Misconfigured` if the registry has no such version, `ModelRefused` if it needs other features or its files
    are not those that were registered.
    """
    registered = registry.version(version)
    if registered is None:
        raise Misconfigured(f"the registry has no version {version} of the model")
    return Detector.from_files(registry.files(registered))


def _transaction(row: dict[str, Any]) -> Transaction:
    return Transaction(
        **{name: row[name] for name in _OF_DECISION},
        currency=row["currency"],
        card_range=row["card_range"],
        channel=Channel(row["channel"]),
        country=row["country"],
    )
