"""A canary stops by itself: one broken canary for each guard rail, and what chance explains is no breach."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardwatch.ladder.guard_rails import CanaryWatch, LiveRows, binomial_tail, ks_distance
from cardwatch.ladder.policy import GuardRails

POLICY = GuardRails(window_seconds=60.0, minimum_decisions=100)
COUNT = 4_000


def live(
    *,
    canary: str = "2",
    share: float = 0.25,
    alerts: tuple[float, float] = (0.02, 0.02),
    latency_ms: float = 10.0,
    degraded: float = 0.0,
    shift: float = 0.0,
    count: int = COUNT,
    start_ms: float = 0.0,
) -> LiveRows:
    """Decisions of 20 s. `alerts`: the shares of alerts of champion and canary; `shift`: how much more it scores."""
    numbers = np.arange(count)
    by_canary = (numbers % 100 < share * 100) & (canary != "")
    is_degraded = numbers % 1_000 < degraded * 1_000
    rank = np.where(by_canary, numbers % 100 / (share * 100), (numbers % 100 - share * 100) / (100 - share * 100))
    group = numbers // 100 % 50 / 50.0  # every arm has each value equally often
    probability = np.random.default_rng(1).random(count) * 0.5
    own = probability + shift * by_canary
    other = probability + shift * ~by_canary
    return LiveRows(
        decided_at_ms=start_ms + numbers * 20_000.0 / count,
        latency_ms=np.full(count, latency_ms),
        canary_versions=np.where(is_degraded, "", canary).astype(np.str_),
        is_by_canary=by_canary & ~is_degraded,
        is_degraded=is_degraded,
        is_alert=group < np.where(by_canary, alerts[1], alerts[0]),
        probabilities=np.where(is_degraded, np.nan, own),
        other_probabilities=np.where(is_degraded | (canary == ""), np.nan, other) + 0.0 * rank,
    )


def watched(*parts: LiveRows) -> CanaryWatch:
    watch = CanaryWatch(POLICY, "2", since_ms=0.0)
    for part in parts:
        watch.add(part)
    return watch


BEFORE = live(canary="", count=1_000, start_ms=-20_000.0)


def failed(*parts: LiveRows) -> list[str]:
    return [check.name for check in watched(*parts).verdict().checks if not check.passed]


def test_a_canary_like_the_champion_passes_every_check() -> None:
    verdict = watched(BEFORE, live()).verdict()
    assert [check.name for check in verdict.checks] == ["degraded", "latency", "alerts", "scores"]
    assert verdict.passed
    assert all(check.value is not None for check in verdict.checks)


@pytest.mark.parametrize(
    ("broken", "rail"),
    [
        (live(degraded=0.2), "degraded"),
        (live(latency_ms=5_000.0), "latency"),
        (live(alerts=(0.02, 0.2)), "alerts"),
        (live(shift=0.4), "scores"),
    ],
)
def test_each_broken_canary_breaks_its_own_guard_rail(broken: LiveRows, rail: str) -> None:
    assert failed(BEFORE, broken) == [rail]


def test_nothing_is_concluded_from_too_few_decisions_of_the_canary() -> None:
    few = live(alerts=(0.02, 1.0), count=300)  # 75 of the canary
    assert watched(BEFORE, few).verdict().checks == []


def test_a_backlog_that_was_there_before_the_canary_is_no_fault_of_it() -> None:
    slow_before = live(canary="", count=1_000, start_ms=-20_000.0, latency_ms=4_000.0)
    assert failed(slow_before, live(latency_ms=5_000.0)) == []


def test_without_decisions_from_before_the_latency_is_not_compared() -> None:
    [latency] = [check for check in watched(live(latency_ms=60_000.0)).verdict().checks if check.name == "latency"]
    assert (latency.passed, latency.value) == (True, None)


def test_old_decisions_leave_the_window() -> None:
    recovered = live(start_ms=100_000.0)
    assert failed(BEFORE, live(alerts=(0.02, 0.2)), recovered) == []


def test_what_it_decided_as_an_earlier_canary_is_passed_over() -> None:
    watch = CanaryWatch(POLICY, "2", since_ms=20_000.0)
    watch.add(live(alerts=(0.02, 0.2)))
    watch.add(live(start_ms=20_000.0))
    assert watch.verdict().passed


def test_an_earlier_canary_is_what_came_before() -> None:
    assert watched(live(canary="1"), live(start_ms=20_000.0)).verdict().passed


def test_a_difference_that_chance_explains_is_no_breach() -> None:
    """4 of 100 alerts where 1.6 were expected at the most: the exact tail is 0.077, above any error rate here."""
    assert failed(BEFORE, live(count=400, alerts=(0.02, 0.04))) == []


@given(trials=st.integers(1, 60), probability=st.floats(0.01, 0.99), data=st.data())
def test_the_binomial_tail_is_the_sum_of_its_probabilities(
    trials: int, probability: float, data: st.DataObject
) -> None:
    successes = data.draw(st.integers(0, trials))
    exact, coefficient = 0.0, 1
    for k in range(trials + 1):
        if k:
            coefficient = coefficient * (trials - k + 1) // k
        if k >= successes:
            exact += coefficient * probability**k * (1 - probability) ** (trials - k)
    assert binomial_tail(successes, trials, probability) == pytest.approx(exact, rel=1e-9, abs=1e-12)


def test_the_distance_of_distributions_is_that_of_the_definition() -> None:
    generator = np.random.default_rng(3)
    first, second = generator.random(50), generator.random(70) ** 2
    steps = np.concatenate((first, second))
    expected = max(abs((first <= step).mean() - (second <= step).mean()) for step in steps)
    assert ks_distance(first, second) == pytest.approx(expected)
