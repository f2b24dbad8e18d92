"""Properties of the retraining gate and of the temporal split."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cardwatch.promotion.gate import Performance, PromotionPolicy, apply_gate
from cardwatch.promotion.split import NotEnoughHistory, temporal_split

ratios = st.floats(0, 1)
POLICY = PromotionPolicy()


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Performance, Performance]:
    rows = draw(st.integers(0, 100_000))
    frauds = draw(st.integers(0, 500))

    def performance() -> Performance:
        return Performance(
            rows=rows,
            frauds=frauds,
            average_precision=draw(ratios),
            recall=draw(ratios),
            expected_cost=draw(st.floats(0, 1e9)),
            expected_frauds=draw(st.floats(0, 1e4)),
        )

    return performance(), performance()


@given(pairs())
def test_a_verdict_is_the_conjunction_of_its_reasons(pair: tuple[Performance, Performance]) -> None:
    verdict = apply_gate(*pair, POLICY)

    assert len(verdict.reasons) == 7
    assert verdict.promoted == all(reason.startswith("passed: ") for reason in verdict.reasons)


@given(pairs())
def test_two_models_never_both_replace_each_other(pair: tuple[Performance, Performance]) -> None:
    first, second = pair

    assert not (apply_gate(first, second, POLICY).promoted and apply_gate(second, first, POLICY).promoted)


@given(pairs(), ratios, ratios, st.floats(0, 1))
def test_improving_a_challenger_never_prevents_its_promotion(
    pair: tuple[Performance, Performance], ranking: float, recall: float, cheaper: float
) -> None:
    champion, challenger = pair
    improved = replace(
        challenger,
        average_precision=max(challenger.average_precision, ranking),
        recall=max(challenger.recall, recall),
        expected_cost=challenger.expected_cost * cheaper,
    )

    assert apply_gate(champion, improved, POLICY).promoted >= apply_gate(champion, challenger, POLICY).promoted


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
