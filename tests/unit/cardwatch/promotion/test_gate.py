"""The retraining gate: verdicts and their reasons."""

import pytest
from msgspec.structs import replace

from cardwatch.promotion.gate import Performance, PromotionPolicy, apply_gate

CHAMPION = Performance(
    rows=10_000, frauds=30, average_precision=0.50, recall=0.60, expected_cost=0.40, expected_frauds=31.0
)
BETTER = Performance(
    rows=10_000, frauds=30, average_precision=0.70, recall=0.75, expected_cost=0.30, expected_frauds=28.0
)
POLICY = PromotionPolicy()


def test_a_challenger_that_is_better_in_every_way_is_promoted() -> None:
    verdict = apply_gate(CHAMPION, BETTER, POLICY)

    assert verdict.promoted
    assert [reason.partition(":")[0] for reason in verdict.reasons] == ["passed"] * 7


def test_a_challenger_as_good_as_the_champion_is_not_promoted() -> None:
    assert not apply_gate(CHAMPION, CHAMPION, POLICY).promoted


@pytest.mark.parametrize(
    ("flaw", "reason"),
    [
        (
            {"average_precision": 0.509},
            "average precision 0.509 against the champion's 0.500, at least 0.510 is needed",
        ),
        (
            {"recall": 0.53},
            "recall at 0.1 % false positives 0.530 against the champion's 0.600, at least 0.540",
        ),
        (
            {"expected_cost": 0.421},
            "cost 0.421 of approving everything against the champion's 0.400, at most 0.420",
        ),
        (
            {"expected_frauds": 91.0},
            "expects 91.0 frauds where 30 happened, 3.03 times as many, allowed 0.33 to 3.00",
        ),
        ({"expected_frauds": 9.0}, "expects 9.0 frauds where 30 happened, 0.30 times as many"),
        ({"average_precision": float("nan")}, "average precision nan"),
    ],
)
def test_one_flaw_is_enough_to_fail_and_is_named(flaw: dict[str, float], reason: str) -> None:
    verdict = apply_gate(CHAMPION, replace(BETTER, **flaw), POLICY)

    assert not verdict.promoted
    assert any(each.startswith(f"FAILED: {reason}") for each in verdict.reasons)


def test_too_little_evidence_promotes_no_challenger() -> None:
    few = {"rows": 999, "frauds": 9}
    verdict = apply_gate(replace(CHAMPION, **few), replace(BETTER, **few, expected_frauds=9.0), POLICY)

    assert [reason for reason in verdict.reasons if reason.startswith("FAILED")] == [
        "FAILED: judged on 999 rows, at least 1000 are needed",
        "FAILED: judged on 9 frauds, at least 10 are needed",
    ]


def test_the_first_champion_is_judged_by_the_absolute_floor() -> None:
    assert apply_gate(None, BETTER, POLICY).promoted
    assert not apply_gate(None, replace(BETTER, average_precision=0.09), POLICY).promoted


def test_a_window_without_frauds_fails_and_does_not_raise() -> None:
    assert not apply_gate(None, replace(BETTER, frauds=0), POLICY).promoted


def test_performances_on_different_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="same rows"):
        apply_gate(CHAMPION, replace(BETTER, rows=9_999), POLICY)
