"""`cardwatch logs`: what the stack's processes have said."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import BinaryIO, Final

import click

from adapters.runtime.settings import read_settings
from cardwatch.errors import CardwatchError, Misconfigured
from cli.stack.places import short
from infra.local_stack.stack_home import StackHome

POLL_SECONDS: Final = 0.2


@click.command()
@click.argument("names", nargs=-1)
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C.")
@click.option("-n", "--lines", default=20, type=click.IntRange(min=0), show_default=True, help="The last so many.")
def logs(names: tuple[str, ...], lines: int, *, follow: bool) -> None:
    """Show the ends of the logs of NAMES (see `cardwatch ps`), or of all."""
    folder = StackHome(read_settings()).logs
    chosen = _choose(folder, names)
    width = max(len(name) for name in chosen)
    with ExitStack() as opened, suppress(KeyboardInterrupt):
        tails = [opened.enter_context(closing(Tail(folder / f"{name}.log", f"{name:<{width}} | "))) for name in chosen]
        for tail in tails:
            tail.show_last(lines)
        while follow:
            for tail in tails:
                tail.show_new()
            time.sleep(POLL_SECONDS)


class Tail:
    """The end of one log, shown line by line under its name."""

    def __init__(self, file: Path, title: str) -> None:
        self._file, self._title = file, title
        self._opened: BinaryIO | None = None
        self._half = b""

    def show_last(self, count: int) -> None:
        """Show the last `count` lines; what comes later is for `show_new`."""
        self._open()
        if self._opened is not None:
            self._show(deque(self._whole_lines(self._opened.read()), maxlen=count))

    def show_new(self) -> None:
        """Show what has come since; a log that was begun anew is read from its beginning."""
        if self._opened is None or self._is_another(self._opened):
            self._open()
        if self._opened is not None:
            self._show(self._whole_lines(self._opened.read()))

    def close(self) -> None:
        """Let go of the log."""
        if self._opened is not None:
            self._opened.close()
        self._opened, self._half = None, b""

    def _open(self) -> None:
        if self._opened is not None:
            self._show(self._whole_lines(self._opened.read()))
        self.close()
        with suppress(FileNotFoundError):
            self._opened = self._file.open("rb")

    def _is_another(self, opened: BinaryIO) -> bool:
        try:
            return not os.path.samestat(self._file.stat(), os.fstat(opened.fileno()))
        except FileNotFoundError:
            return False

    def _whole_lines(self, new: bytes) -> list[bytes]:
        *whole, self._half = (self._half + new).split(b"\n")
        return whole

    def _show(self, lines: Sequence[bytes] | deque[bytes]) -> None:
        for line in lines:
            click.echo(self._title + line.decode(errors="replace"))


def _choose(folder: Path, names: Sequence[str]) -> list[str]:
    there = sorted(file.stem for file in folder.glob("*.log"))
    if not there:
        raise CardwatchError(f"there are no logs in {short(folder)}; `cardwatch up` starts a stack")
    if unknown := [name for name in names if name not in there]:
        raise Misconfigured(f"there is no log of {unknown[0]!r}, only of {', '.join(there)}")
    return list(names) or there
