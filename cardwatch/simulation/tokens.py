"""Opaque identifiers, from which the number behind them cannot be read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def opaque(prefix: str, numbers: NDArray[np.int64]) -> list[str]:
    """Return a token for each number below 2**32; different numbers have different tokens.

    The numbers are scattered by the finaliser of MurmurHash3 (32 bits), which is a bijection.
    """
    mixed = numbers.astype(np.uint64)
    mask = np.uint64(0xFFFFFFFF)
    mixed ^= mixed >> np.uint64(16)
    mixed = (mixed * np.uint64(0x85EBCA6B)) & mask
    mixed ^= mixed >> np.uint64(13)
    mixed = (mixed * np.uint64(0xC2B2AE35)) & mask
    mixed ^= mixed >> np.uint64(16)
    return [f"{prefix}-{number:08x}" for number in mixed.tolist()]
