"""Feature rows as JSON: every float32 is read back to the bit."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cardwatch.decision.records import encode_rows

FINITE_BITS = st.integers(0, 2**32 - 1).filter(lambda bits: bits & 0x7F800000 != 0x7F800000)


def rows_of(bits: list[int], width: int) -> NDArray[np.float32]:
    return np.array(bits, np.uint32).view(np.float32).reshape(-1, width)


@given(st.lists(FINITE_BITS, min_size=6, max_size=6))
@example([0x15AE43FD, 0x95AE43FD, 0x15AE43FC, 0x15AE43FE, 0, 0x80000000])  # 7.038531e-26, its neighbours, both zeros
@example([1, 0x007FFFFF, 0x00800000, 0x7F7FFFFF, 0x3DCCCCCD, 0x4B800001])  # the limits of subnormal and normal numbers
def test_every_number_is_read_as_the_same_bits_when_it_is_taken_for_a_float64_and_rounded(bits: list[int]) -> None:
    rows = [msgspec.json.decode(bytes(row), type=list[float]) for row in encode_rows(rows_of(bits, 3))]
    assert np.array(rows, np.float64).astype(np.float32).view(np.uint32).ravel().tolist() == bits


def test_a_missing_value_is_null_and_a_number_has_no_needless_digits() -> None:
    rows = encode_rows(np.array([[0.1, np.nan, 25.0], [-1.5, 3.0, np.nan]], np.float32))
    assert [bytes(row) for row in rows] == [b"[0.1,null,25.0]", b"[-1.5,3.0,null]"]


def test_no_rows_are_an_empty_list() -> None:
    assert encode_rows(np.empty((0, 3), np.float32)) == []
