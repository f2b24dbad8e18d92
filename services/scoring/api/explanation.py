"""Explanations of a score: the exact contributions of all features, and the reason codes with their meaning."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.detector.detector import strongest_reasons
from cardwatch.features.definitions import FEATURES
from cardwatch.features.reason_codes import REASON_TEXTS, features_with_true_code
from services.scoring.model.manager import LoadedModel


class Contribution(Struct, frozen=True, kw_only=True):
    """The share of one feature in the margin. A positive `contribution` raises the risk of fraud.

    `reason`: the feature's reason code, None if it is not true of the row.
    """

    feature: str
    meaning: str
    value: float | None
    contribution: float
    reason: str | None


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


def explain(
    model: LoadedModel, row: NDArray[np.float32], *, transaction_id: str | None = None, sequence: int | None = None
) -> Explanation:
    """Return the explanation of the score of one feature row, float32 [1, features]."""
    margins = model.detector.margins(row)
    contributions = model.detector.contributions(row)
    [codes] = strongest_reasons(row, contributions)
    return Explanation(
        transaction_id=transaction_id,
        sequence=sequence,
        model_version=model.version.version,
        model_digest=model.version.digest,
        margin=float(margins[0]),
        probability=float(model.detector.probabilities(margins)[0]),
        expected_margin=model.detector.expected_margin(),
        reasons=[Reason(code=code, text=REASON_TEXTS[code]) for code in codes],
        contributions=_sorted_contributions(row, contributions[0]),
    )


def _sorted_contributions(row: NDArray[np.float32], contributions: NDArray[np.float64]) -> list[Contribution]:
    values = row[0].astype(np.float64).tolist()
    [is_true] = features_with_true_code(row).tolist()
    order = np.argsort(-np.abs(contributions), kind="stable").tolist()
    return [
        Contribution(
            feature=FEATURES[i].name,
            meaning=FEATURES[i].meaning,
            value=None if np.isnan(values[i]) else values[i],
            contribution=float(contributions[i]),
            reason=FEATURES[i].reason if is_true[i] else None,
        )
        for i in order
        if contributions[i] != 0.0
    ]
