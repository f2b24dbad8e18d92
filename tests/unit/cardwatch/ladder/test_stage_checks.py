"""The verdict on a stage, from recorded decisions that are made by hand."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np

from cardwatch.ladder.policy import LadderPolicy
from cardwatch.ladder.stage_checks import canary_verdict, shadow_verdict
from cardwatch.ladder.stage_rows import StageRows
from cardwatch.ladder.stage_verdict import StageVerdict

FIRST = date(2026, 3, 1)
POLICY = LadderPolicy(minimum_decisions=100, minimum_coverage=0.9)


def day(
    number: int = 0,
    *,
    count: int = 200,
    scored: float = 1.0,
    alerts: tuple[int, int] = (4, 4),
    canary_cards: int = 0,
    by_canary: int | None = None,
    degraded: int = 0,
    frauds: int = 0,
    costs: tuple[float, float] = (1.0, 1.0),
) -> StageRows:
    """`count` decisions on cards of their own; `alerts` of champion and candidate, among the first rows."""
    rows = np.arange(count)
    candidate = np.where(rows < scored * count, 0.1, np.nan)
    known = np.full(count, np.nan if not frauds else 0.0)
    fraud_rows = rows < frauds
    return StageRows(
        day=FIRST + timedelta(days=number),
        champion_probabilities=np.full(count, 0.1),
        candidate_probabilities=candidate,
        champion_alerts=rows < alerts[0],
        candidate_alerts=rows < alerts[1],
        champion_costs_minor=np.where(fraud_rows, costs[0], known),
        candidate_costs_minor=np.where(fraud_rows, costs[1], known),
        cards=rows.astype(np.int64),
        is_by_canary=rows < (canary_cards if by_canary is None else by_canary),
        is_canary_card=rows < canary_cards,
        is_degraded=rows >= count - degraded,
        is_fraud=fraud_rows,
    )


def failed(verdict: StageVerdict) -> list[str]:
    return [check.name for check in verdict.checks if not check.passed]


def test_a_shadow_that_scored_a_whole_day_like_the_champion_passes() -> None:
    verdict = shadow_verdict([day()], POLICY)
    assert failed(verdict) == []
    assert (verdict.rows, verdict.first_day, verdict.last_day) == (200, FIRST, FIRST)
    assert verdict.passed


def test_a_day_that_it_has_scored_in_part_is_no_whole_day() -> None:
    assert failed(shadow_verdict([day(scored=0.8)], POLICY)) == ["whole days"]
    assert failed(shadow_verdict([day(scored=0.8), day(1)], POLICY)) == []


def test_degraded_decisions_have_no_score_and_are_no_fault_of_the_shadow() -> None:
    rows = day(count=200, scored=0.9, degraded=20)
    assert failed(shadow_verdict([rows], POLICY)) == []


def test_too_few_decisions_are_no_evidence() -> None:
    assert failed(shadow_verdict([day(count=99)], POLICY)) == ["decisions"]


def test_alerts_are_compared_on_the_same_transactions_with_ten_added_to_both() -> None:
    """(18 + 10) / (4 + 10) is 2.0, which is allowed; 19 alerts are 2.07 times as many."""
    assert failed(shadow_verdict([day(alerts=(4, 18))], POLICY)) == []
    assert failed(shadow_verdict([day(alerts=(4, 19))], POLICY)) == ["alerts"]


def test_with_matured_frauds_a_proven_loss_is_refused_and_an_unproven_one_is_not() -> None:
    policy = LadderPolicy(minimum_decisions=100, shadow_frauds=10)
    assert failed(shadow_verdict([day(frauds=9)], policy)) == ["frauds"]
    assert failed(shadow_verdict([day(frauds=10, costs=(1.0, 1.05))], policy)) == []
    assert failed(shadow_verdict([day(frauds=10, costs=(1.0, 1.5))], policy)) == ["cost"]


def test_no_decisions_are_no_verdict() -> None:
    verdict = shadow_verdict([], POLICY)
    assert failed(verdict) == ["whole days", "decisions"]
    assert (verdict.first_day, verdict.last_day) == (None, None)


def test_a_canary_that_decided_its_cards_and_no_others_passes() -> None:
    assert failed(canary_verdict([day(count=1_000, canary_cards=100)], POLICY)) == []


def test_a_decision_against_the_hash_rule_is_found() -> None:
    verdict = canary_verdict([day(count=1_000, canary_cards=101, by_canary=100)], POLICY)
    assert failed(verdict) == ["hash rule"]
    assert "1 of 1,000 decisions were made by another model" in verdict.failures[0]


def test_a_canary_with_degraded_decisions_fails() -> None:
    assert failed(canary_verdict([day(count=1_000, canary_cards=100, degraded=51)], POLICY)) == ["degraded"]


def test_a_canary_waits_for_its_days_and_decisions() -> None:
    policy = LadderPolicy(minimum_decisions=100, canary_days=2)
    assert failed(canary_verdict([day(count=1_000, canary_cards=90)], policy)) == ["days", "decisions"]
    assert failed(canary_verdict([day(count=1_000, canary_cards=90), day(1, canary_cards=10)], policy)) == []
