"""What the topic `transactions` admits, and the dead letters of the rest."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardwatch.admission import (
    MAX_KEY_BYTES,
    MAX_TEXT_CHARACTERS,
    MAX_VALUE_BYTES,
    admit,
    cut_dead_letter,
    dead_letter,
    is_in_wrong_partition,
)
from cardwatch.errors import InvalidRecord
from cardwatch.events import Channel, DeadLetter, Transaction, decode, encode
from cardwatch.partitioning import UNCHECKED, Partitioner, Partitioning
from cardwatch.records import Record
from cardwatch.topics import TRANSACTIONS

FOUR = Partitioning(Partitioner.MURMUR2, 4)
MAX_LETTER_BYTES = 200_000
"""Below every limit that a letter meets: 262,144 bytes of SQS, a million of a Kafka broker."""


def payment(card: str = "abc") -> Transaction:
    return Transaction(
        transaction_id="t-1",
        card_id=card,
        merchant_id="m-1",
        occurred_at=datetime(2025, 1, 6, 12, tzinfo=UTC),
        amount_minor=100,
        currency="EUR",
        merchant_category="5411",
        channel=Channel.CHIP,
        country="DE",
    )


def record(value: bytes | None, key: bytes | None = b"abc", partition: int = 3) -> Record:
    return Record(TRANSACTIONS, partition, 17, 0, key, value)


# murmur2("abc") is 479470107 = 4 * 119867526 + 3.
def test_a_record_in_the_partition_of_its_card_is_admitted() -> None:
    assert admit(record(encode(payment())), FOUR) == payment()


def test_a_record_in_another_partition_is_refused_with_both_partitions() -> None:
    with pytest.raises(InvalidRecord, match="belongs to partition 3 by murmur2, and lies in 1") as refused:
        admit(record(encode(payment()), partition=1), FOUR)
    assert is_in_wrong_partition(dead_letter(record(encode(payment()), partition=1), refused.value))


def test_without_a_known_partitioner_every_partition_is_admitted() -> None:
    assert admit(record(encode(payment()), partition=1), UNCHECKED) == payment()


@pytest.mark.parametrize("key", [None, b"", b"abd", b"ABC"])
def test_a_record_under_another_key_than_its_card_is_refused(key: bytes | None) -> None:
    with pytest.raises(InvalidRecord, match="the record's key is not its card_id"):
        admit(record(encode(payment()), key=key), UNCHECKED)


def test_a_short_record_is_in_its_dead_letter_unchanged() -> None:
    letter = dead_letter(record(b"nonsense"), InvalidRecord("why", field="$.x"))
    assert letter == DeadLetter(
        topic=TRANSACTIONS, partition=3, offset=17, key=b"abc", value=b"nonsense", field="$.x", reason="why"
    )
    assert cut_dead_letter(letter) == letter


def test_of_a_long_record_the_letter_has_the_beginning_the_length_and_the_digest() -> None:
    value, key = b"x" * 900_000, b"k" * 70_000
    whole = dead_letter(record(value, key), InvalidRecord("why " * 100_000, field="$." + "f" * 300_000))
    assert (whole.value, whole.key) == (value, key)
    letter = cut_dead_letter(whole)
    assert letter.value == b"x" * MAX_VALUE_BYTES
    assert (letter.value_bytes, letter.value_sha256) == (900_000, sha256(value).hexdigest())
    assert letter.key == b"k" * MAX_KEY_BYTES
    assert (letter.key_bytes, letter.key_sha256) == (70_000, sha256(key).hexdigest())
    assert letter.reason.startswith("why why ")
    assert "(400000 characters, SHA-256 " in letter.reason
    assert len(letter.field) < MAX_TEXT_CHARACTERS + 120
    assert len(encode(letter)) < MAX_LETTER_BYTES


@given(
    value=st.one_of(st.none(), st.binary(max_size=300), st.integers(0, 10**6).map(lambda n: b"\x00" * n)),
    key=st.one_of(st.none(), st.binary(max_size=40), st.integers(0, 10**5).map(lambda n: b"\xff" * n)),
    text=st.one_of(st.text(max_size=50), st.integers(0, 10**5).map(lambda n: "\x00\U0001f4b3" * n)),
)
def test_a_dead_letter_always_fits_and_can_be_read(value: bytes | None, key: bytes | None, text: str) -> None:
    encoded = encode(cut_dead_letter(dead_letter(record(value, key), InvalidRecord(text, field=text))))
    assert len(encoded) < MAX_LETTER_BYTES
    letter = decode(encoded, DeadLetter)
    assert (value or b"").startswith(letter.value or b"")
    assert letter.value_bytes in (None, len(value or b""))
