"""Delivery of decisions, to their stream for consumers and to S3 for archive and training, and of dead letters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from msgspec import Struct, structs

from adapters.aws.object_keys import dead_letter_key, decisions_key
from cardwatch.admission import cut_dead_letter
from cardwatch.events import DeadLetter, encode

MAX_MESSAGE_BYTES: Final = 200_000
"""Maximum size of a dead letter in a message: the smallest limit of SQS is 262,144 bytes, and a record of Kinesis may
have a mebibyte."""


class TransactionIds(Struct):
    """Identifiers of a transaction."""

    transaction_id: str
    card_id: str


class _DecisionIds(Struct):
    transaction: TransactionIds


_decode_ids: Final = msgspec.json.Decoder(_DecisionIds).decode


def transaction_ids(decision: bytes) -> TransactionIds:
    """Return the identifiers of the transaction of an encoded decision, without decoding the rest of it."""
    return _decode_ids(decision).transaction


class DecisionDelivery:
    """Delivers decisions and dead letters at least once: when a call returns, everything is delivered.

    `put_stream` takes (key, value) pairs, `put_object` a key and its content, `send` the bodies of messages. Each
    raises a retriable error if it fails.
    """

    def __init__(
        self,
        put_stream: Callable[[Sequence[tuple[str, bytes]]], None],
        put_object: Callable[[str, bytes], object],
        send: Callable[[Sequence[bytes]], None],
    ) -> None:
        self._put_stream, self._put_object, self._send = put_stream, put_object, send

    def decisions(self, batch: str, lines: Sequence[bytes]) -> None:
        """Deliver the decisions of a batch, each as JSON.

        `batch` is SHARD/NAME and names the object, so delivering the same batch again replaces the object.
        """
        if not lines:
            return
        shard, _, name = batch.partition("/")
        self._put_object(decisions_key(shard, name), b"\n".join(lines) + b"\n")
        self._put_stream([(transaction_ids(line).card_id, line) for line in lines])

    def dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Deliver dead letters; one that is too large for a message goes to the bucket, and a cut one names it."""
        if letters:
            self._send([self._message(letter) for letter in letters])

    def _message(self, letter: DeadLetter) -> bytes:
        message = encode(letter)
        if len(message) <= MAX_MESSAGE_BYTES:
            return message
        key = dead_letter_key(letter.partition, letter.offset)
        self._put_object(key, message)
        cut = cut_dead_letter(letter)
        return encode(structs.replace(cut, reason=f"{cut.reason}; too large for a message: all of it is in {key}"))
