"""Which records of the topic `transactions` are admitted, and the dead letter of a record that is not.

Stream worker, recovery, archive and the AWS functions decide by this one function: a replay of the archive gives the
states of the worker only if both admit the same records.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from msgspec import structs

from cardwatch.errors import InvalidRecord
from cardwatch.events import DeadLetter, Decision, Transaction, decode
from cardwatch.features.definitions import FEATURES, SCHEMA_HASH
from cardwatch.partitioning import Partitioning
from cardwatch.records import Record

MAX_VALUE_BYTES: Final = 64_000
"""Maximum number of bytes of a rejected record that its dead letter contains. A valid transaction has at most some
thousand. With base64 the letter stays below 100 kB, a tenth of Kafka's default limit and half of that of SQS."""
MAX_KEY_BYTES: Final = 1_000
"""Maximum number of bytes of a rejected record's key in its dead letter. A valid key has at most 256."""
MAX_TEXT_CHARACTERS: Final = 1_000
"""Maximum length of a dead letter's field and reason, which can quote names from the record."""


def admit(record: Record, partitioning: Partitioning) -> Transaction:
    """Return the transaction of a record of the topic, or raise `InvalidRecord` with the field and the reason.

    The key must be the card, and the record must lie in the partition of this key. Otherwise two workers could write
    the state of one card.
    """
    transaction = decode(record.value, Transaction)
    key = transaction.card_id.encode()
    if record.key != key:
        raise InvalidRecord("the record's key is not its card_id", field="$.card_id")
    expected = partitioning.partition_of(key)
    if expected is not None and expected != record.partition:
        raise InvalidRecord(
            f"{WRONG_PARTITION}: the key belongs to partition {expected} by {partitioning.partitioner.value}, and lies "
            f"in {record.partition}; set the producer's partitioner, or CARDWATCH_PARTITIONER",
            field="$.card_id",
        )
    return transaction


def admit_decision(record: Record) -> Decision:
    """Return the decision of a record of the topic `decisions`, or raise `InvalidRecord` with the field and reason.

    A decision with this version's feature schema has all its features; those of former schemas had other numbers of
    them. A decision lies in the partition of its transaction.
    """
    decision = decode(record.value, Decision)
    if decision.feature_schema == SCHEMA_HASH and len(decision.features) != len(FEATURES):
        raise InvalidRecord(f"{len(decision.features)} features, not {len(FEATURES)}", field="$.features")
    if decision.partition != record.partition:
        raise InvalidRecord("lies in another partition than its transaction", field="$.partition")
    return decision


WRONG_PARTITION: Final = "wrong partition"
"""Beginning of the reason of a record whose producer uses another partitioner."""


def is_in_wrong_partition(letter: DeadLetter) -> bool:
    """Whether a record was rejected because its producer uses another partitioner."""
    return letter.reason.startswith(WRONG_PARTITION)


def dead_letter(record: Record, error: InvalidRecord) -> DeadLetter:
    """Return the dead letter of a rejected record, with all of it."""
    return DeadLetter(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        value=record.value,
        field=error.field,
        reason=error.reason,
    )


def cut_dead_letter(letter: DeadLetter) -> DeadLetter:
    """Return a letter that is small enough for every broker and queue.

    Of a longer value or key it contains the beginning, and then `value_bytes` and `value_sha256`, or `key_bytes` and
    `key_sha256`, describe the original. Field and reason, which can quote names of the record, are cut too.
    """
    value, key = letter.value or b"", letter.key or b""
    cut = structs.replace(letter, field=_shortened(letter.field), reason=_shortened(letter.reason))
    if len(value) > MAX_VALUE_BYTES:
        digest = sha256(value).hexdigest()
        cut = structs.replace(cut, value=value[:MAX_VALUE_BYTES], value_bytes=len(value), value_sha256=digest)
    if len(key) > MAX_KEY_BYTES:
        cut = structs.replace(cut, key=key[:MAX_KEY_BYTES], key_bytes=len(key), key_sha256=sha256(key).hexdigest())
    return cut


def _shortened(text: str) -> str:
    if len(text) <= MAX_TEXT_CHARACTERS:
        return text
    digest = sha256(text.encode(errors="surrogatepass")).hexdigest()
    return f"{text[:MAX_TEXT_CHARACTERS]}... ({len(text)} characters, SHA-256 {digest})"
