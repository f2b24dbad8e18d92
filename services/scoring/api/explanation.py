"""Explanations of a score: the exact contributions of all features, and the reason codes with their meaning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.detector.detector import strongest_reasons
from cardwatch.features.definitions import FEATURES
from cardwatch.features.reason_codes import REASON_TEXTS
from services.scoring.model.manager import LoadedModel


class Contribution(Struct, frozen=True, kw_only=True):
    """The share of one feature in the margin. A positive `contribution` raises the risk of fraud."""

    feature: str
    meaning: str
    value: float | None
    contribution: float
    reason: str


class Reason(Struct, frozen=True, kw_only=True):
    """A reason code of a decision, and its meaning."""

    code: str
    text: str


class Explanation(Struct, frozen=True, kw_only=True):
    """`expected_margin` and the contributions add up to `margin`. The largest come first; zeros are left out."""

    transaction_id: str | None
    sequence: int | None
    model_version: str
    model_digest: str
    margin: float
    probability: float
    expected_margin: float
    reasons: list[Reason]
    contributions: list[Contribution]


def contribution_of(index: int, value: float, contribution: float) -> Contribution:
    """Return the contribution of the feature at `index` of the feature table, whose value is NaN if it is missing."""
    feature = FEATURES[index]
    return Contribution(
        feature=feature.name,
        meaning=feature.meaning,
        value=None if np.isnan(value) else value,
        contribution=contribution,
        reason=feature.reason,
    )


def explain(
    model: LoadedModel, row: NDArray[np.float32], *, transaction_id: str | None = None, sequence: int | None = None
) -> Explanation:
    """Return the explanation of the score of one feature row, float32 [1, features]."""
    margins = model.detector.margins(row)
    [contributions] = model.detector.contributions(row)
    return Explanation(
        transaction_id=transaction_id,
        sequence=sequence,
        model_version=model.version.version,
        model_digest=model.version.digest,
        margin=float(margins[0]),
        probability=float(model.detector.probabilities(margins)[0]),
        expected_margin=model.detector.expected_margin(),
        reasons=[Reason(code=code, text=REASON_TEXTS[code]) for code in strongest_reasons(contributions)],
        contributions=_sorted_contributions(contributions, row[0].astype(np.float64).tolist()),
    )


def _sorted_contributions(contributions: NDArray[np.float64], values: Sequence[float]) -> list[Contribution]:
    order = np.argsort(-np.abs(contributions), kind="stable").tolist()
    return [contribution_of(i, values[i], float(contributions[i])) for i in order if contributions[i] != 0.0]
