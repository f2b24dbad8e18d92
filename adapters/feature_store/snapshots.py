"""Snapshots of a feature store: one Parquet file from which an empty store of any kind can be filled.

Columns are `card_id` and `state`, with a row per card. The footer's metadata hold the layout of the states, `applied`
per partition, the number of cards, and a digest of all of it. A file with another digest is rejected.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from adapters.feature_store.layout import CARDS_PER_CHUNK, STATE_LAYOUT
from adapters.runtime.files import atomic_path
from cardwatch.errors import Misconfigured, StoreRefused
from cardwatch.features.state import STATE
from cardwatch.ports import PortableStore, StateArray, StoreContents

_STATE: Final[pa.DataType] = pa.binary(STATE.itemsize)
_SCHEMA: Final = pa.schema([("card_id", pa.string()), ("state", _STATE)])
_ABOUT: Final = "cardwatch.snapshot"


class Snapshot(Struct, frozen=True, kw_only=True):
    """Metadata of a snapshot. `applied`: per partition the offset before which the log is folded in."""

    layout: str
    applied: dict[int, int]
    cards: int
    digest: str


class _Digest:
    """SHA-256 over layout, `applied`, ids and states, independent of the size of batches."""

    def __init__(self, layout: str, applied: Mapping[int, int]) -> None:
        self._head = msgspec.json.encode((layout, sorted(applied.items())))
        self._ids, self._states = hashlib.sha256(), hashlib.sha256()
        self.cards = 0

    def add(self, card_ids: list[str], states: StateArray) -> None:
        """Add cards."""
        self._ids.update(msgspec.json.encode(card_ids)[1:-1] + b",")
        self._states.update(states.tobytes())
        self.cards += len(card_ids)

    def hex(self) -> str:
        """Return the digest of all added cards."""
        return hashlib.sha256(self._head + self._ids.digest() + self._states.digest()).hexdigest()


def write_snapshot(store: PortableStore, path: Path, *, layout: str = STATE_LAYOUT) -> Snapshot:
    """Write the store to `path` atomically and in bounded memory.

    Raises `StoreRefused` if the store is written meanwhile and its contents are not consistent (see the port).
    """
    try:
        with (
            store.contents() as contents,
            atomic_path(path) as temporary,
            pq.ParquetWriter(temporary, _SCHEMA, compression="zstd", write_page_checksum=True) as file,
        ):
            digest = _Digest(layout, contents.applied)
            for card_ids, states in contents.cards:
                digest.add(card_ids, states)
                file.write_table(_table(card_ids, states))
            about = Snapshot(layout=layout, applied=contents.applied, cards=digest.cards, digest=digest.hex())
            file.add_key_value_metadata({_ABOUT: msgspec.json.encode(about).decode()})
    except OSError as error:
        raise Misconfigured(f"cannot write the snapshot {path}: {error}") from error
    return about


def restore_snapshot(path: Path, store: PortableStore, *, layout: str = STATE_LAYOUT) -> Snapshot:
    """Fill an empty store from the snapshot in `path`, after checking the complete file.

    Raises `Misconfigured` if there is no such file, and `StoreRefused` if it is damaged or of another layout, or if the
    store is not empty. The store is unchanged then.
    """
    about = read_snapshot(path, layout=layout)
    with _opened(path) as file:
        store.fill(StoreContents(about.applied, _cards(file, path)))
    return about


def read_snapshot(path: Path, *, layout: str = STATE_LAYOUT) -> Snapshot:
    """Return the metadata of the snapshot in `path`, after checking the complete file."""
    with _opened(path) as file:
        try:
            about = msgspec.json.decode((file.metadata.metadata or {}).get(_ABOUT.encode(), b""), type=Snapshot)
        except msgspec.DecodeError as error:
            raise StoreRefused(f"{path} is not a snapshot of a feature store, or is damaged: {error}") from error
        if about.layout != layout:
            raise StoreRefused(
                f"{path} holds states of layout {about.layout}, this version reads and writes {layout}: "
                "rebuild the store from the log instead (cardwatch store rebuild)"
            )
        digest = _Digest(about.layout, about.applied)
        for card_ids, states in _cards(file, path):
            digest.add(card_ids, states)
    if digest.hex() != about.digest or digest.cards != about.cards:
        raise StoreRefused(f"{path} is damaged: its content does not have the recorded digest {about.digest}")
    return about


def _table(card_ids: list[str], states: StateArray) -> pa.Table:
    column = pa.FixedSizeBinaryArray.from_buffers(_STATE, len(states), [None, pa.py_buffer(states.tobytes())])
    return pa.table([pa.array(card_ids, pa.string()), column], schema=_SCHEMA)


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, page_checksum_verification=True)
    except FileNotFoundError as error:
        raise Misconfigured(f"there is no snapshot {path}") from error
    except (OSError, pa.ArrowException) as error:
        raise StoreRefused(f"{path} is damaged, or not a snapshot of a feature store: {error}") from error


def _cards(file: pq.ParquetFile, path: Path) -> Iterator[tuple[list[str], StateArray]]:
    try:
        for batch in file.iter_batches(CARDS_PER_CHUNK, columns=_SCHEMA.names):
            columns: dict[str, list[Any]] = batch.to_pydict()
            yield columns["card_id"], np.frombuffer(b"".join(columns["state"]), STATE)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise StoreRefused(f"{path} is damaged: {error}") from error
