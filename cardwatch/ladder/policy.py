"""The policy of the ladder: what a version must show on each stage, and when a canary steps down by itself."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

_Share = Annotated[float, Meta(gt=0, lt=1)]
_Ratio = Annotated[float, Meta(ge=1)]
_Count = Annotated[int, Meta(ge=0)]


class GuardRails(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits for the newest `window_seconds` of decisions. Beyond one of them, a canary goes back to no traffic.

    The first two are of all decisions, the others compare the cards of the canary with those of the champion. Nothing
    is concluded from less than `minimum_decisions` of the canary, and no difference that chance explains
    (`error_rate`, one-sided, for each look) is a breach.
    """

    window_seconds: Annotated[float, Meta(gt=0)] = 60.0
    minimum_decisions: Annotated[int, Meta(ge=20)] = 200
    error_rate: Annotated[float, Meta(gt=0, le=0.05)] = 1e-4
    maximum_degraded_share: _Share = 0.05
    """Share of the decisions that rules made because there was no score."""
    maximum_latency_ms: Annotated[float, Meta(gt=0)] = 2_000.0
    """99th percentile of the time from a transaction's arrival in the log to its decision, if it is also more than
    `maximum_latency_ratio` times that before the canary: a backlog is no fault of a model."""
    maximum_latency_ratio: _Ratio = 3.0
    maximum_alert_ratio: _Ratio = 2.0
    """Share of alerts among the canary's cards, over that among the champion's."""
    maximum_score_distance: _Share = 0.25
    """Largest difference between the distributions of both models' probabilities for the same transactions
    (Kolmogorov and Smirnov). Each is scored by both models, so the cards are the same."""


class LadderPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a version that has passed its offline verdict becomes champion.

    A stage of 0 days is left out: with 0 days of both, a passed verdict promotes. Days are whole event days with
    recorded scores of the stage.
    """

    shadow_days: _Count = 1
    shadow_frauds: _Count = 0
    """Matured frauds in the shadow days. Their paired cost must not be worse than the champion's by the margin."""
    canary_days: _Count = 1
    canary_share: _Share = 0.1
    """Share of the cards that a canary decides."""
    approval: bool = False
    """Whether a person must approve a version before it is a canary."""
    automatic: bool = True
    """Whether a version goes up by itself when its stage's verdict passes. Else a person does each step."""
    minimum_decisions: Annotated[int, Meta(ge=1)] = 500
    """Recorded decisions of a stage."""
    minimum_coverage: _Share = 0.98
    """Share of the decisions of a whole day in shadow that must have the version's score."""
    maximum_alert_ratio: _Ratio = 2.0
    """Alerts of the version over those of the champion, on the same recorded rows and under the same policy."""
    cost_margin: Annotated[float, Meta(ge=0, le=1)] = 0.1
    """How much more the version may cost on matured rows, as a share of the champion's cost, at its lower bound."""
    guard: GuardRails = field(default_factory=GuardRails)
