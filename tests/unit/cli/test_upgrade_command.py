"""`cardwatch upgrade` on data without a champion: what it says, what it changes, and when it refuses."""

from __future__ import annotations

import os
import shutil
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from adapters.archive.reader import Archive
from adapters.archive.reference_tables import FORMER_FOLDER, ReferenceTableStore
from adapters.feature_store.lmdb import LmdbStore
from adapters.local_stack.process_record import StackRecord
from adapters.local_stack.process_tree import ProcessIdentity
from cardwatch.simulation.settings import SimulationSettings
from cli.main import main
from tests.archived_world import archive_world
from tests.folder_contents import contents
from tests.former_version import make_states_former, make_tables_former

NOTHING = ["reference tables: nothing to do", "card states: nothing to do", "model: nothing to do"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    archive_world(folder, SimulationSettings(seed=3, cards=60, fraud_share=0.05), days=2, partitions=1)
    make_tables_former(folder / "tables", folder / "archive")
    make_states_former(folder / "store", {0: Archive(folder / "archive").positions("transactions")[0]}, partitions=1)
    return folder


@pytest.fixture
def home(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """CARDWATCH_HOME, with the data of a stack of `cardwatch up`."""
    for name in ("archive", "tables"):
        shutil.copytree(prepared / name, tmp_path / "stack" / name)
    make_states_former(
        tmp_path / "stack" / "store", {0: Archive(prepared / "archive").positions("transactions")[0]}, partitions=1
    )
    monkeypatch.setenv("CARDWATCH_HOME", str(tmp_path))
    return tmp_path


def upgrade(*options: str) -> Result:
    return CliRunner().invoke(main, ["upgrade", *options], catch_exceptions=False)


def test_check_says_what_would_be_done_and_writes_nothing(home: Path) -> None:
    (home / "stack" / "store" / "lock.mdb").unlink()  # in which LMDB would count its readers
    before = contents(home)
    result = upgrade("--check")
    assert (result.exit_code, result.stdout.splitlines()) == (
        0,
        [
            "reference tables: 2 of another version are built again from the archive",
            "card states: the archived log is folded again, because another version wrote them",
            "model: nothing to do",
        ],
    )
    assert contents(home) == before


def test_a_check_that_is_refused_writes_nothing(home: Path) -> None:
    shutil.rmtree(home / "stack" / "archive")
    before = contents(home)
    assert upgrade("--check").exit_code == 1
    assert contents(home) == before


def test_it_brings_tables_and_states_to_this_version_and_a_second_run_finds_nothing(home: Path) -> None:
    result = upgrade()
    assert result.exit_code == 0, result.output
    stack = home / "stack"
    assert result.stdout.splitlines()[3:] == [
        f"the reference tables are of this version; the former ones are kept in {stack / 'tables' / 'former'} for old "
        "decisions",
        f"the card states in {stack / 'store'} are folded again",
        "the data are of this version; `cardwatch up` continues with them",
    ]
    tables = ReferenceTableStore(stack / "tables")
    assert [table.valid_from.date() for table in tables.all()] == [date(2025, 1, 7), date(2025, 1, 8)]
    assert len(tables.former_days()) == 2
    archive = Archive(stack / "archive")
    assert list(archive.closed_days().values()) == [table.table_id for table in tables.all()]
    with LmdbStore(stack / "store", readonly=True) as store:
        assert store.applied(0) == archive.positions("transactions")[0]

    again = upgrade()
    assert (again.exit_code, again.stdout.splitlines()) == (0, NOTHING)


def test_data_directly_in_the_home_are_found(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Services that were started one by one keep their data there."""
    monkeypatch.setenv("CARDWATCH_HOME", str(home / "stack"))
    assert upgrade().exit_code == 0
    assert upgrade("--check").stdout.splitlines() == NOTHING


def test_a_running_stack_is_refused_with_the_remedy(home: Path) -> None:
    StackRecord(owner=ProcessIdentity.of(os.getpid())).write(home / "stack" / "stack.json")
    for options in ([], ["--check"]):
        result = upgrade(*options)
        assert result.exit_code == 2
        assert f"is running (process {os.getpid()}): stop it with `cardwatch down`" in result.stderr
    assert not (home / "stack" / "tables" / FORMER_FOLDER).exists()


def test_a_folder_without_data_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARDWATCH_HOME", str(tmp_path / "nowhere"))
    result = upgrade()
    assert result.exit_code == 2
    assert "nowhere' has no archive, tables or card states to upgrade" in result.stderr
    assert not (tmp_path / "nowhere").exists()


def test_a_registry_that_does_not_answer_is_named_before_anything_is_changed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARDWATCH_MLFLOW_URL", "http://127.0.0.1:1")
    result = upgrade()
    assert result.exit_code == 1
    assert "nothing answers at CARDWATCH_MLFLOW_URL=http://127.0.0.1:1: start it, or unset" in result.stderr
    assert not (home / "stack" / "tables" / FORMER_FOLDER).exists()


@pytest.mark.parametrize("options", [[], ["--check"]])
def test_tables_without_an_archive_to_build_them_from_are_refused_with_the_remedy(
    home: Path, options: list[str]
) -> None:
    shutil.rmtree(home / "stack" / "archive")
    result = upgrade(*options)
    assert result.exit_code == 1
    assert "2 reference tables are of another version, and there is no archive in" in result.stderr
    assert "restore the archive's files, and run `cardwatch upgrade` again" in result.stderr
    assert not (home / "stack" / "tables" / FORMER_FOLDER).exists()
