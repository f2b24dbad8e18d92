"""A store of another layout is folded again from the archived log, and replaced when the new one is complete."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from adapters.archive.archived_log import ArchivedLog
from adapters.archive.writer import ArchiveWriter, transaction_row
from adapters.feature_store import refold
from adapters.feature_store.layout import STATE_LAYOUT, UNFINISHED
from adapters.feature_store.lmdb import LmdbStore, stored_layout, stored_partitions
from adapters.feature_store.refold import StoreRefold
from cardwatch.errors import CardwatchError, StoreRefused
from cardwatch.events import Channel, Transaction
from cardwatch.features.columns import encode
from cardwatch.features.kernel import fold
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.features.state import empty_states
from tests.former_version import FORMER_LAYOUT, make_states_former

NOON = datetime(2025, 1, 6, 12, tzinfo=UTC)
ARCHIVED = 6
"""Transactions in the archive: of the card in partition 0 the offsets 0..5, of that in partition 1 too."""


def payment(partition: int, offset: int) -> Transaction:
    return Transaction(
        transaction_id=f"t-{partition}-{offset}",
        card_id=f"card-{partition}",
        merchant_id="shop",
        occurred_at=NOON + timedelta(hours=offset),
        amount_minor=1_000 * (offset + 1),
        currency="EUR",
        merchant_category="5411",
        channel=Channel.CHIP,
        country="DE",
    )


def state_after(partition: int, count: int) -> bytes:
    """The state of the card after its first `count` transactions, by the kernel alone."""
    states = empty_states(1)
    columns = encode([payment(partition, offset) for offset in range(count)])
    fold(states, np.zeros(count, np.int64), columns, ReferenceTable.empty())
    return states.tobytes()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An archive of two partitions, and a former store that has applied 4 of one and 9 of the other."""
    rows = [transaction_row(payment(p, offset), p, offset) for p in (0, 1) for offset in range(ARCHIVED)]
    with closing(ArchiveWriter(tmp_path / "archive")) as archive:
        archive.write({"transactions": rows}, {("transactions", p): ARCHIVED for p in (0, 1)})
    make_states_former(tmp_path / "store", {0: 4, 1: 9}, partitions=2)
    return tmp_path


def refold_of(home: Path) -> StoreRefold:
    return StoreRefold(home / "store", ArchivedLog(home / "archive"))


def require_refolded(home: Path) -> None:
    with LmdbStore(home / "store", readonly=True) as store:
        # The archive ends at 6, before the 9 of partition 1: the worker folds the rest from the topic.
        assert {p: store.applied(p) for p in (0, 1)} == {0: 4, 1: 6}
        assert store.cards() == {"card-0": state_after(0, 4), "card-1": state_after(1, 6)}
        assert stored_partitions(store) == 2
    assert sorted(path.name for path in home.iterdir()) == ["archive", "store"]


def test_a_store_of_another_layout_is_refused_with_the_remedy(home: Path) -> None:
    with pytest.raises(StoreRefused, match=f"of layout {FORMER_LAYOUT}, .*run `cardwatch upgrade`"):
        LmdbStore(home / "store")


def test_the_refolded_states_are_those_of_the_log_and_never_ahead_of_the_old_store(home: Path) -> None:
    folded: list[tuple[int, int]] = []
    refold_of(home).run(lambda partition, records: folded.append((partition, records)))
    require_refolded(home)
    assert folded == [(0, 4), (1, 6)]
    assert not refold_of(home).is_needed


def test_a_second_run_changes_nothing(home: Path) -> None:
    refold_of(home).run()
    before = (home / "store" / "data.mdb").stat()
    refold_of(home).run()
    after = (home / "store" / "data.mdb").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("step", range(4))
def test_an_interruption_at_any_step_is_continued(home: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps: the new store is finished, the old one is put aside, the new one takes its place, the old one goes."""
    steps = 0

    def counted(function: Callable[..., object]) -> Callable[..., object]:
        def call(path: Path, *arguments: object, **options: object) -> object:
            nonlocal steps
            is_step = function is not shutil.rmtree or (Path(path).name == "store.replaced" and Path(path).exists())
            if is_step and steps == step:
                raise Killed
            steps += is_step
            return function(path, *arguments, **options)

        return call

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", counted(Path.rename))
        patched.setattr(refold, "rmtree", counted(shutil.rmtree))
        with pytest.raises(Killed):
            refold_of(home).run()
    assert refold_of(home).is_needed

    refold_of(home).run()
    require_refolded(home)


def test_a_finished_store_of_yet_another_version_is_not_used(home: Path) -> None:
    make_states_former(home / "store.rebuilt", {0: 1}, partitions=2)
    refold_of(home).run()
    require_refolded(home)


def test_an_old_store_that_was_put_aside_without_a_successor_is_folded_again(home: Path) -> None:
    (home / "store").rename(home / "store.replaced")
    refold_of(home).run()
    require_refolded(home)


def test_a_failure_while_the_log_is_folded_leaves_the_old_store(home: Path) -> None:
    shutil.rmtree(next((home / "archive").glob("transactions/date=*")))
    with pytest.raises(CardwatchError, match=r"cannot be read: .*restore it, or rebuild the archive from the topics"):
        refold_of(home).run()
    assert stored_layout(home / "store") == FORMER_LAYOUT
    assert sorted(path.name for path in home.iterdir()) == ["archive", "store"]


def test_an_incomplete_restore_of_a_snapshot_is_not_refolded(home: Path) -> None:
    shutil.rmtree(home / "store")
    LmdbStore(home / "store", layout=UNFINISHED).close()
    with pytest.raises(StoreRefused, match="incomplete after an interrupted restore"):
        _ = refold_of(home).is_needed


def test_nothing_is_needed_without_a_store_or_with_one_of_this_layout(home: Path) -> None:
    shutil.rmtree(home / "store")
    assert not refold_of(home).is_needed
    LmdbStore(home / "store").close()
    assert stored_layout(home / "store") == STATE_LAYOUT
    assert not refold_of(home).is_needed
