"""Guard rails: when a canary stops deciding by itself, from the newest decisions as they were recorded.

A limit is broken where the measured value is beyond it and chance does not explain it: one-sided exact binomial tests
for shares, the distribution of the statistic of Kolmogorov and Smirnov for scores. What both arms suffer alike (a slow
broker) is told apart from the canary by what was measured before it decided anything.
"""

from __future__ import annotations

from collections import deque
from math import exp, lgamma, log, sqrt
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.ladder.policy import GuardRails
from cardwatch.ladder.stage_verdict import StageCheck, StageVerdict

MAX_ROWS: Final = 50_000
"""Decisions that are looked at. At high rates these are less than the window."""


class LiveRows(Struct, frozen=True, kw_only=True):
    """n recorded decisions, in the order in which they were made. Arrays have n values.

    `decided_at_ms`: float64. `latency_ms`: float64. `canary_versions`: the version that was canary, "" for none.
    `is_by_canary`, `is_degraded`, `is_alert`: bool. `probabilities` and `other_probabilities`: float64, of the model
    that decided and of the other one, NaN without one.
    """

    decided_at_ms: NDArray[np.float64]
    latency_ms: NDArray[np.float64]
    canary_versions: NDArray[np.str_]
    is_by_canary: NDArray[np.bool_]
    is_degraded: NDArray[np.bool_]
    is_alert: NDArray[np.bool_]
    probabilities: NDArray[np.float64]
    other_probabilities: NDArray[np.float64]

    def at(self, places: NDArray[np.int64]) -> LiveRows:
        """Return some rows."""
        return LiveRows(**{name: getattr(self, name)[places] for name in self.__struct_fields__})


class CanaryWatch:
    """Watches the canary `version` with the newest decisions. `add` takes every decision, `verdict` looks at them.

    `since_ms` is the time of the move that made it canary: what it decided before as an earlier canary is passed over.
    """

    def __init__(self, policy: GuardRails, version: str, since_ms: float) -> None:
        self._policy, self._version, self._since_ms = policy, version, since_ms
        self._before: deque[LiveRows] = deque()
        self._during: deque[LiveRows] = deque()

    def add(self, rows: LiveRows) -> None:
        """Add decisions. Those before the first one that was made beside the canary are what it is compared with."""
        is_earlier = (rows.canary_versions == self._version) & (rows.decided_at_ms < self._since_ms)
        if is_earlier.any():
            rows = rows.at(np.flatnonzero(~is_earlier))
        is_beside = rows.canary_versions == self._version
        first = int(np.argmax(is_beside)) if is_beside.any() else len(is_beside)
        if self._during:
            first = 0
        places = np.arange(len(is_beside))
        for window, part in ((self._before, places[:first]), (self._during, places[first:])):
            if len(part):
                window.append(rows.at(part))
                _forget(window, self._policy.window_seconds * 1e3)

    def verdict(self) -> StageVerdict:
        """Return the checks on the window; a check that cannot be made yet has passed, without a value."""
        during = _joined(self._during)
        if during is None:
            return StageVerdict(checks=[], rows=0)
        beside = during.canary_versions == self._version
        decided = int(np.count_nonzero(during.is_by_canary & beside))
        if decided < self._policy.minimum_decisions:
            return StageVerdict(checks=[], rows=len(during.is_alert))
        checks = [self._degraded(during), self._latency(during), self._alerts(during, beside), self._scores(during)]
        return StageVerdict(checks=checks, rows=len(during.is_alert))

    def _degraded(self, rows: LiveRows) -> StageCheck:
        degraded, most = int(np.count_nonzero(rows.is_degraded)), self._policy.maximum_degraded_share
        share = degraded / len(rows.is_degraded)
        chance = binomial_tail(degraded, len(rows.is_degraded), most)
        return StageCheck(
            name="degraded",
            passed=share <= most or chance > self._policy.error_rate,
            value=share,
            threshold=most,
            sentence=f"rules decided {share:.2%} of the newest {len(rows.is_degraded):,} transactions because there "
            f"was no score; more than {most:.2%} is too much",
        )

    def _latency(self, rows: LiveRows) -> StageCheck:
        before, most = _joined(self._before), self._policy.maximum_latency_ms
        latency = float(np.quantile(rows.latency_ms, 0.99))
        if before is None or len(before.latency_ms) < self._policy.minimum_decisions:
            return StageCheck(
                name="latency",
                passed=True,
                threshold=most,
                sentence="there are too few decisions from before the canary to compare the latency with",
            )
        usual = float(np.quantile(before.latency_ms, 0.99))
        limit = max(most, self._policy.maximum_latency_ratio * usual)
        return StageCheck(
            name="latency",
            passed=latency <= limit,
            value=latency,
            threshold=limit,
            sentence=f"99 % of the decisions took at most {latency:,.0f} ms, {usual:,.0f} ms before the canary; more "
            f"than {limit:,.0f} ms is too much",
        )

    def _alerts(self, rows: LiveRows, beside: NDArray[np.bool_]) -> StageCheck:
        """Compare the shares of alerts of both arms, under the null hypothesis that the ratio is the allowed one."""
        canary = beside & rows.is_by_canary
        champion = beside & ~rows.is_by_canary
        alerts = [int(np.count_nonzero(rows.is_alert & arm)) for arm in (canary, champion)]
        sizes = [int(np.count_nonzero(arm)) for arm in (canary, champion)]
        most = self._policy.maximum_alert_ratio
        expected = most * sizes[0] / (most * sizes[0] + sizes[1]) if sizes[1] else 1.0
        chance = binomial_tail(alerts[0], sum(alerts), expected)
        shares = [count / size if size else 0.0 for count, size in zip(alerts, sizes, strict=True)]
        return StageCheck(
            name="alerts",
            passed=chance > self._policy.error_rate,
            value=shares[0] / shares[1] if shares[1] else None,
            threshold=most,
            sentence=f"the canary alerts on {shares[0]:.2%} of {sizes[0]:,} transactions, the champion on "
            f"{shares[1]:.2%} of {sizes[1]:,}; more than {most:g} times as many are too many",
        )

    def _scores(self, rows: LiveRows) -> StageCheck:
        """Compare the probabilities of both models for the same transactions."""
        both = ~(np.isnan(rows.probabilities) | np.isnan(rows.other_probabilities))
        most, count = self._policy.maximum_score_distance, int(np.count_nonzero(both))
        distance = ks_distance(rows.probabilities[both], rows.other_probabilities[both]) if count else 0.0
        by_chance = sqrt(-log(self._policy.error_rate / 2.0) / 2.0) * sqrt(2.0 / count) if count else 1.0
        return StageCheck(
            name="scores",
            passed=distance <= max(most, by_chance),
            value=distance,
            threshold=most,
            sentence=f"the distributions of both models' probabilities for the same {count:,} transactions differ by "
            f"{distance:.3f}; more than {most:g} is too much",
        )


def ks_distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the statistic of Kolmogorov and Smirnov for two samples: the largest distance of their distributions.

    >>> ks_distance(np.array([0.1, 0.2]), np.array([0.2, 0.3]))
    0.5
    """
    values = np.sort(np.concatenate((first, second)))
    below = [np.searchsorted(np.sort(sample), values, side="right") / len(sample) for sample in (first, second)]
    return float(np.abs(below[0] - below[1]).max())


def binomial_tail(successes: int, trials: int, probability: float) -> float:
    """Return the probability of at least `successes` in `trials` of this `probability`, in 0..1.

    >>> binomial_tail(2, 2, 0.5), binomial_tail(0, 5, 0.1)
    (0.25, 1.0)
    """
    if successes <= 0 or probability >= 1.0:
        return 1.0
    if probability <= 0.0:
        return 0.0
    logs = (
        lgamma(trials + 1) - lgamma(k + 1) - lgamma(trials - k + 1) + k * log(probability)
        + (trials - k) * log(1.0 - probability)
        for k in range(successes, trials + 1)
    )  # fmt: skip
    return min(1.0, sum(exp(value) for value in logs))


def _forget(window: deque[LiveRows], window_ms: float) -> None:
    """Drop what is older than the window, and beyond the maximum number of rows."""
    newest = float(window[-1].decided_at_ms[-1])
    rows = sum(len(part.is_alert) for part in window)
    while len(window) > 1 and (rows > MAX_ROWS or float(window[0].decided_at_ms[-1]) < newest - window_ms):
        rows -= len(window.popleft().is_alert)


def _joined(window: deque[LiveRows]) -> LiveRows | None:
    if not window:
        return None
    return LiveRows(
        **{name: np.concatenate([getattr(part, name) for part in window]) for name in LiveRows.__struct_fields__}
    )
