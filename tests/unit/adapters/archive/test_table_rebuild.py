"""Reference tables of a former version are built again as they would have been, and nothing is lost on the way."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from pathlib import Path

import pytest
from msgspec import structs

from adapters.archive.reader import Archive
from adapters.archive.reference_tables import FORMER_FOLDER, ReferenceTableStore
from adapters.archive.table_rebuild import FINISHED_FOLDER, UNFINISHED_FOLDER, TableRebuild
from cardwatch.errors import CardwatchError, CorruptTable, FormerTable
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.simulation.settings import SimulationSettings
from tests.archived_world import archive_world
from tests.former_version import former_table, make_tables_former, write_former_table

WORLD, DAYS = SimulationSettings(seed=3, cards=60, fraud_share=0.05), 9


class Home:
    """A folder with an archive and tables of the former version; `expected` are those of this version by first day."""

    def __init__(self, folder: Path, expected: dict[date, str], former: dict[date, str]) -> None:
        self.folder, self.expected, self.former = folder, expected, former
        self.tables = folder / "tables"

    def rebuild(self) -> TableRebuild:
        return TableRebuild(self.tables, self.folder / "archive")

    def stored(self) -> dict[date, str]:
        return {table.valid_from.date(): table.table_id for table in ReferenceTableStore(self.tables).all()}

    def closed(self) -> dict[date, str]:
        return Archive(self.folder / "archive").closed_days()

    def files(self) -> dict[str, tuple[int, bytes]]:
        """Time stamp and content of every file, but SQLite's own."""
        paths = [path for path in self.folder.rglob("*") if path.is_file() and not path.name.startswith("index.sqlite")]
        return {str(path.relative_to(self.folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}

    def require_upgraded(self) -> None:
        assert self.stored() == self.expected
        assert self.closed() == {day - timedelta(days=1): table_id for day, table_id in self.expected.items()}
        kept = sorted(path.name for path in (self.tables / FORMER_FOLDER).iterdir())
        assert kept == sorted(f"{day}-{table_id}.table" for day, table_id in self.former.items())
        assert {path.name for path in self.tables.iterdir() if path.is_dir()} == {FORMER_FOLDER}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("former")
    archive_world(folder, WORLD, DAYS, partitions=2)
    expected = {table.valid_from.date(): table.table_id for table in ReferenceTableStore(folder / "tables").all()}
    return Home(folder, expected, make_tables_former(folder / "tables", folder / "archive"))


@pytest.fixture
def home(prepared: Home, tmp_path: Path) -> Home:
    folder = tmp_path / "home"
    shutil.copytree(prepared.folder, folder)
    return Home(folder, prepared.expected, prepared.former)


def test_the_rebuilt_tables_are_those_that_this_version_would_have_made_day_by_day(home: Home) -> None:
    built: list[date] = []
    home.rebuild().run(built.append)

    home.require_upgraded()
    assert built == list(home.expected)
    assert len(set(home.expected.values())) == DAYS  # else equal tables would prove nothing


def test_labels_that_arrived_late_make_a_difference_so_that_the_recorded_offsets_are_needed(home: Home) -> None:
    for path in home.tables.glob("*.table"):
        path.unlink()
    for day in home.expected:  # the same days without offsets: every label that was observed by then counts
        write_former_table(home.tables, day, former_table(day, {}))
    home.rebuild().run()
    assert home.stored().keys() == home.expected.keys()
    assert home.stored() != home.expected


def test_a_table_without_offsets_does_not_give_later_ones_more_labels_than_they_recorded(home: Home) -> None:
    first = min(home.expected)
    for path in home.tables.glob(f"{first.isoformat()}-*.table"):
        path.unlink()
    write_former_table(home.tables, first, former_table(first, {}))
    home.rebuild().run()
    later = {day: table_id for day, table_id in home.stored().items() if day != first}
    assert later == {day: table_id for day, table_id in home.expected.items() if day != first}


def test_a_second_run_changes_nothing(home: Home) -> None:
    home.rebuild().run()
    before, closed = home.files(), home.closed()

    rebuild = home.rebuild()
    assert (rebuild.former_tables(), rebuild.is_interrupted, rebuild.outdated_days()) == ([], False, {})
    rebuild.run()

    assert home.files() == before
    assert home.closed() == closed


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("step", range(0, 2 * DAYS + 2, 3))
def test_an_interruption_at_any_step_is_continued(home: Home, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps are the moves of files: the finished folder, then `DAYS` new tables and `DAYS` former ones."""
    replace, rename, moves = Path.replace, Path.rename, 0

    def counted(path: Path, target: Path) -> Path:
        nonlocal moves
        if path.name.endswith(".table") or path.name == UNFINISHED_FOLDER:
            moves += 1
            if moves > step:
                raise Killed
        return (rename if path.name == UNFINISHED_FOLDER else replace)(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", counted)
        patched.setattr(Path, "rename", counted)
        try:
            home.rebuild().run()
        except Killed:
            assert home.rebuild().former_tables() or home.rebuild().is_interrupted
    assert not (home.tables / UNFINISHED_FOLDER).exists()

    home.rebuild().run()
    home.require_upgraded()


def test_an_interruption_before_the_index_is_corrected_is_continued(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(TableRebuild, "outdated_days", lambda _self: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            home.rebuild().run()
    assert home.rebuild().outdated_days().keys() == home.closed().keys()

    home.rebuild().run()
    home.require_upgraded()


def test_a_table_that_a_former_version_wrote_after_an_interruption_is_built_too(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_arguments: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(TableRebuild, "_replace", killed)
        with pytest.raises(Killed):
            home.rebuild().run()
    assert home.rebuild().is_interrupted
    next_day = max(home.expected) + timedelta(days=1)
    write_former_table(home.tables, next_day, former_table(next_day, {}))

    built: list[date] = []
    home.rebuild().run(built.append)

    assert built == [next_day]
    assert {day: table_id for day, table_id in home.stored().items() if day != next_day} == home.expected
    assert (home.rebuild().former_tables(), home.rebuild().is_interrupted) == ([], False)


def test_an_error_while_tables_are_built_leaves_everything_as_it_was(home: Home) -> None:
    before, closed = home.files(), home.closed()

    def fail(day: date) -> None:
        if day == list(home.expected)[3]:
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        home.rebuild().run(fail)
    assert (home.files(), home.closed()) == (before, closed)


def test_without_the_transactions_nothing_is_changed_and_the_archive_is_named(home: Home, tmp_path: Path) -> None:
    archive_world(tmp_path / "later", structs.replace(WORLD, first_day=date(2025, 3, 1)), days=1, partitions=2)
    shutil.rmtree(home.folder / "archive")
    (tmp_path / "later" / "archive").rename(home.folder / "archive")
    before = home.files()
    with pytest.raises(CardwatchError, match=r"has no transactions before 2025-01-07, of which .*restore the archive"):
        home.rebuild().run()
    assert home.files() == before


def test_a_day_that_has_a_table_of_this_version_keeps_it(home: Home) -> None:
    """The archive of this version ran before the upgrade: workers may have used its table."""
    day = list(home.expected)[-1]
    own = ReferenceTable((day - date(1970, 1, 1)).days)
    ReferenceTableStore(home.tables).put(own)
    home.rebuild().run()
    assert home.stored() == {**home.expected, day: own.table_id}


def test_a_former_table_is_refused_with_the_remedy_and_stays_resolvable(home: Home) -> None:
    day, table_id = next(iter(home.former.items()))
    store = ReferenceTableStore(home.tables)
    with pytest.raises(FormerTable, match="table of another version of Cardwatch: run `cardwatch upgrade`"):
        store.newest(day)

    home.rebuild().run()

    assert store.former_days() == {table_id: day for day, table_id in home.former.items()}
    with pytest.raises(FormerTable, match=f"{FORMER_FOLDER}/{day}-{table_id}.table"):
        store.get(table_id)


def test_a_damaged_table_is_not_taken_for_one_of_a_former_version(home: Home) -> None:
    path = next(home.tables.glob("*.table"))
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    before = home.files()
    with pytest.raises(CorruptTable, match="restore it from a copy, or remove it") as raised:
        home.rebuild().run()
    assert not isinstance(raised.value, FormerTable)
    assert home.files() == before
    assert not (home.tables / FINISHED_FOLDER).exists()
