"""Fixtures of the archive's tests."""

from pathlib import Path

import pytest

from tests.unit.services.archive.harness import ArchiverHarness


@pytest.fixture
def harness(tmp_path: Path) -> ArchiverHarness:
    return ArchiverHarness(tmp_path)
