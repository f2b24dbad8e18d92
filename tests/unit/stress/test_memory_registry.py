from __future__ import annotations

import pytest

from cardwatch.errors import CorruptModel, NoChampion
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.registry import CHALLENGER, CHAMPION, digest_of
from stress.memory_registry import MemoryRegistry

FILES = {"detector.json": b"{}", "trees.npz": b"\x00"}


def test_a_promoted_version_is_champion_and_a_refused_one_only_challenger() -> None:
    registry = MemoryRegistry()
    with pytest.raises(NoChampion):
        registry.champion()
    first = registry.register(FILES, {"verdict": "promoted"}, promoted=True)
    second = registry.register(FILES, {"verdict": "refused"}, promoted=False)
    assert (first.version, second.version) == ("1", "2")
    assert registry.champion() == registry.alias(CHAMPION) == first
    assert registry.alias(CHALLENGER) == registry.version("2") == second
    assert registry.version("3") is None


def test_a_version_has_the_digest_of_its_files_and_other_files_are_refused() -> None:
    registry = MemoryRegistry()
    version = registry.register(FILES, {}, promoted=True)
    assert (version.digest, version.schema_hash) == (digest_of(FILES), SCHEMA_HASH)
    assert registry.files(version) == registry.files_of("1") == FILES
    registry.files(version)["trees.npz"] = b"other"
    with pytest.raises(CorruptModel, match="version 1"):
        registry.files(version)


def test_what_is_registered_in_a_branch_is_not_in_the_trunk() -> None:
    trunk = MemoryRegistry()
    trunk.register(FILES, {}, promoted=True)
    branch = trunk.branch()
    branch.register(FILES, {}, promoted=True)
    assert branch.champion().version == "2"
    assert trunk.champion().version == "1"
    assert trunk.version("2") is None
