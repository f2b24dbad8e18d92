"""What all feature stores share: the layout of a state, and how they refuse."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, TypeVar

import msgspec
import numpy as np

from cardwatch.errors import StaleWriter, StoreRefused
from cardwatch.features.definitions import KERNEL_VERSION
from cardwatch.features.state import STATE, empty_states
from cardwatch.ports import StateArray

STATE_LAYOUT: Final = hashlib.sha256(msgspec.json.encode((KERNEL_VERSION, repr(STATE.descr)))).hexdigest()[:32]
"""Changes when the bytes of a state, or what the kernel means by them, change. Every store carries it."""

UNFINISHED: Final = "unfinished"
"""The layout of a store that is being filled from a snapshot."""


CARDS_AT_ONCE: Final = 2_000
"""So many cards go at once where all of them are read or written: 4 MB."""

T = TypeVar("T")


def require_layout(found: str | None, expected: str, *, where: str, is_empty: bool) -> None:
    """Raise `StoreRefused` unless the store in `where` has the layout `expected`, or is empty and has none."""
    if found == expected or (found is None and is_empty):
        return
    if found == UNFINISHED:
        raise StoreRefused(f"{where} was being filled from a snapshot and is not whole: remove it and fill it again")
    raise StoreRefused(
        f"{where} holds states of layout {found or 'none'}, this version reads and writes {expected}: "
        "remove it, and it is folded again from the log"
    )


def to_states(stored: Sequence[bytes | memoryview | None], card_ids: Sequence[str], where: str) -> StateArray:
    """Stored bytes as states [n] of the caller's own; None is the empty state."""
    for card_id, state in zip(card_ids, stored, strict=True):
        if state is not None and len(state) != STATE.itemsize:
            raise StoreRefused(
                f"{where}: the state of card {card_id} has {len(state)} bytes, this version writes {STATE.itemsize}: "
                "remove the store, and it is folded again from the log"
            )
    joined = bytearray().join(_EMPTY if state is None else state for state in stored)
    return np.frombuffer(joined, STATE)


def chunks(items: Iterable[T], most: int) -> Iterator[list[T]]:
    """The items in lists of at most `most`."""
    remaining = iter(items)
    while chunk := list(islice(remaining, most)):
        yield chunk


def stale_writer(partition: int, expected: int, found: int) -> StaleWriter:
    """The refusal of a batch that did not begin where the store is."""
    return StaleWriter(
        f"partition {partition}: this batch began at offset {expected}, but the store is at {found}; "
        "another worker has written since"
    )


def not_empty(where: str) -> StoreRefused:
    """The refusal to fill a store that holds something."""
    return StoreRefused(f"{where} is not empty: a snapshot is only restored into an empty store; remove it first")


def was_written(where: str) -> StoreRefused:
    """The refusal of contents that are not of one moment."""
    return StoreRefused(
        f"{where} was written while it was read, or a batch is written by half: "
        "let the stream worker finish, stop it, and try again"
    )


_EMPTY: Final = empty_states(1).tobytes()
