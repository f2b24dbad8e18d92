"""Baselines: what a fraud team has without the detector, which must be clearly better to be worth its complexity.

They are trained on the rows that the candidate is trained on, and score the rows on which it is judged:

- `rules`: the rules that decide while there is no model. The score is the number of rules that fire.
- `logistic_regression`: a linear model of the same features.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.errors import Misconfigured

RULES: Final = "rules"
LOGISTIC_REGRESSION: Final = "logistic_regression"
GENUINE_ROWS: Final = 50_000
"""Maximum number of genuine rows that the regression is fitted on. More of them change its scores by little."""
CLIP: Final = 5.0
"""Bound of a standardised feature, in standard deviations: a linear model would follow single extreme values."""
MAX_ITERATIONS: Final = 50
"""Bound of the Newton steps of the regression; some ten are usual."""
_BLOCK: Final = 65_536
"""Rows that are scored at once, so that memory does not grow with the number of rows."""


class BaselineScores(Struct, frozen=True, kw_only=True):
    """Scores of a baseline for n rows.

    `scores` is float64 [n], higher is riskier. `probabilities` of fraud are float64 [n] in 0..1, for the cost policy;
    None for the rules, whose actions are those of `DecisionPolicy.decide_by_rules`.
    """

    scores: NDArray[np.float64]
    probabilities: NDArray[np.float64] | None


def baseline_scores(
    features: NDArray[np.float32],
    is_fraud: NDArray[np.bool_],
    judged: NDArray[np.float32],
    policy: DecisionPolicy,
    weight: NDArray[np.floating] | None = None,
) -> dict[str, BaselineScores]:
    """Return what each baseline, by name, says about the rows `judged`, float32 [n, features].

    `features` (float32 [m, features]), `is_fraud` (bool [m]) and `weight` (1 by default, [m]) are the rows of the
    training window. `compare_champion_challenger` calls this with the rows before and after the beginning of the
    evaluation window: `training = rows.between(split.train_from, split.evaluate_from)`. A gate compares the
    candidate's metrics with those of every baseline on the same judged rows. The same rows give the same scores.

    Training rows of one class give no regression, but then there is no candidate either.
    """
    found = {RULES: BaselineScores(scores=rule_scores(judged, policy), probabilities=None)}
    if is_fraud.any() and not is_fraud.all():
        logits = fit_logistic_regression(features, is_fraud, weight).logits(judged)
        found[LOGISTIC_REGRESSION] = BaselineScores(scores=logits, probabilities=1.0 / (1.0 + np.exp(-logits)))
    return found


def rule_scores(rows: NDArray[np.float32], policy: DecisionPolicy) -> NDArray[np.float64]:
    """Return the number of rules that fire for each row, float64 [n]."""
    return np.array([len(codes) for codes in policy.decide_by_rules(rows)[1]], np.float64)


class LinearModel(Struct, frozen=True, kw_only=True):
    """A logistic regression on k features and m indicators of missing values.

    `mean` and `scale` standardise the features, float64 [k]; a missing value becomes the mean. `indicated` are the
    positions of the features with an indicator, int64 [m]. `coefficients` is float64 [k + m].
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    indicated: NDArray[np.int64]
    coefficients: NDArray[np.float64]
    intercept: float

    def logits(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the log-odds of fraud of feature rows, float64 [n]. They lie within +-30."""
        blocks = [self.inputs(rows[start : start + _BLOCK]) for start in range(0, len(rows), _BLOCK)]
        with threadpool_limits(1):
            logits = [block @ self.coefficients + self.intercept for block in blocks]
        return np.clip(np.concatenate(logits), -30.0, 30.0) if logits else np.empty(0)

    def inputs(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the inputs of the regression for feature rows, float64 [n, k + m]."""
        standard = np.clip((rows.astype(np.float64) - self.mean) / self.scale, -CLIP, CLIP)
        return np.hstack([np.nan_to_num(standard, copy=False, nan=0.0), np.isnan(rows[:, self.indicated])])


def fit_logistic_regression(
    features: NDArray[np.float32], is_fraud: NDArray[np.bool_], weight: NDArray[np.floating] | None = None
) -> LinearModel:
    """Fit a logistic regression with scikit-learn's default penalty; arguments as those of `baseline_scores`.

    It sees every fraud and at most `GENUINE_ROWS` genuine rows, evenly spaced, with weights that stand for all of them.
    One thread fits it, so that the same rows give the same numbers. Raises `Misconfigured` for rows of one class.
    """
    frauds, genuine = np.flatnonzero(is_fraud), np.flatnonzero(~is_fraud)
    if not len(frauds) or not len(genuine):
        raise Misconfigured(f"cannot fit a baseline on {len(frauds)} frauds and {len(genuine)} genuine rows")
    spread = genuine[np.linspace(0, len(genuine) - 1, min(len(genuine), GENUINE_ROWS)).astype(np.int64)]
    chosen = np.sort(np.concatenate([frauds, spread]))
    weights = np.ones(len(is_fraud)) if weight is None else weight.astype(np.float64)
    weights = np.where(is_fraud, weights, weights * (len(genuine) / len(spread)))[chosen]
    rows = features[chosen]
    is_missing = np.isnan(rows)
    present = np.maximum((~is_missing).sum(axis=0), 1)
    filled = np.where(is_missing, 0.0, rows.astype(np.float64))
    mean = filled.sum(axis=0) / present
    deviation = np.sqrt(np.where(is_missing, 0.0, (filled - mean) ** 2).sum(axis=0) / present)
    unfitted = LinearModel(
        mean=mean,
        scale=np.where(deviation > 0.0, deviation, 1.0),
        indicated=np.flatnonzero(is_missing.any(axis=0) & ~is_missing.all(axis=0)),
        coefficients=np.empty(0),
        intercept=0.0,
    )
    regression = LogisticRegression(solver="newton-cholesky", tol=1e-6, max_iter=MAX_ITERATIONS)
    with threadpool_limits(1):
        regression.fit(unfitted.inputs(rows), is_fraud[chosen], sample_weight=weights)
    return LinearModel(
        mean=unfitted.mean,
        scale=unfitted.scale,
        indicated=unfitted.indicated,
        coefficients=regression.coef_[0],
        intercept=float(regression.intercept_[0]),
    )
