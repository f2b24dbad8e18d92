"""The embedded feature store: LMDB. One writer at a time, readers in any process, survives a kill.

Keys: `card:` + card id -> the bytes of a STATE; `applied:` + partition -> the next offset, 8 bytes little-endian.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

import lmdb
import numpy as np

from cardwatch.errors import Misconfigured, StaleWriter, StoreRefused
from cardwatch.features.state import STATE, empty_states
from cardwatch.ports import StateArray

MAP_SIZE_BYTES: Final = 64 << 30
"""Address space, not disk: the file grows as states are written."""


class LmdbStore:
    """A `cardwatch.ports.FeatureStore` in the folder `path`. `readonly` for processes that only ask."""

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        try:
            if not readonly:
                path.mkdir(parents=True, exist_ok=True)
            self._env = lmdb.open(
                str(path), map_size=MAP_SIZE_BYTES, readonly=readonly, sync=False, max_readers=1024, readahead=False
            )
        except (OSError, lmdb.Error) as error:
            raise Misconfigured(f"cannot open the feature store in {path}: {error}") from error

    def __enter__(self) -> LmdbStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files."""
        self._env.close()

    def load(self, card_ids: Sequence[str]) -> StateArray:
        """See the port. One read transaction, so that all states are of one moment."""
        states = empty_states(len(card_ids))
        with self._env.begin(buffers=True) as transaction:
            for position, card_id in enumerate(card_ids):
                if (stored := transaction.get(_card_key(card_id))) is not None:
                    states[position] = _state(stored, card_id)
        return states

    def applied(self, partition: int) -> int:
        """See the port."""
        with self._env.begin() as transaction:
            return _position(transaction, partition)

    def apply(
        self, partition: int, *, expected: int, position: int, card_ids: Sequence[str], states: StateArray
    ) -> None:
        """See the port. LMDB holds one write lock across processes, so check and write are one step."""
        with self._env.begin(write=True) as transaction:
            found = _position(transaction, partition)
            if found != expected:
                raise StaleWriter(
                    f"partition {partition}: this batch began at offset {expected}, but the store is at {found}; "
                    "another worker has written since"
                )
            for card_id, state in zip(card_ids, states, strict=True):
                transaction.put(_card_key(card_id), state.tobytes())
            transaction.put(_applied_key(partition), position.to_bytes(8, "little"))

    def cards(self) -> dict[str, bytes]:
        """Every card's state as its bytes, for comparing stores."""
        with self._env.begin() as transaction:
            return {
                key[len(b"card:") :].decode(): value for key, value in transaction.cursor() if key.startswith(b"card:")
            }


def _card_key(card_id: str) -> bytes:
    return b"card:" + card_id.encode()


def _applied_key(partition: int) -> bytes:
    return b"applied:%d" % partition


def _position(transaction: lmdb.Transaction, partition: int) -> int:
    return int.from_bytes(transaction.get(_applied_key(partition)) or b"", "little")


def _state(stored: memoryview, card_id: str) -> np.void:
    if len(stored) != STATE.itemsize:
        raise StoreRefused(
            f"the state of card {card_id} has {len(stored)} bytes, this version writes {STATE.itemsize}: "
            "the store is of another version; remove it, and it is folded again from the log"
        )
    state: np.void = np.frombuffer(stored, STATE)[0]
    return state
