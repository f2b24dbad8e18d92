"""Files that are written atomically."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree

from cardwatch.errors import Misconfigured


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary file that replaces `path` when the block succeeds, and is removed when it fails.

    Readers never see an incomplete file, not even after a crash. Missing folders are created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically. Missing folders are created."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def atomic_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `out`, which becomes `out` at the end and is deleted after an error.

    Links are followed. Raises `Misconfigured`, before anything is written, if `out` exists and is not an empty folder,
    or could not be replaced at the end, and where it cannot be written. An `OSError` of the block becomes a
    `Misconfigured` too: with the name of its own file if that lies elsewhere, such as one that was read.
    """
    target = out.resolve()
    if target == Path.cwd() or target.is_mount():
        raise Misconfigured(f"{out} is in use as a folder and cannot be replaced; name a new folder")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Misconfigured(f"{out} exists and is not empty; name another folder, or remove it")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except OSError as error:
        raise Misconfigured(f"{out} cannot be created: {error}") from error
    try:
        yield folder
        folder.chmod(0o755)
        folder.replace(target)
    except OSError as error:
        if (name := _other_file(error, folder)) is not None:
            raise Misconfigured(f"{name}: {error.strerror}") from error
        raise Misconfigured(f"{out} cannot be completed: {error.strerror or error}") from error
    finally:
        rmtree(folder, ignore_errors=True)


def _other_file(error: OSError, folder: Path) -> str | None:
    """Return the name of the error's file, None if it has none or if the file is in `folder`."""
    if not isinstance(error.filename, str | bytes | os.PathLike):
        return None
    name = os.fsdecode(error.filename)
    return None if Path(name).absolute().is_relative_to(folder) else name


def read_folder(folder: Path) -> dict[str, bytes]:
    """Return the contents of the files directly in `folder`, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
