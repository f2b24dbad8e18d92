"""The embedded feature store, on LMDB: one writer at a time, and readers in any process.

States are written into the memory map (`writemap`), which the operating system flushes to disk. That costs a quarter of
writing pages. A killed process loses nothing. A crash of the machine may damage the store: it is a view of the log, so
remove it and fold the log again, or restore a snapshot.

Keys: `card:` + card id -> the bytes of a STATE; `applied:` + partition -> the next offset, 8 bytes little-endian;
`layout` -> the fingerprint of the states; `partitions` -> the number of partitions of the log, 8 bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from shutil import disk_usage
from typing import Final

import lmdb
import numpy as np

from adapters.feature_store.layout import CARDS_PER_CHUNK, STATE_LAYOUT, UNFINISHED, CardStore, chunks
from adapters.runtime.closeable import closed_on_error
from cardwatch.errors import Misconfigured, StoreRefused, StoreUnavailable
from cardwatch.ports import PositionedStates, StateArray, StoreContents, StoreSize

MAP_SIZE_BYTES: Final = 16 << 30
"""Maximum size of the store, enough for six million cards. The file is sparse and occupies only what it holds."""
MIN_FREE_BYTES: Final = 256 << 20
"""Minimum free disk space for a write. Without space the system kills a process that writes to a memory map."""

_CARD: Final = b"card:"
_APPLIED: Final = b"applied:"
_LAYOUT: Final = b"layout"
_PARTITIONS: Final = b"partitions"


def data_file(path: Path) -> Path:
    """Return the data file of the store in the folder `path`. It exists once the store was created."""
    return path / "data.mdb"


class LmdbStore(CardStore):
    """A `cardwatch.ports.PortableStore` in the folder `path`. A `readonly` store is never written.

    Raises `Misconfigured` if the folder cannot be used, and `StoreRefused` if it holds states of another `layout`.
    """

    def __init__(self, path: Path, *, readonly: bool = False, layout: str = STATE_LAYOUT) -> None:
        super().__init__(
            f"the feature store in {path}", layout, remedy="run `cardwatch upgrade`, which folds the log again"
        )
        self._path = path
        try:
            if not readonly:
                path.mkdir(parents=True, exist_ok=True)
            self._env = lmdb.open(
                str(path),
                map_size=MAP_SIZE_BYTES,
                readonly=readonly,
                sync=False,
                writemap=not readonly,
                max_readers=1024,
                readahead=False,
            )
        except (OSError, lmdb.Error) as error:
            raise Misconfigured(f"cannot open the feature store in {path}: {error}") from error
        with closed_on_error(self):
            self._require_layout(readonly=readonly)

    def close(self) -> None:
        """Close the files."""
        self._env.close()

    def load(self, card_ids: Sequence[str]) -> StateArray:
        """See the port. One read transaction makes the states consistent."""
        with self._env.begin(buffers=True) as transaction:
            return self._states(transaction, card_ids)

    def load_positioned(self, partition: int, card_ids: Sequence[str]) -> PositionedStates:
        """See the port."""
        with self._env.begin(buffers=True) as transaction:
            states = self._states(transaction, card_ids)
            return PositionedStates(states, np.full(len(card_ids), _position(transaction, partition), np.int64))

    def applied(self, partition: int) -> int:
        """See the port."""
        with self._env.begin() as transaction:
            return _position(transaction, partition)

    def record_partitions(self, partitions: int) -> int:
        """See the port."""
        with self._env.begin(write=True) as transaction:
            transaction.put(_PARTITIONS, _bytes(partitions), overwrite=False)
            return int.from_bytes(transaction.get(_PARTITIONS) or b"", "little")

    def size(self) -> StoreSize:
        """See the port. Counts the pages in use; the file itself is sparse."""
        with self._env.begin() as transaction:
            found = transaction.stat()
            others = 1 + _has_partitions(transaction) + sum(1 for _ in _range(transaction, _APPLIED))
        pages = found["branch_pages"] + found["leaf_pages"] + found["overflow_pages"]
        return StoreSize(max(int(found["entries"]) - others, 0), int(pages * found["psize"]))

    def apply(
        self, partition: int, *, expected: int, position: int, card_ids: Sequence[str], states: StateArray
    ) -> None:
        """See the port. LMDB has one write lock across processes, so that check and write are atomic."""
        with self._writing() as transaction:
            found = _position(transaction, partition)
            if found != expected:
                raise self._stale_writer_error(partition, expected, found)
            _put(transaction, card_ids, states)
            transaction.put(_applied_key(partition), _bytes(position))

    @contextmanager
    def contents(self) -> Iterator[StoreContents]:
        """See the port."""
        with self._env.begin() as transaction:
            partitions = [int(key[len(_APPLIED) :]) for key, _ in _range(transaction, _APPLIED)]
            applied = {partition: _position(transaction, partition) for partition in partitions}
            yield StoreContents(applied, self._cards(transaction))

    def fill(self, contents: StoreContents) -> None:
        """See the port."""
        with self._env.begin(write=True) as transaction:
            if transaction.stat()["entries"] > 1 + _has_partitions(transaction):  # one entry is the layout
                raise self._not_empty_error()
            transaction.put(_LAYOUT, UNFINISHED.encode())
        for card_ids, states in contents.cards:
            with self._writing() as transaction:
                _put(transaction, card_ids, states)
        with self._env.begin(write=True) as transaction:
            for partition, position in contents.applied.items():
                transaction.put(_applied_key(partition), _bytes(position))
            transaction.put(_LAYOUT, self._layout_bytes)

    def cards(self) -> dict[str, bytes]:
        """Return the bytes of every card's state, to compare stores."""
        with self._env.begin() as transaction:
            return {key[len(_CARD) :].decode(): value for key, value in _range(transaction, _CARD)}

    @contextmanager
    def _writing(self) -> Iterator[lmdb.Transaction]:
        free = disk_usage(self._path).free
        if free < MIN_FREE_BYTES:
            raise StoreUnavailable(f"{self._where} has {free >> 20} MB of disk left: free some space")
        try:
            with self._env.begin(write=True) as transaction:
                yield transaction
        except lmdb.MapFullError as error:
            raise StoreRefused(
                f"{self._where} is full at {MAP_SIZE_BYTES >> 30} GB: use Redis or DynamoDB, see CARDWATCH_STORE_URL"
            ) from error

    def _require_layout(self, *, readonly: bool) -> None:
        with self._env.begin(write=not readonly) as transaction:
            found = transaction.get(_LAYOUT)
            is_empty = transaction.stat()["entries"] == 0
            self._check_layout(found, is_empty=is_empty)
            if not readonly:
                transaction.put(_LAYOUT, self._layout_bytes)

    def _states(self, transaction: lmdb.Transaction, card_ids: Sequence[str]) -> StateArray:
        stored = [transaction.get(_card_key(card_id)) for card_id in card_ids]
        found = transaction.get(_LAYOUT)
        if found != self._layout_bytes:  # another version has replaced the store since it was opened
            self._check_layout(found, is_empty=not any(stored))
        return self._to_states(stored, card_ids)

    def _cards(self, transaction: lmdb.Transaction) -> Iterator[tuple[list[str], StateArray]]:
        for chunk in chunks(_range(transaction, _CARD), CARDS_PER_CHUNK):
            card_ids = [key[len(_CARD) :].decode() for key, _ in chunk]
            yield card_ids, self._to_states([state for _, state in chunk], card_ids)


def stored_layout(path: Path) -> str | None:
    """Return the layout of the states in the folder `path`, None without a store or without any state.

    Raises `Misconfigured` if the files cannot be opened.
    """
    if not data_file(path).exists():
        return None
    in_use = (path / "lock.mdb").exists()  # a store that has none is open nowhere, and gets none by being read
    try:
        with (
            lmdb.open(str(path), readonly=True, map_size=MAP_SIZE_BYTES, lock=in_use) as environment,
            environment.begin() as read,
        ):
            found = read.get(_LAYOUT)
    except (OSError, lmdb.Error) as error:
        raise Misconfigured(f"cannot open the feature store in {path}: {error}") from error
    return None if found is None else found.decode()


def stored_partitions(store: LmdbStore) -> int | None:
    """Return the recorded number of partitions of the log, None if none is recorded."""
    with store._env.begin() as transaction:
        return int.from_bytes(transaction.get(_PARTITIONS) or b"", "little") or None


def _put(transaction: lmdb.Transaction, card_ids: Sequence[str], states: StateArray) -> None:
    """Write all states in one call, sorted by key, because neighbours share pages."""
    packed = np.ascontiguousarray(states).view(np.uint8).reshape(len(card_ids), states.itemsize)
    transaction.cursor().putmulti(sorted(zip(map(_card_key, card_ids), packed, strict=True), key=itemgetter(0)))


def _card_key(card_id: str) -> bytes:
    return _CARD + card_id.encode()


def _applied_key(partition: int) -> bytes:
    return _APPLIED + b"%d" % partition


def _bytes(position: int) -> bytes:
    return position.to_bytes(8, "little")


def _position(transaction: lmdb.Transaction, partition: int) -> int:
    return int.from_bytes(transaction.get(_applied_key(partition)) or b"", "little")


def _has_partitions(transaction: lmdb.Transaction) -> bool:
    return transaction.get(_PARTITIONS) is not None


def _range(transaction: lmdb.Transaction, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    cursor = transaction.cursor()
    if cursor.set_range(prefix):
        for key, value in cursor:
            if not bytes(key).startswith(prefix):
                return
            yield bytes(key), bytes(value)
