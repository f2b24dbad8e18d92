"""Opaque identifiers, from which the number behind them cannot be read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def opaque(prefix: str, numbers: NDArray[np.int64]) -> list[str]:
    """Return a token for each number; different numbers from 0 on have different tokens.

    Numbers below 2**32 are scattered by the finaliser of MurmurHash3 (32 bits), larger ones by that of splitmix64
    (64 bits): both are bijections, and the tokens of larger numbers are longer.
    """
    mixed = numbers.astype(np.uint64)
    mask = np.uint64(0xFFFFFFFF)
    mixed ^= mixed >> np.uint64(16)
    mixed = (mixed * np.uint64(0x85EBCA6B)) & mask
    mixed ^= mixed >> np.uint64(13)
    mixed = (mixed * np.uint64(0xC2B2AE35)) & mask
    mixed ^= mixed >> np.uint64(16)
    tokens = [f"{prefix}-{number:08x}" for number in mixed.tolist()]
    large = np.flatnonzero(numbers > 0xFFFFFFFF)
    for place, number in zip(large.tolist(), scattered(numbers[large]).tolist(), strict=True):
        # The letter keeps digits apart, which could be taken for a card number in a row.
        tokens[place] = f"{prefix}-{number >> 32:08x}x{number & 0xFFFFFFFF:08x}"
    return tokens


def scattered(numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return 64 bits for each number, different for different numbers (the finaliser of splitmix64)."""
    mixed = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
