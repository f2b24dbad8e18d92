"""64-bit hashes of identifiers: XXH64 with seed 0, compiled, for one string or a column of strings.

The algorithm is Yann Collet's ("xxHash fast digest algorithm", XXH64); it gives the same bits on every machine.
Collisions are rare enough: a transaction is compared with some dozens of hashes of its own card (16 transaction ids, 32
merchants, 8 devices), which collide about once in 10^17 transactions, and two merchants in a table of a million
collide once in 37 million tables. XXH64 has no key, so it does not protect against identifiers that were chosen to
collide. What must be exact (which state belongs to a card) does not use these hashes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cardwatch.compiled import compiled

_PRIME_1: Final = np.uint64(0x9E3779B185EBCA87)
_PRIME_2: Final = np.uint64(0xC2B2AE3D27D4EB4F)
_PRIME_3: Final = np.uint64(0x165667B19E3779F9)
_PRIME_4: Final = np.uint64(0x85EBCA77C2B2AE63)
_PRIME_5: Final = np.uint64(0x27D4EB2F165667C5)
_START_1: Final = np.uint64((int(_PRIME_1) + int(_PRIME_2)) % 2**64)
_START_4: Final = np.uint64(2**64 - int(_PRIME_1))


def identity_hash(identifier: str | None) -> int:
    """Return the 64-bit hash of an identifier, the same on every machine; 0 for None and for nothing else.

    >>> hex(identity_hash("abc")), identity_hash(None)
    ('0x44bc2cf5ad770999', 0)
    """
    return 0 if identifier is None else int(_hash_one(identifier.encode()))


known_identity_hash = lru_cache(maxsize=65_536)(identity_hash)
"""`identity_hash` with a cache, for identifiers that repeat (merchants, devices)."""


def identity_hashes(identifiers: Sequence[str | None]) -> NDArray[np.uint64]:
    """Return the `identity_hash` of each identifier, uint64 [n]."""
    texts = [b"" if identifier is None else identifier.encode() for identifier in identifiers]
    offsets = np.fromiter(accumulate(map(len, texts), initial=0), np.int64, len(texts) + 1)
    hashes = hash_slices(np.frombuffer(b"".join(texts), np.uint8), offsets)
    hashes[[identifier is None for identifier in identifiers]] = 0
    return hashes


def hash_slices(data: NDArray[np.uint8], offsets: NDArray[Any]) -> NDArray[np.uint64]:
    """Return the identity hashes, uint64 [n], of n UTF-8 strings in one buffer: `data[offsets[i]:offsets[i + 1]]`.

    `offsets`: int32 or int64 [n + 1], not decreasing and within `data`, as in an Arrow column. They are not checked.
    """
    hashes = np.empty(len(offsets) - 1, np.uint64)
    _hash_slices(data, offsets, hashes)
    return hashes


@compiled
def _hash_one(data):  # type: ignore[no-untyped-def]
    return _identity(data, np.uint64(0), np.uint64(len(data)))


@compiled
def _hash_slices(data, offsets, hashes):  # type: ignore[no-untyped-def]
    for i in range(len(hashes)):
        start = np.uint64(offsets[i])
        hashes[i] = _identity(data, start, np.uint64(offsets[i + 1]) - start)


@njit
def _identity(data, start, length):  # type: ignore[no-untyped-def]
    """Return XXH64, but 1 instead of 0, because 0 means "no identifier"."""
    digest = _xxh64(data, start, length)
    return digest if digest != np.uint64(0) else np.uint64(1)


@njit
def _xxh64(data, start, length):  # type: ignore[no-untyped-def]
    at, end = start, start + length
    if length >= np.uint64(32):
        one, two, three, four = _START_1, _PRIME_2, np.uint64(0), _START_4
        while at + np.uint64(32) <= end:
            one = _round(one, _word(data, at))
            two = _round(two, _word(data, at + np.uint64(8)))
            three = _round(three, _word(data, at + np.uint64(16)))
            four = _round(four, _word(data, at + np.uint64(24)))
            at += np.uint64(32)
        digest = _rotated(one, 1) + _rotated(two, 7) + _rotated(three, 12) + _rotated(four, 18)
        digest = _merged(_merged(_merged(_merged(digest, one), two), three), four)
    else:
        digest = _PRIME_5
    digest += length
    while at + np.uint64(8) <= end:
        digest = _rotated(digest ^ _round(np.uint64(0), _word(data, at)), 27) * _PRIME_1 + _PRIME_4
        at += np.uint64(8)
    if at + np.uint64(4) <= end:
        digest = _rotated(digest ^ (_half_word(data, at) * _PRIME_1), 23) * _PRIME_2 + _PRIME_3
        at += np.uint64(4)
    while at < end:
        digest = _rotated(digest ^ (np.uint64(data[at]) * _PRIME_5), 11) * _PRIME_1
        at += np.uint64(1)
    digest = (digest ^ (digest >> np.uint64(33))) * _PRIME_2
    digest = (digest ^ (digest >> np.uint64(29))) * _PRIME_3
    return digest ^ (digest >> np.uint64(32))


@njit
def _round(lane, word):  # type: ignore[no-untyped-def]
    return _rotated(lane + word * _PRIME_2, 31) * _PRIME_1


@njit
def _merged(digest, lane):  # type: ignore[no-untyped-def]
    return (digest ^ _round(np.uint64(0), lane)) * _PRIME_1 + _PRIME_4


@njit
def _rotated(word, bits):  # type: ignore[no-untyped-def]
    return (word << np.uint64(bits)) | (word >> np.uint64(64 - bits))


@njit
def _word(data, at):  # type: ignore[no-untyped-def]
    """Read eight bytes as a little-endian integer, on every machine."""
    return _half_word(data, at) | (_half_word(data, at + np.uint64(4)) << np.uint64(32))


@njit
def _half_word(data, at):  # type: ignore[no-untyped-def]
    return (
        np.uint64(data[at])
        | (np.uint64(data[at + np.uint64(1)]) << np.uint64(8))
        | (np.uint64(data[at + np.uint64(2)]) << np.uint64(16))
        | (np.uint64(data[at + np.uint64(3)]) << np.uint64(24))
    )
