"""`cardwatch logs`: the logs of the stack's processes."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import BinaryIO, Final

import click

from adapters.local_stack.stack_home import StackHome
from adapters.runtime.settings import read_settings
from cardwatch.errors import CardwatchError, Misconfigured
from cli.stack.addresses import relative

POLL_SECONDS: Final = 0.2


@click.command()
@click.argument("names", nargs=-1)
@click.option("-f", "--follow", is_flag=True, help="Follow the logs until Ctrl-C.")
@click.option("-n", "--lines", default=20, type=click.IntRange(0, 1_000_000), help="Number of last lines to show.")
def logs(names: tuple[str, ...], lines: int, *, follow: bool) -> None:
    """Show the last lines of the logs of NAMES (see `cardwatch ps`), or of all logs."""
    folder = StackHome(read_settings()).logs
    selected = _select(folder, names)
    width = max(len(name) for name in selected)
    with ExitStack() as opened, suppress(KeyboardInterrupt):
        tails = [
            opened.enter_context(closing(Tail(folder / f"{name}.log", f"{name:<{width}} | "))) for name in selected
        ]
        for tail in tails:
            tail.show_last(lines)
        while follow:
            for tail in tails:
                tail.show_new()
            time.sleep(POLL_SECONDS)


class Tail:
    """The end of one log; each line is printed after `prefix`."""

    def __init__(self, file: Path, prefix: str) -> None:
        self._file, self._prefix = file, prefix
        self._opened: BinaryIO | None = None
        self._partial_line = b""

    def show_last(self, count: int) -> None:
        """Print the last `count` complete lines; `show_new` prints later ones."""
        self._open()
        if self._opened is not None:
            self._show(deque(self._complete_lines(self._opened.read()), maxlen=count))

    def show_new(self) -> None:
        """Print the lines written since the last call; a log that was rotated is read from its beginning."""
        if self._opened is None or self._is_rotated(self._opened):
            self._open()
        if self._opened is not None:
            self._show(self._complete_lines(self._opened.read()))

    def close(self) -> None:
        """Close the file."""
        if self._opened is not None:
            self._opened.close()
        self._opened, self._partial_line = None, b""

    def _open(self) -> None:
        if self._opened is not None:
            self._show(self._complete_lines(self._opened.read()))
        self.close()
        with suppress(FileNotFoundError):
            self._opened = self._file.open("rb")

    def _is_rotated(self, opened: BinaryIO) -> bool:
        try:
            return not os.path.samestat(self._file.stat(), os.fstat(opened.fileno()))
        except FileNotFoundError:
            return False

    def _complete_lines(self, new: bytes) -> list[bytes]:
        *complete, self._partial_line = (self._partial_line + new).split(b"\n")
        return complete

    def _show(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            click.echo(self._prefix + line.decode(errors="replace"))


def _select(folder: Path, names: Sequence[str]) -> list[str]:
    available = sorted(file.stem for file in folder.glob("*.log"))
    if not available:
        raise CardwatchError(f"there are no logs in {relative(folder)}; `cardwatch up` starts a stack")
    if unknown := [name for name in names if name not in available]:
        raise Misconfigured(f"there is no log of {unknown[0]!r}, only of {', '.join(available)}")
    return list(names) or available
