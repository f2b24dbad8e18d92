"""Folders that appear only when they are complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.runtime.files import atomic_folder
from cardwatch.errors import Misconfigured


def test_a_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "new" / "out") as folder:
        (folder / "part").write_text("content")
        assert not (tmp_path / "new" / "out").exists()
    assert (tmp_path / "new" / "out" / "part").read_text() == "content"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out"]


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "out") as folder:
        (folder / "part").write_text("content")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_an_error_about_another_file_names_that_file(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as refused, atomic_folder(tmp_path / "out"):
        (tmp_path / "missing.parquet").read_bytes()
    assert str(refused.value) == f"{tmp_path / 'missing.parquet'}: No such file or directory"
    assert list(tmp_path.iterdir()) == []


def test_an_error_about_a_file_of_its_own_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as refused, atomic_folder(tmp_path / "out") as folder:
        (folder / "missing" / "part").write_text("content")
    assert str(refused.value) == f"{tmp_path / 'out'} cannot be completed: No such file or directory"
    with pytest.raises(Misconfigured) as refused, atomic_folder(tmp_path / "out"):
        raise OSError("the disk is full")
    assert str(refused.value) == f"{tmp_path / 'out'} cannot be completed: the disk is full"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="out cannot be completed: Directory not empty"):  # noqa: SIM117
        with atomic_folder(tmp_path / "out"):
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "mine").write_text("precious")
    assert (tmp_path / "out" / "mine").read_text() == "precious"


def test_a_link_to_an_empty_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    with atomic_folder(tmp_path / "link") as folder:
        (folder / "part").write_text("content")
    assert (tmp_path / "empty" / "part").read_text() == "content"


def test_the_current_folder_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Misconfigured, match="cannot be replaced; name a new folder"), atomic_folder(Path()):
        pytest.fail("the work began")
