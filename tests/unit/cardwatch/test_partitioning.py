"""The partition of a key, against the values that Kafka's own tests publish."""

from __future__ import annotations

from zlib import crc32

import pytest

from cardwatch.partitioning import UNCHECKED, Partitioner, Partitioning, fnv1a, murmur2


# From UtilsTest.testMurmur2 of Apache Kafka, with the sign bit cleared as its partitioner does.
@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_that_of_kafkas_java_client(key: bytes, signed: int) -> None:
    assert murmur2(key) == signed & 0x7FFFFFFF


# FNV-1a of the empty key is its offset basis 0x811c9dc5, as a signed number -2128831035; of "a" it is 0xe40c292c.
def test_fnv1a_is_the_absolute_value_of_the_signed_hash() -> None:
    assert fnv1a(b"") == 2128831035
    assert fnv1a(b"a") == (1 << 32) - 0xE40C292C


def test_a_key_belongs_to_its_hash_modulo_the_number_of_partitions() -> None:
    assert Partitioning(Partitioner.MURMUR2, 4).partition_of(b"abc") == 479470107 % 4
    assert Partitioning(Partitioner.CRC32, 7).partition_of(b"abc") == crc32(b"abc") % 7


def test_an_unknown_partitioner_gives_no_partition() -> None:
    assert UNCHECKED.partition_of(b"abc") is None
