"""Cached machine code is used only while the sources that it was compiled from are the same."""

from __future__ import annotations

from pathlib import Path

import pytest

import cardwatch
from cardwatch import compiled
from cardwatch.decision import one_transaction
from cardwatch.features import kernel

PACKAGE = Path(cardwatch.__file__).parent


def stamp(dispatcher: object) -> str:
    function = dispatcher.py_func  # type: ignore[attr-defined]
    return compiled.KernelCacheLocator(function, function.__code__.co_filename).get_source_stamp()


def test_the_key_of_the_cache_covers_the_packages_of_all_functions_that_are_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiled, "sources_digest", lambda folder: f"<{folder.relative_to(PACKAGE)}>")
    assert stamp(kernel._fold) == "<features>"
    assert stamp(one_transaction._decide) == "<decision><detector><detector/trees><features>"
