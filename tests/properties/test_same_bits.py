"""Bits are compared as bits, in both sizes, and missing values are equal."""

from __future__ import annotations

import struct

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from cardwatch.audit.checks import same_bits

FORMATS = {np.float32: "<f", np.float64: "<d"}


@given(
    st.sampled_from(sorted(FORMATS, key=lambda kind: kind.__name__)),
    st.lists(st.tuples(st.floats(width=32), st.floats(width=32)), min_size=1),
)
@example(np.float64, [(0.0, -0.0)])
@example(np.float32, [(float("nan"), float("nan")), (1.0, float(np.nextafter(np.float32(1.0), np.float32(2.0))))])
def test_two_numbers_are_the_same_if_their_bytes_are_or_both_are_missing(
    kind: type[np.float32] | type[np.float64], pairs: list[tuple[float, float]]
) -> None:
    one, other = (np.array(values, kind) for values in zip(*pairs, strict=True))
    expected = [
        (np.isnan(a) and np.isnan(b)) or struct.pack(FORMATS[kind], a) == struct.pack(FORMATS[kind], b)
        for a, b in pairs
    ]
    assert same_bits(one, other).tolist() == expected
    assert same_bits(other, one).tolist() == expected
    assert same_bits(one, one.copy()).all()
