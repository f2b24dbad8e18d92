"""The files that an evaluation writes: checked before minutes are spent, and complete or not there at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from adapters.runtime.addresses import is_unicode
from adapters.runtime.files import atomic_path
from cardwatch.errors import Misconfigured


def check_outputs(inputs: Mapping[str, Path | None], outputs: Mapping[str, Path | None]) -> None:
    """Raise `Misconfigured` unless every output can be written and overwrites neither an input nor another output.

    `inputs`: what a file is, such as `the data`; `outputs`: its option. None is a file that is not wanted.
    """
    for name, given in [*inputs.items(), *outputs.items()]:
        if given is not None and not is_unicode(str(given)):  # the libraries of Parquet and JSON refuse it
            raise Misconfigured(f"{name} {str(given)!r}: the name is not UTF-8; choose or link another one")
    wanted = [(option, path) for option, path in outputs.items() if path is not None]
    for place, (option, path) in enumerate(wanted):
        for meaning, given in inputs.items():
            if given is not None and _is_same(path, given):
                raise Misconfigured(f"{option} {path} would overwrite {meaning}")
        for other_option, other in wanted[:place]:
            if _is_same(path, other):
                raise Misconfigured(f"{option} {path} would overwrite {other_option}; choose another file")
        if not path.parent.is_dir():
            raise Misconfigured(f"{option} {path}: there is no folder {path.parent}")
        if not os.access(path.parent, os.W_OK):
            raise Misconfigured(f"{option} {path}: the folder {path.parent} cannot be written to")


@contextmanager
def writing(option: str, path: Path) -> Iterator[Path]:
    """Yield the place to write to; the file appears at `path` once it is complete. Its mode is that of any new file.

    A device or pipe is written to directly. Raises `Misconfigured` with the option if it cannot be written.
    """
    try:
        if path.exists() and not path.is_file():
            yield path
            return
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
        with atomic_path(path.resolve()) as temporary:  # a link stays a link
            yield temporary
            temporary.chmod(mode)
    except OSError as error:
        raise Misconfigured(f"{option} {path}: cannot be written: {error.strerror or error}") from error


def _is_same(one: Path, other: Path) -> bool:
    if one.exists() and other.exists():
        return one.samefile(other) and one.is_file()  # two outputs may go to /dev/null
    return one.resolve() == other.resolve()


def _umask() -> int:
    """It can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
