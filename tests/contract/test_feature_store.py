"""What every feature store promises. LMDB is the one there is; others join the list."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from adapters.lmdb_store import LmdbStore
from cardwatch.errors import Misconfigured, StaleWriter, StoreRefused
from cardwatch.features.state import STATE, empty_states
from cardwatch.ports import FeatureStore


@pytest.fixture(params=["lmdb"])
def store(tmp_path: Path) -> Iterator[FeatureStore]:
    with LmdbStore(tmp_path / "store") as opened:
        yield opened


def states_with(*sequences: int) -> np.ndarray:
    states = empty_states(len(sequences))
    states["sequence"] = sequences
    return states


def test_a_card_never_seen_has_the_empty_state(store: FeatureStore) -> None:
    assert store.load(["nobody"]).tobytes() == empty_states(1).tobytes()


def test_a_new_store_has_applied_nothing(store: FeatureStore) -> None:
    assert store.applied(3) == 0


def test_states_come_back_in_the_order_asked_for_to_the_bit(store: FeatureStore) -> None:
    written = states_with(1, 2)
    written["amount_spread"] = [0.1, np.nextafter(1.0, 2.0)]
    store.apply(0, expected=0, position=10, card_ids=["a", "b"], states=written)
    assert store.load(["b", "x", "a"]).tobytes() == (
        written[1:].tobytes() + empty_states(1).tobytes() + written[:1].tobytes()
    )
    assert store.applied(0) == 10


def test_partitions_are_applied_apart(store: FeatureStore) -> None:
    store.apply(0, expected=0, position=10, card_ids=[], states=empty_states(0))
    assert (store.applied(0), store.applied(1)) == (10, 0)


def test_a_batch_that_began_elsewhere_is_refused_and_changes_nothing(store: FeatureStore) -> None:
    store.apply(0, expected=0, position=10, card_ids=["a"], states=states_with(1))
    with pytest.raises(StaleWriter, match="began at offset 5, but the store is at 10"):
        store.apply(0, expected=5, position=12, card_ids=["a"], states=states_with(9))
    assert store.applied(0) == 10
    assert store.load(["a"])["sequence"].tolist() == [1]


def test_loaded_states_are_the_callers_own(store: FeatureStore) -> None:
    store.apply(0, expected=0, position=1, card_ids=["a"], states=states_with(1))
    loaded = store.load(["a"])
    loaded["sequence"] = 99
    assert store.load(["a"])["sequence"].tolist() == [1]


def test_lmdb_is_read_by_another_process_while_it_is_open(tmp_path: Path) -> None:
    asking = (
        "import sys; from pathlib import Path; from adapters.lmdb_store import LmdbStore;"
        "print(LmdbStore(Path(sys.argv[1]), readonly=True).load(['a'])['sequence'][0])"
    )
    with LmdbStore(tmp_path) as store:
        store.apply(0, expected=0, position=1, card_ids=["a"], states=states_with(7))
        answer = subprocess.run(
            [sys.executable, "-c", asking, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
        )
    assert answer.stdout.strip() == "7"


def test_lmdb_refuses_states_of_another_layout(tmp_path: Path) -> None:
    with LmdbStore(tmp_path) as store:
        other = np.zeros(1, np.dtype([("sequence", "<i8")]))
        store.apply(0, expected=0, position=1, card_ids=["a"], states=other)
        with pytest.raises(StoreRefused, match=f"has 8 bytes, this version writes {STATE.itemsize}"):
            store.load(["a"])


def test_lmdb_in_a_place_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(Misconfigured, match=r"cannot open the feature store in .*file/store"):
        LmdbStore(tmp_path / "file" / "store")
