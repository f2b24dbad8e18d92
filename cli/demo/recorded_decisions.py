"""Explained decisions of a replay, in a compact form: rows as arrays, and names that repeat as places in lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
from msgspec import Struct
from numpy.typing import NDArray

from adapters.archive.feature_rows import feature_matrix
from adapters.archive.log_files import log_offsets
from adapters.archive.policy_amounts import amounts_in_currency_of
from cardwatch.decision.cost_policy import ACTIONS, DecisionPolicy, channels_of
from cardwatch.detector.detector import Detector
from cardwatch.features.definitions import FEATURES
from cardwatch.features.reason_codes import REASON_TEXTS, features_with_true_code

LARGEST_PARTS: Final = 10
"""Number of contributions that a replay holds of each decision; the others are one sum."""
_DIGITS: Final = 4
_COPIED: Final = [
    "partition",
    "merchant_id",
    "merchant_category",
    "country",
    "sequence",
    "margin",
    "control_propensity",
]

Position = tuple[int, int]
"""Partition and offset of a transaction."""


class Part(Struct, frozen=True, array_like=True):
    """The contribution of a feature to a margin. `feature` is its place in the feature table."""

    feature: int
    value: float | None
    contribution: float
    has_reason: bool


class RecordedDecision(Struct, frozen=True, array_like=True):
    """A decision without what its line in the list has. `model`, `table` and `policy` are places in the lists.

    `costs` are the expected costs of the actions in minor units, None where an action is not possible. `parts` are the
    largest contributions, the others add up to `rest`: expected margin + parts + rest = margin.
    """

    partition: int
    offset: int
    merchant_id: str
    merchant_category: str
    country: str
    sequence: int
    table: int
    policy: int
    model: int
    margin: float | None
    control_propensity: float | None
    costs: list[int | None]
    parts: list[Part]
    rest: float


class RecordedModel(Struct, frozen=True, kw_only=True):
    """A model that decided in the replay."""

    version: str
    digest: str
    expected_margin: float


class FeatureText(Struct, frozen=True, kw_only=True):
    """A feature of the table, and its reason code."""

    name: str
    meaning: str
    reason: str | None


class RecordedDecisions(Struct, frozen=True, kw_only=True):
    """The explained decisions of a replay. `model` of a row is -1 where the rules decided."""

    feature_schema: str
    currency: str
    features: list[FeatureText]
    reasons: Mapping[str, str]
    models: list[RecordedModel]
    tables: list[str]
    policies: list[str]
    rows: list[RecordedDecision]


def explain_decisions(
    decisions: pa.Table,
    policy: DecisionPolicy,
    currency: str,
    detector_of: Callable[[str], Detector],
) -> RecordedDecisions:
    """Explain decisions, in columns as `decisions_at` returns them, each by the model that made it.

    `currency` is that of the transactions, for a policy without one. Raises what `detector_of` raises for a version.
    """
    features = feature_matrix(decisions)
    models, places, parts, rests = _explained_by_models(decisions, features, detector_of)
    tables, table_places = _places(decisions["table_id"].to_pylist())
    policies, policy_places = _places(decisions["policy_version"].to_pylist())
    costs = _costs(decisions, features, policy)
    return RecordedDecisions(
        feature_schema=decisions["feature_schema"][0].as_py() if decisions.num_rows else "",
        currency=policy.currency or currency,
        features=[FeatureText(name=each.name, meaning=each.meaning, reason=each.reason) for each in FEATURES],
        reasons=REASON_TEXTS,
        models=models,
        tables=tables,
        policies=policies,
        rows=[
            RecordedDecision(
                **row,
                offset=offset,
                table=table_places[place],
                policy=policy_places[place],
                model=places[place],
                costs=costs[place],
                parts=parts[place],
                rest=round(rests[place], _DIGITS),
            )
            for place, (row, offset) in enumerate(
                zip(decisions.select(_COPIED).to_pylist(), log_offsets(decisions).tolist(), strict=True)
            )
        ],
    )


def _explained_by_models(
    decisions: pa.Table, features: NDArray[np.float32], detector_of: Callable[[str], Detector]
) -> tuple[list[RecordedModel], list[int], list[list[Part]], list[float]]:
    """Return the models, and per decision the place of its model, its parts and the rest."""
    versions: list[str | None] = decisions["model_version"].to_pylist()
    margins = decisions["margin"].to_numpy(zero_copy_only=False).astype(np.float64)
    names = sorted({version for version in versions if version is not None}, key=lambda name: (len(name), name))
    models: list[RecordedModel] = []
    parts: list[list[Part]] = [[] for _ in versions]
    rests = [0.0] * len(versions)
    for name in names:
        rows = [row for row, version in enumerate(versions) if version == name]
        detector, digest = detector_of(name), decisions["model_digest"][rows[0]].as_py()
        models.append(RecordedModel(version=name, digest=digest or "", expected_margin=detector.expected_margin()))
        for row, found, rest in zip(rows, *_explained(features[rows], margins[rows], detector), strict=True):
            parts[row], rests[row] = found, rest
    return models, [-1 if version is None else names.index(version) for version in versions], parts, rests


def _explained(
    features: NDArray[np.float32], margins: NDArray[np.float64], detector: Detector
) -> tuple[list[list[Part]], list[float]]:
    contributions = detector.contributions(features)
    is_true = features_with_true_code(features)
    order = np.argsort(-np.abs(contributions), axis=1, kind="stable")[:, :LARGEST_PARTS]
    expected, parts, rests = detector.expected_margin(), [], []
    for row, columns in enumerate(order.tolist()):
        shown = [
            Part(
                column,
                None if np.isnan(features[row, column]) else _short(float(features[row, column])),
                round(float(contributions[row, column]), _DIGITS),
                bool(is_true[row, column]) and FEATURES[column].reason is not None,
            )
            for column in columns
            if contributions[row, column] != 0.0
        ]
        parts.append(shown)
        rests.append(float(margins[row]) - expected - sum(part.contribution for part in shown))
    return parts, rests


def _costs(decisions: pa.Table, features: NDArray[np.float32], policy: DecisionPolicy) -> list[list[int | None]]:
    probabilities = decisions["probability"].to_numpy(zero_copy_only=False).astype(np.float64)
    amounts = amounts_in_currency_of(policy, decisions)
    costs = policy.expected_costs(probabilities, amounts, channels_of(features))
    costs[np.isnan(probabilities)] = np.inf
    return [[None if not np.isfinite(cost) else round(float(cost)) for cost in row] for row in costs[:, : len(ACTIONS)]]


def _places(names: Sequence[str | None]) -> tuple[list[str], list[int]]:
    found = sorted({name or "" for name in names})
    places = {name: place for place, name in enumerate(found)}
    return found, [places[name or ""] for name in names]


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
