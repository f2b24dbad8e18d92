"""The partition that a key belongs to, by the hash functions that Kafka's clients use.

All records of a card must lie in one partition, because one worker at a time owns a partition and with it the states of
its cards. Producers choose the partition, and their defaults differ: Kafka's Java client and kafka-python use murmur2,
librdkafka (C, Python, Go, .NET) CRC-32, Sarama (Go) FNV-1a.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Final
from zlib import crc32

from msgspec import Struct

_MASK: Final = 0xFFFFFFFF
_CACHED_KEYS: Final = 65_536
"""Number of keys whose hash is kept: cards repeat, and a hash in pure Python costs two microseconds."""


class Partitioner(StrEnum):
    """How the producers of `transactions` choose the partition of a key. `UNCHECKED`: not known, nothing is refused."""

    MURMUR2 = "murmur2"
    CRC32 = "crc32"
    FNV1A = "fnv1a"
    UNCHECKED = "unchecked"


class Partitioning(Struct, frozen=True):
    """A topic's number of partitions, and the partitioner of its producers."""

    partitioner: Partitioner
    partitions: int

    def partition_of(self, key: bytes) -> int | None:
        """Return the partition that `key` belongs to, None if that is not known."""
        key_hash = _HASHES.get(self.partitioner)
        return None if key_hash is None else key_hash(key) % self.partitions


UNCHECKED: Final = Partitioning(Partitioner.UNCHECKED, 1)
"""For a log whose producers are not known, or where the states of cards do not depend on the partition."""


def murmur2(key: bytes) -> int:
    """Return the positive 31-bit murmur2 hash of a key, as Kafka's Java client computes it.

    Source: Austin Appleby, MurmurHash2, with Kafka's seed 0x9747b28c.

    >>> murmur2(b"foobar"), murmur2(b"21")
    (1357151166, 1173551340)
    """
    multiplier = 0x5BD1E995
    value = 0x9747B28C ^ len(key)
    complete = len(key) & ~3
    for start in range(0, complete, 4):
        word = int.from_bytes(key[start : start + 4], "little") * multiplier & _MASK
        word = (word ^ word >> 24) * multiplier & _MASK
        value = value * multiplier & _MASK ^ word
    if rest := key[complete:]:
        value = (value ^ int.from_bytes(rest, "little")) * multiplier & _MASK
    value = (value ^ value >> 13) * multiplier & _MASK
    return (value ^ value >> 15) & 0x7FFFFFFF


def fnv1a(key: bytes) -> int:
    """Return the absolute value of the signed 32-bit FNV-1a hash of a key, as Sarama and librdkafka compute it.

    Source: Fowler, Noll and Vo, FNV-1a.

    >>> fnv1a(b"kafka")
    221496545
    """
    value = 0x811C9DC5
    for byte in key:
        value = (value ^ byte) * 0x01000193 & _MASK
    return value if value < 1 << 31 else (1 << 32) - value


_HASHES: Final[Mapping[Partitioner, Callable[[bytes], int]]] = {
    Partitioner.MURMUR2: lru_cache(_CACHED_KEYS)(murmur2),
    Partitioner.CRC32: crc32,
    Partitioner.FNV1A: lru_cache(_CACHED_KEYS)(fnv1a),
}
