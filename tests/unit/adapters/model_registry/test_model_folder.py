"""A model in a folder and as an archive: it comes back as it was, or not at all."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from adapters.model_registry import model_folder
from adapters.model_registry.model_folder import (
    MAX_MODEL_BYTES,
    VERSION_FILE,
    ModelFolder,
    pack_model,
    unpack_model,
    write_model,
)
from cardwatch.errors import CorruptModel, NoChampion
from cardwatch.features.definitions import FEATURES, SCHEMA_HASH
from cardwatch.registry import CHAMPION, ModelVersion, digest_of
from models.training import FittedDetector, TrainingSettings, fit_detector
from services.scoring.model.manager import ModelManager

FILES = {"model.ubj": b"\x00\x01" * 500, "trees.bin": b"", "detector.json": b"{}"}


def version_of(files: dict[str, bytes], number: str = "7") -> ModelVersion:
    tags = {"digest": digest_of(files), "schema_hash": SCHEMA_HASH, "fingerprint": "f"}
    return ModelVersion(version=number, run_id="run-1", tags=tags)


VERSION = version_of(FILES)


def read_model(folder: Path) -> tuple[ModelVersion, dict[str, bytes]]:
    """Read version and files as a scoring container does."""
    source = ModelFolder(folder)
    aliases = source.aliases().versions
    if CHAMPION not in aliases:
        raise source.no_champion()
    version = source.version(aliases[CHAMPION])
    assert version is not None
    return version, source.files(version)


# In a folder


def test_a_model_comes_back_as_it_was_written(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "model"
    write_model(folder, VERSION, FILES)
    assert read_model(folder) == (VERSION, FILES)
    assert {file.name for file in folder.iterdir()} == {*FILES, "version.json"}


def test_a_folder_on_the_side_is_no_part_of_the_model(tmp_path: Path) -> None:
    write_model(tmp_path, VERSION, FILES)
    (tmp_path / "lost+found").mkdir()
    assert read_model(tmp_path) == (VERSION, FILES)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "model.ubj").write_bytes(b"\x00\x01" * 499 + b"\x00\x00"),
        lambda folder: (folder / "trees.bin").unlink(),
        lambda folder: (folder / "trees.bin").rename(folder / "trees2.bin"),
        lambda folder: (folder / "added").touch(),
        lambda folder: (folder / VERSION_FILE).write_bytes(msgspec.json.encode(version_of({**FILES, "a": b""}))),
        lambda folder: (folder / VERSION_FILE).write_bytes(b'{"version": "7", "run_id": "", "tags": {}}'),
        lambda folder: (folder / VERSION_FILE).write_bytes(b'{"version": "7"}'),
        lambda folder: (folder / VERSION_FILE).write_bytes(b""),
        lambda folder: (folder / VERSION_FILE).write_bytes(b"\xff"),
    ],
)
def test_a_model_with_any_damage_is_refused(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    write_model(tmp_path, VERSION, FILES)
    damage(tmp_path)
    with pytest.raises(CorruptModel, match=str(tmp_path)):
        read_model(tmp_path)


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_where_there_is_no_model_that_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoChampion, match=f"{name} holds no model: there is no version.json in it"):
        read_model(tmp_path / name)


def test_what_is_no_folder_is_a_corrupt_model(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CorruptModel, match="cannot be read"):
        read_model(tmp_path / "file")
    with pytest.raises(CorruptModel, match="cannot be read"):
        ModelFolder(tmp_path / "file").aliases()


@pytest.mark.parametrize("name", ["version.json", "a/b", "../a", "/a", "..", ".", ""])
def test_no_file_of_a_model_is_written_beside_it_or_over_its_version(tmp_path: Path, name: str) -> None:
    files = {name: b""}
    for write in (
        lambda: write_model(tmp_path / "model", version_of(files), files),
        lambda: pack_model(VERSION, files),
    ):
        with pytest.raises(CorruptModel, match="no file of the name"):
            write()
    assert list(tmp_path.iterdir()) == []


def test_nobody_writes_what_nobody_could_read(tmp_path: Path) -> None:
    other = version_of({**FILES, "more": b""})
    with pytest.raises(CorruptModel, match=other.digest):
        write_model(tmp_path / "model", other, FILES)
    with pytest.raises(CorruptModel, match=other.digest):
        pack_model(other, FILES)
    assert list(tmp_path.iterdir()) == []


# As an archive


def test_an_archive_holds_the_model_and_is_the_same_bytes_every_time() -> None:
    packed = pack_model(VERSION, FILES)
    assert packed == pack_model(VERSION, dict(reversed(FILES.items())))
    assert unpack_model(packed) == (VERSION, FILES)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        entries = archive.getmembers()
    assert [entry.name for entry in entries] == sorted([*FILES, "version.json"])
    assert {(entry.mtime, entry.uid, entry.uname, entry.mode) for entry in entries} == {(0, 0, "", 0o644)}


def test_an_archive_of_a_whole_folder_as_sagemaker_makes_it_is_read_as_well(tmp_path: Path) -> None:
    write_model(tmp_path, VERSION, FILES)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        archive.add(tmp_path, arcname=".")
    assert unpack_model(packed.getvalue()) == (VERSION, FILES)


def archived(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """An archive of a model, and these in addition."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in {**FILES, "version.json": msgspec.json.encode(VERSION)}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for entry, content in entries:
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def entry_of(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry, b""


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (entry_of("../outside"), "no regular file at its top level"),
        (entry_of("/etc/outside"), "no regular file at its top level"),
        (entry_of("a/../../outside"), "no regular file at its top level"),
        (entry_of("inside/deep"), "no regular file at its top level"),
        (entry_of("inside", tarfile.DIRTYPE), "no regular file at its top level"),
        (entry_of("link", tarfile.SYMTYPE, "model.ubj"), "no regular file at its top level"),
        (entry_of("link", tarfile.LNKTYPE, "model.ubj"), "no regular file at its top level"),
        (entry_of("pipe", tarfile.FIFOTYPE), "no regular file at its top level"),
        (entry_of("device", tarfile.CHRTYPE), "no regular file at its top level"),
        (entry_of("./model.ubj"), "'model.ubj' twice"),
        (entry_of("added"), "files were changed, added or lost"),
    ],
)
def test_an_archive_with_anything_but_the_models_files_is_refused(
    entry: tuple[tarfile.TarInfo, bytes], reason: str
) -> None:
    assert unpack_model(archived()) == (VERSION, FILES)
    with pytest.raises(CorruptModel, match=reason):
        unpack_model(archived(entry))


def test_an_archive_without_a_version_is_no_model() -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz"):
        pass
    with pytest.raises(CorruptModel, match=r"has no version\.json"):
        unpack_model(packed.getvalue())


def test_an_archive_that_grows_without_end_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_folder, "MAX_MODEL_BYTES", 20_000)
    assert unpack_model(pack_model(VERSION, FILES)) == (VERSION, FILES)
    files = {"trees.bin": bytes(40_000)}
    with pytest.raises(CorruptModel, match="more than 20,000 bytes"):
        unpack_model(pack_model(version_of(files), files))
    assert MAX_MODEL_BYTES > 100_000_000


def test_whatever_happens_to_an_archive_the_model_comes_out_as_it_was_or_not_at_all() -> None:
    packed = pack_model(VERSION, FILES)
    refused = 0
    for damaged in (
        *(packed[:length] for length in range(len(packed))),
        *(packed[:place] + bytes([packed[place] ^ 0x10]) + packed[place + 1 :] for place in range(len(packed))),
        b"not an archive",
        gzip.compress(b"not an archive"),
    ):
        try:
            assert unpack_model(damaged) == (VERSION, FILES)  # bits of the time in the head, or beyond the last block
        except CorruptModel:
            refused += 1
    assert refused > 2 * len(packed) - 20


# As a source of models


@pytest.fixture(scope="module")
def fitted() -> FittedDetector:
    features = np.random.default_rng(1).normal(size=(300, len(FEATURES))).astype(np.float32)
    is_fraud = features[:, 6] > 0.5
    return fit_detector(
        features[:200],
        is_fraud[:200],
        calibration_features=features[200:],
        calibration_is_fraud=is_fraud[200:],
        settings=TrainingSettings(trees=3, depth=2, features_per_tree=1.0, max_bin=16, threads=1),
    )


def test_the_one_model_is_the_champion(tmp_path: Path) -> None:
    source = ModelFolder(tmp_path)
    assert source.aliases().versions == {}
    assert "there is no version.json" in str(source.no_champion())
    write_model(tmp_path, VERSION, FILES)
    assert source.aliases().versions == {CHAMPION: "7"}
    assert source.version("7") == VERSION
    assert source.version("6") is None
    assert source.files(VERSION) == FILES


def test_a_folders_model_is_served_and_a_later_one_takes_its_place(tmp_path: Path, fitted: FittedDetector) -> None:
    swaps: list[tuple[str, str]] = []
    manager = ModelManager(ModelFolder(tmp_path), None, on_swap=lambda role, version: swaps.append((role, version)))
    manager.refresh()
    assert manager.served.champion is None
    assert "holds no model" in manager.unavailable_reason()
    for number in ("1", "2"):
        write_model(tmp_path, version_of(fitted.files, number), fitted.files)
        manager.refresh()
        assert (manager.status().version, manager.status().problem) == (number, None)
    assert swaps == [(CHAMPION, "1"), (CHAMPION, "2")]


def test_a_wrong_digest_is_not_served_whatever_was_served_before(tmp_path: Path, fitted: FittedDetector) -> None:
    write_model(tmp_path, version_of(fitted.files, "1"), fitted.files)
    ModelManager(ModelFolder(tmp_path), None).refresh()
    (tmp_path / "trees.bin").write_bytes(fitted.files["trees.bin"] + b"\x00")
    after = ModelManager(ModelFolder(tmp_path), None)
    after.refresh()
    assert after.served.champion is None
    assert "files were changed, added or lost" in after.unavailable_reason()
    (tmp_path / "trees.bin").write_bytes(fitted.files["trees.bin"])
    after.refresh(retry_refused=True)
    assert after.status().version == "1"


def test_a_model_of_another_schema_is_not_served(tmp_path: Path, fitted: FittedDetector) -> None:
    facts = fitted.files["detector.json"].replace(SCHEMA_HASH.encode(), b"0" * len(SCHEMA_HASH))
    files = {**fitted.files, "detector.json": facts}
    write_model(tmp_path, version_of(files), files)
    manager = ModelManager(ModelFolder(tmp_path), None)
    manager.refresh()
    assert manager.served.champion is None
    assert "run `cardwatch upgrade`" in manager.unavailable_reason()


def test_a_damaged_model_leaves_the_former_one_in_place(tmp_path: Path, fitted: FittedDetector) -> None:
    write_model(tmp_path, version_of(fitted.files, "1"), fitted.files)
    manager = ModelManager(ModelFolder(tmp_path), None)
    manager.refresh()
    (tmp_path / VERSION_FILE).write_bytes(b"{")
    manager.refresh()
    assert (manager.status().version, "cannot be read" in str(manager.status().problem)) == ("1", True)
    (tmp_path / VERSION_FILE).write_bytes(msgspec.json.encode(version_of(FILES, "2")))
    manager.refresh()
    refused = manager.status().refused
    assert (manager.status().version, refused and refused.version) == ("1", "2")
