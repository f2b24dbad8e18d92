"""Everything in a folder, to see whether a command has written anything."""

from __future__ import annotations

from pathlib import Path

SMALL_BYTES = 1 << 24
"""Larger files are compared by time and size only: a store of card states is a sparse file of 16 GB."""


def contents(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return every file and folder below `folder`: the time of its last change (ns), its size, and its bytes."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        status = path.stat()
        data = path.read_bytes() if path.is_file() and status.st_size <= SMALL_BYTES else b""
        found[str(path.relative_to(folder))] = status.st_mtime_ns, status.st_size, data
    return found
