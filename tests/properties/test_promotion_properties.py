"""Properties of the promotion gate and of the temporal split."""

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from numpy.typing import NDArray

from cardwatch.decision.cost_policy import ACTIONS, CHANNELS, DecisionPolicy
from cardwatch.events import Channel
from cardwatch.promotion.card_sums import CardSums
from cardwatch.promotion.evidence import Evidence
from cardwatch.promotion.gate import judge
from cardwatch.promotion.paired_bootstrap import bound_saving
from cardwatch.promotion.policy import PromotionPolicy
from cardwatch.promotion.split import NotEnoughHistory, temporal_split
from cardwatch.promotion.verdict import VerdictReport
from tests.judged_evidence import FIRST_DAY, inputs, model

COSTS = DecisionPolicy()
LENIENT = PromotionPolicy(
    minimum_rows=1,
    minimum_frauds=0,
    minimum_days=1,
    minimum_average_precision=0.0,
    maximum_average_precision=1.0,
    calibration_factor=1e9,
    minimum_gain=0.0,
    minimum_differing_cards=0,
    minimum_gain_over_baselines=-1e9,
    slice_minimum_frauds=3,
    minimum_alert_precision=0.0,
)
FIRST = (FIRST_DAY - date(1970, 1, 1)).days


@st.composite
def judged_rows(draw: st.DrawFn) -> Evidence:
    """Up to 60 rows of a few cards, with any decisions, weights and slices."""
    count = draw(st.integers(1, 60))
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    cards = draw(st.integers(1, 30))

    def decided() -> object:
        actions = random.integers(0, len(ACTIONS), count).astype(np.int8)
        return model(actions, random.integers(0, 5, count) / 5)

    return Evidence(
        days=FIRST + random.integers(0, 7, count),
        cards=random.integers(0, cards, count),
        amount_minor=random.integers(1, 100_000, count),
        channels=np.full(count, CHANNELS.index(Channel.ECOMMERCE)),  # where every action is feasible
        is_fraud=random.random(count) < 0.4,
        weight=random.choice([1.0, 2.5, 20.0], count),
        challenger=decided(),  # type: ignore[arg-type]
        champion=decided(),  # type: ignore[arg-type]
        slices={"channel": random.choice(["atm", "chip", ""], count)},
    )


def verdict_on(rows: Evidence, policy: PromotionPolicy = LENIENT, costs: DecisionPolicy = COSTS) -> VerdictReport:
    return judge(rows, inputs(rows), decision=costs, promotion=policy, resamples=199)


@given(judged_rows())
def test_a_verdict_is_the_conjunction_of_its_requirements(rows: Evidence) -> None:
    verdict = verdict_on(rows).verdict

    assert verdict.promoted == (not any(reason.startswith("FAILED: ") for reason in verdict.reasons))


@given(judged_rows(), st.randoms(use_true_random=False))
def test_the_order_of_rows_and_the_names_of_cards_change_no_bit(rows: Evidence, random: object) -> None:
    order = np.arange(len(rows.days))
    random.shuffle(order)  # type: ignore[attr-defined]
    names = np.arange(int(rows.cards.max()) + 1)
    random.shuffle(names)  # type: ignore[attr-defined]
    shuffled = rows.at(order)

    assert verdict_on(replace(shuffled, cards=names[shuffled.cards] * 7 + 3)) == verdict_on(rows)


@given(judged_rows())
def test_equal_models_are_never_promoted(rows: Evidence) -> None:
    assert not verdict_on(replace(rows, champion=rows.challenger)).verdict.promoted


@given(judged_rows())
def test_two_models_never_both_replace_each_other(rows: Evidence) -> None:
    exchanged = replace(rows, challenger=rows.champion, champion=rows.challenger)

    assert not (verdict_on(rows).verdict.promoted and verdict_on(exchanged).verdict.promoted)


@given(judged_rows(), st.sampled_from([2, 4, 1_024]))
def test_amounts_in_another_unit_give_the_same_verdict(rows: Evidence, factor: int) -> None:
    in_cents = replace(rows, amount_minor=rows.amount_minor * factor)
    costs = replace(
        COSTS,
        challenge_cost_minor=COSTS.challenge_cost_minor * factor,
        decline_cost_minor=COSTS.decline_cost_minor * factor,
    )
    ours, theirs = verdict_on(rows), verdict_on(in_cents, costs=costs)

    assert theirs.verdict == ours.verdict
    assert theirs.saving == ours.saving
    assert theirs.challenger.cost_minor == ours.challenger.cost_minor * factor


@settings(max_examples=30)
@given(st.integers(0, 1_000), st.floats(0.0, 0.5))
def test_a_stricter_error_rate_never_gives_a_higher_bound(seed: int, saving: float) -> None:
    random = np.random.default_rng(seed)
    base: NDArray[np.float64] = random.lognormal(0.0, 1.5, 80)
    sums = CardSums(base * random.normal(saving, 1.0, 80), base, 200)
    bounds = [bound_saving(sums, error_rate=rate, resamples=999).lower_bound for rate in (0.01, 0.05, 0.5)]

    assert bounds == sorted(bounds, key=lambda bound: -np.inf if bound is None else bound)


@pytest.mark.parametrize("tail", [0.5, 1.5, 2.5])
def test_symmetric_differences_of_any_tail_are_promoted_in_at_most_the_error_rate(tail: float) -> None:
    # 1,000 trials at 5 %: 50 ± 7 are expected. Log-normal costs with a sigma of 2.5 have no useful variance.
    random = np.random.default_rng(11)
    promoted = 0
    for _ in range(1_000):
        base = random.lognormal(0.0, tail, 40)
        bound = bound_saving(
            CardSums(base * random.choice([-1.0, 1.0], 40), base, 40), error_rate=0.05, resamples=199
        ).lower_bound
        promoted += bound is not None and bound > 0
    assert promoted <= 70


@given(
    as_of=st.dates(date(2000, 1, 1), date(2100, 1, 1)),
    history=st.integers(1, 400),
    maturity_days=st.integers(0, 60),
    evaluation_days=st.integers(1, 30),
    train_days=st.integers(1, 400),
)
def test_windows_adjoin_do_not_overlap_and_are_mature(
    as_of: date, history: int, maturity_days: int, evaluation_days: int, train_days: int
) -> None:
    first = as_of - timedelta(days=history - 1)
    try:
        chosen = temporal_split(
            as_of, first=first, maturity_days=maturity_days, evaluation_days=evaluation_days, train_days=train_days
        )
    except NotEnoughHistory:
        assert history < 1 + evaluation_days + maturity_days
        return

    assert first <= chosen.train_from < chosen.evaluate_from < chosen.evaluate_until
    assert (chosen.evaluate_from - chosen.train_from).days == min(train_days, history - evaluation_days - maturity_days)
    assert (chosen.evaluate_until - chosen.evaluate_from).days == evaluation_days
    last_judged = chosen.evaluate_until - timedelta(days=1)
    assert (as_of - last_judged).days == maturity_days
