"""The confidence bound of a saving, against bounds that can be derived by hand."""

import numpy as np
import pytest

from cardwatch.promotion.card_sums import CardSums, sums_by_card
from cardwatch.promotion.paired_bootstrap import bound_saving


def sums(saved: list[float], base: list[float], cards: int = 100) -> CardSums:
    return CardSums(np.array(saved), np.array(base), cards)


@pytest.mark.parametrize(("cards", "is_shown"), [(6, False), (7, True)])
def test_cards_that_all_save_show_a_saving_if_all_of_them_would_rarely_change_their_sign(
    cards: int, is_shown: bool
) -> None:
    # Without a base of its own, a card whose saving is lost costs nothing: half of 6 cards is empty with 2^-6 = 1.6 %,
    # half of 7 cards with 2^-7 = 0.8 %. The last card has base only, so that an empty half saves nothing of it.
    bound = bound_saving(sums([1.0] * cards + [0.0], [1.0] * cards + [5.0]), error_rate=0.01)

    assert bound.saving == pytest.approx(cards / (cards + 5))
    assert bound.lower_bound is not None
    assert (bound.lower_bound > 0) == is_shown


def test_the_bound_of_many_equal_cards_is_that_of_the_normal_distribution() -> None:
    # 400 cards of base 1, of which 200 save it: the saving is 0.5 ± sqrt(0.25 / 400) = 0.025, and the 1 % quantile
    # of the normal distribution is 2.326 errors below it.
    bound = bound_saving(sums([1.0] * 200 + [0.0] * 200, [1.0] * 400, 400), error_rate=0.01)

    assert bound.standard_error == pytest.approx(0.025)
    assert bound.lower_bound == pytest.approx(0.5 - 2.326 * 0.025, abs=0.004)
    assert bound.detectable == pytest.approx((2.326 + 0.842) * 0.025, abs=0.004)


def test_the_same_saving_of_every_card_is_certain() -> None:
    bound = bound_saving(sums([1.0, 2.0, 3.0] * 20, [2.0, 4.0, 6.0] * 20), error_rate=0.01)

    assert (bound.saving, bound.lower_bound) == (0.5, 0.5)


def test_the_tails_of_both_directions_are_alike() -> None:
    random = np.random.default_rng(1)
    saved, base = random.standard_normal(300), np.ones(300)
    ours = bound_saving(CardSums(saved, base, 300), error_rate=0.05)
    theirs = bound_saving(CardSums(-saved, base, 300), error_rate=0.05)

    assert ours.saving == -theirs.saving
    assert ours.lower_bound is not None
    assert theirs.lower_bound is not None
    assert ours.saving - ours.lower_bound == pytest.approx(theirs.saving - theirs.lower_bound, rel=0.1)


def test_one_card_with_all_of_the_saving_shows_nothing_and_is_named() -> None:
    bound = bound_saving(sums([1_000.0, *[0.0] * 50], [1_000.0, *[1.0] * 50]), error_rate=0.01)

    assert bound.saving > 0.9
    assert bound.lower_bound == 0.0
    assert bound.largest_card == pytest.approx(bound.saving)


def test_models_that_decide_alike_are_known_to_save_nothing() -> None:
    assert bound_saving(sums([0.0, 0.0], [3.0, 4.0]), error_rate=0.01).lower_bound == 0.0
    assert bound_saving(sums([], []), error_rate=0.01).lower_bound == 0.0


def test_a_cost_where_the_champion_has_none_says_nothing() -> None:
    bound = bound_saving(sums([-5.0], [0.0]), error_rate=0.01)

    assert (bound.lower_bound, bound.detectable) == (None, None)


def test_sums_are_of_cards_and_not_of_rows() -> None:
    found = sums_by_card(np.array([9, 4, 9, 5]), np.array([1.0, -2.0, 3.0, 0.0]), np.array([1.0, 2.0, 3.0, 0.0]))

    assert (found.saved.tolist(), found.base.tolist(), found.cards) == ([-2.0, 4.0], [2.0, 4.0], 3)
