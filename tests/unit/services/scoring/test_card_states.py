"""Card states for previews: a store that is not created yet, removed, and created again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from adapters.feature_store.lmdb import LmdbStore, data_file
from adapters.feature_store.open import OpenStore, open_reader
from adapters.runtime.settings import Settings
from cardwatch.errors import StoreUnavailable
from cardwatch.features.state import empty_states
from services.scoring.api.card_states import BACKOFF_SECONDS, CHECK_SECONDS, CardStateReader


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds

    def later(self, seconds: float) -> None:
        self.seconds += seconds


def write(settings: Settings, *, sequence: int) -> None:
    states = empty_states(1)
    states["sequence"] = sequence
    with LmdbStore(settings.store) as store:
        store.apply(0, expected=0, position=sequence, card_ids=["card"], states=states)


def sequence_of(states: CardStateReader) -> int:
    return int(states.load(["card"])["sequence"][0])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def embedded(settings: Settings, clock: Clock) -> CardStateReader:
    return CardStateReader(lambda: open_reader(settings), data_file(settings.store), clock)


def test_without_a_store_no_card_has_a_history_until_the_store_is_created(settings: Settings) -> None:
    clock = Clock()
    states = embedded(settings, clock)
    assert sequence_of(states) == 0
    write(settings, sequence=3)
    clock.later(CHECK_SECONDS)
    assert sequence_of(states) == 3
    states.close()


def test_a_removed_store_is_unavailable_until_a_new_one_is_created(settings: Settings) -> None:
    clock = Clock()
    write(settings, sequence=3)
    states = embedded(settings, clock)
    assert sequence_of(states) == 3
    shutil.rmtree(settings.store)
    clock.later(CHECK_SECONDS)
    with pytest.raises(StoreUnavailable, match="is gone"):
        sequence_of(states)
    write(settings, sequence=5)
    clock.later(CHECK_SECONDS)
    assert sequence_of(states) == 5
    states.close()


def test_a_store_that_was_replaced_between_two_checks_is_opened_again(settings: Settings) -> None:
    clock = Clock()
    write(settings, sequence=3)
    states = embedded(settings, clock)
    assert sequence_of(states) == 3
    shutil.rmtree(settings.store)
    write(settings, sequence=5)
    clock.later(CHECK_SECONDS)
    assert sequence_of(states) == 5
    states.close()


class Absent:
    """A store over a network that does not answer until it does; counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_back = False

    def open(self) -> OpenStore | None:
        self.asked += 1
        if not self.is_back:
            raise StoreUnavailable("the feature store does not answer")
        return None


def test_after_a_failure_the_store_is_not_queried_during_the_backoff() -> None:
    clock, absent = Clock(), Absent()
    states = CardStateReader(absent.open, None, clock)
    assert states.is_remote
    for _ in range(5):
        with pytest.raises(StoreUnavailable, match="does not answer"):
            states.load(["card"])
    assert absent.asked == 1
    absent.is_back = True
    clock.later(BACKOFF_SECONDS)
    assert states.load(["card"]).tobytes() == empty_states(1).tobytes()
    assert absent.asked == 2


def test_a_store_of_another_layout_is_unavailable_with_the_reason(settings: Settings) -> None:
    with LmdbStore(settings.store, layout="another") as store:
        store.apply(0, expected=0, position=1, card_ids=["card"], states=np.zeros(1, empty_states(1).dtype))
    states = embedded(settings, Clock())
    with pytest.raises(StoreUnavailable, match="layout another"):
        states.load(["card"])
