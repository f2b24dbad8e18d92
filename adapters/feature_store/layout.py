"""Layout of card states, and what all feature stores share: its check, and errors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, TypeVar

import msgspec
import numpy as np

from adapters.runtime.closeable import Closeable
from cardwatch.errors import StaleWriter, StoreRefused
from cardwatch.features.definitions import KERNEL_VERSION
from cardwatch.features.state import STATE, empty_states
from cardwatch.ports import StateArray

STATE_LAYOUT: Final = hashlib.sha256(msgspec.json.encode((KERNEL_VERSION, repr(STATE.descr)))).hexdigest()[:32]
"""Fingerprint of the bytes of a state and of their meaning to the kernel. Every store records it."""

UNFINISHED: Final = "unfinished"
"""The layout that marks a store while it is filled from a snapshot."""

REMOVE: Final = "remove it, and the log is folded again"

CARDS_PER_CHUNK: Final = 2_000
"""Number of cards per chunk when a whole store is read or written, 4 MB."""

_EMPTY: Final = empty_states(1).tobytes()
_LENGTHS: Final = frozenset({STATE.itemsize})

T = TypeVar("T")


class CardStore(Closeable):
    """Base of the feature stores. `where` names the store in messages; `layout` is the one that it must have.

    `remedy` says what to do about a store of another layout.
    """

    def __init__(self, where: str, layout: str, *, remedy: str = REMOVE) -> None:
        self._where, self._remedy = where, remedy
        self._layout, self._layout_bytes = layout, layout.encode()

    def _check_layout(self, found: str | bytes | memoryview | None, *, is_empty: bool) -> None:
        """Raise `StoreRefused` unless the store has the expected layout, or is empty and has none."""
        text = found if isinstance(found, str | None) else bytes(found).decode()
        if text == self._layout or (text is None and is_empty):
            return
        if text == UNFINISHED:
            raise StoreRefused(
                f"{self._where} is incomplete after an interrupted restore of a snapshot: remove it and restore again"
            )
        raise StoreRefused(
            f"{self._where} holds states of layout {text or 'none'}, this version reads and writes {self._layout}: "
            f"{self._remedy}"
        )

    def _to_states(self, stored: Sequence[bytes | memoryview | None], card_ids: Sequence[str]) -> StateArray:
        """Return stored bytes as a writable array of states [n]. None is the empty state."""
        states = [_EMPTY if state is None else state for state in stored]
        if not set(map(len, states)) <= _LENGTHS:
            card_id, length = next(
                (card_id, len(state))
                for card_id, state in zip(card_ids, states, strict=True)
                if len(state) not in _LENGTHS
            )
            raise StoreRefused(
                f"{self._where}: the state of card {card_id} has {length} bytes, this version writes "
                f"{STATE.itemsize}: remove the store, and the log is folded again"
            )
        return np.frombuffer(bytearray().join(states), STATE)

    def _stale_writer_error(self, partition: int, expected: int, found: int) -> StaleWriter:
        """Return the error for a batch that does not begin at the position of the store."""
        return StaleWriter(
            f"partition {partition}: this batch began at offset {expected}, but the store is at {found}; "
            "another worker has written since then"
        )

    def _not_empty_error(self) -> StoreRefused:
        """Return the error for filling a store that holds data."""
        return StoreRefused(
            f"{self._where} is not empty: a snapshot is only restored into an empty store; remove it first"
        )

    def _concurrent_write_error(self) -> StoreRefused:
        """Return the error for contents that are not consistent."""
        return StoreRefused(
            f"{self._where} was written while it was read, or holds a half-written batch: "
            "let the stream worker finish, stop it, and try again"
        )


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of at most `size`."""
    remaining = iter(items)
    while chunk := list(islice(remaining, size)):
        yield chunk
