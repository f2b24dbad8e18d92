"""Judged rows for tests of the promotion gate, and what the gate is told about their origin."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from cardwatch.decision.cost_policy import ACTIONS, CHANNELS
from cardwatch.events import Action, Channel
from cardwatch.promotion.evidence import (
    Evidence,
    FeatureParity,
    JudgedCoverage,
    JudgedInputs,
    JudgedModel,
    ScoringTime,
)

FIRST_DAY = date(2025, 3, 3)
APPROVE, CHALLENGE, DECLINE = (ACTIONS.index(each) for each in (Action.APPROVE, Action.CHALLENGE, Action.DECLINE))


def model(actions: NDArray[np.int8], probabilities: NDArray[np.float64]) -> JudgedModel:
    return JudgedModel(
        margins=probabilities.astype(np.float32), probabilities=probabilities, actions=actions.astype(np.int8)
    )


def evidence(
    *, seed: int = 0, cards: int = 600, frauds: int = 60, champion_misses: float = 0.5, challenger_misses: float = 0.1
) -> Evidence:
    """A week in which every card pays twice, and some lose their second payment to fraud.

    Each model declines all fraud but the share that it misses.
    """
    random = np.random.default_rng(seed)
    is_fraud = np.zeros(2 * cards, np.bool_)
    is_fraud[1 : 2 * frauds : 2] = True

    def deciding(misses: float) -> JudgedModel:
        found = is_fraud & (random.random(2 * cards) >= misses)
        return model(np.where(found, DECLINE, APPROVE), np.where(found, 0.9, 0.005))

    first = (FIRST_DAY - date(1970, 1, 1)).days
    return Evidence(
        days=first + np.arange(2 * cards) % 7,
        cards=np.repeat(np.arange(cards), 2),
        amount_minor=np.full(2 * cards, 5_000),
        channels=np.full(2 * cards, CHANNELS.index(Channel.ECOMMERCE)),
        is_fraud=is_fraud,
        weight=np.ones(2 * cards),
        challenger=deciding(challenger_misses),
        champion=deciding(champion_misses),
        baselines={"rules": np.zeros(2 * cards, np.int8)},
        slices={"channel": np.array(["atm", "chip"])[np.arange(2 * cards) // 2 % 2]},
    )


def inputs(rows: Evidence, **changes: object) -> JudgedInputs:
    facts: dict[str, object] = {
        "as_of": FIRST_DAY + timedelta(days=11),
        "trained_from": FIRST_DAY - timedelta(days=60),
        "evaluated_from": FIRST_DAY,
        "judged_from": FIRST_DAY,
        "judged_until": FIRST_DAY + timedelta(days=7),
        "excluded_days": [],
        "trained": "the champion (version 1) on days before 2025-02-01",
        "fingerprint": "fingerprint",
        "challenger_digest": "c" * 64,
        "champion_version": "1",
        "champion_digest": "d" * 64,
        "schema_hash": "schema",
        "log_ends": {0: 100, 1: 120},
        "label_ends": {0: 7},
        "label_coverage": JudgedCoverage(
            transactions=len(rows.days), judged=len(rows.days), frauds=int(rows.is_fraud.sum())
        ),
        "feature_parity": FeatureParity(rows=100, differing=0, features=[]),
        "scoring_time": ScoringTime(challenger_us=4.0, champion_us=4.0),
        "code_version": "0",
        "numpy_version": "0",
    }
    return JudgedInputs(**{**facts, **changes})  # type: ignore[arg-type]
