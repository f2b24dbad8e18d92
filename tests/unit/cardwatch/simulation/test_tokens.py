"""Opaque identifiers: distinct, and never what a record refuses."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cardwatch.card_numbers import is_number_of_card
from cardwatch.simulation.tokens import opaque

numbers = st.one_of(st.integers(0, 2**62), st.integers(2**32 - 9, 2**32 + 9), st.integers(0, 40).map(lambda k: k << 31))


@given(drawn=st.lists(numbers, unique=True, max_size=30))
def test_different_numbers_have_different_tokens_that_are_no_card_numbers(drawn: list[int]) -> None:
    tokens = opaque("m", np.array(drawn, dtype=np.int64))
    assert len(set(tokens)) == len(drawn)
    assert not any(map(is_number_of_card, tokens))


def test_tokens_of_small_numbers_have_eight_digits_and_those_of_large_ones_sixteen() -> None:
    # The finaliser of MurmurHash3 of 0 and 1, as published with its reference implementation.
    assert opaque("m", np.array([0, 1])) == ["m-00000000", "m-514e28b7"]
    [large] = opaque("m", np.array([1 << 32]))
    assert len(large) == len("m-") + 8 + len("x") + 8
