"""Where decisions go: to their stream, for whoever acts on them, and to S3, for archive and training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from msgspec import Struct, structs

from adapters.aws.object_keys import dead_letter_key, decisions_key
from cardwatch.events import DeadLetter, encode

MAX_MESSAGE_BYTES: Final = 200_000
"""A quarter of a mebibyte is what SQS takes at the least, and a record of Kinesis may be a whole one."""
MAX_REASON_CHARACTERS: Final = 1_000


class _Card(Struct):
    card_id: str


class _Line(Struct):
    transaction: _Card


class Delivery:
    """Delivers decisions and dead letters. When a call returns, all of it is there, maybe not for the first time.

    `put_stream` takes (key, value) pairs, `put_object` a key and its content, `send` the bodies of messages. Each
    raises what is retriable if it could not.
    """

    def __init__(
        self,
        put_stream: Callable[[Sequence[tuple[str, bytes]]], None],
        put_object: Callable[[str, bytes], object],
        send: Callable[[Sequence[bytes]], None],
    ) -> None:
        self._put_stream, self._put_object, self._send = put_stream, put_object, send
        self._card_of = msgspec.json.Decoder(_Line).decode

    def decisions(self, batch: str, lines: Sequence[bytes]) -> None:
        """See `services.stream.aws.worker.Delivers`. `batch` is SHARD/NAME, and so is the object's name."""
        if not lines:
            return
        shard, _, name = batch.partition("/")
        self._put_object(decisions_key(shard, name), b"\n".join(lines) + b"\n")
        self._put_stream([(self._card_of(line).transaction.card_id, line) for line in lines])

    def dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """See `services.stream.aws.worker.Delivers`."""
        if letters:
            self._send([self._message(letter) for letter in letters])

    def _message(self, letter: DeadLetter) -> bytes:
        message = encode(letter)
        if len(message) <= MAX_MESSAGE_BYTES:
            return message
        key = dead_letter_key(letter.partition, letter.offset)
        self._put_object(key, message)
        reason = f"{letter.reason[:MAX_REASON_CHARACTERS]}; too large for a message: all of it is in {key}"
        return encode(structs.replace(letter, key=None, value=None, reason=reason))
