"""The demo on a terminal: a screen that is redrawn in place, or one plain line per event without a terminal."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.console import Console, RenderableType
from rich.live import Live

from cardwatch.live.frames import EventFrame
from cli.demo.screen import render
from cli.demo.snapshot import DemoSnapshot

_FRAMES_PER_SECOND: Final = 3
_POLL_SECONDS: Final = 0.2
_FONT_FACE: Final = re.compile(r"@font-face \{[^}]*\}\s*")
_FONTS: Final = "ui-monospace, SFMono-Regular, Menlo, Consolas, &quot;DejaVu Sans Mono&quot;, monospace"


class PlainView:
    """Writes each event once, as a line without control characters, while its context is open."""

    def __init__(self, snapshot: Callable[[], DemoSnapshot], write: Callable[[str], None]) -> None:
        self._snapshot = snapshot
        self._write = write
        self._written = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="view", daemon=True)

    def __enter__(self) -> PlainView:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._write_new()

    def _follow(self) -> None:
        while not self._stopping.wait(_POLL_SECONDS):
            self._write_new()

    def _write_new(self) -> None:
        events = self._snapshot().events
        for event in events[self._written :]:
            self._write(plain_line(event))
        self._written = len(events)


def open_view(snapshot: Callable[[], DemoSnapshot], console: Console) -> Live | PlainView:
    """The view that fits this console while its context is open: plain lines, or on a terminal the newest snapshot.

    On a terminal it is drawn in place and the last one is left standing. `snapshot` is called from a thread of rich.
    Whatever is printed on the same console appears above the screen.
    """
    if not console.is_terminal:
        return PlainView(snapshot, lambda line: print(line, file=console.file, flush=True))

    def draw() -> RenderableType:
        width, height = console.size
        return render(snapshot(), width, height - 1)

    return Live(
        get_renderable=draw,
        console=console,
        refresh_per_second=_FRAMES_PER_SECOND,
        vertical_overflow="crop",
        redirect_stderr=False,
    )


def plain_line(event: EventFrame) -> str:
    """The event as one line: simulated day, kind, text, details."""
    day = event.day.isoformat() if event.day else "-"
    return f"{day:<10}  {event.kind.value:<10}  {': '.join([event.text, '; '.join(event.details)]).removesuffix(': ')}"


def save_picture(renderable: RenderableType, path: Path, *, width: int = 100) -> None:
    """Draw on an invisible terminal of `width` columns and save it as a self-contained SVG."""
    console = Console(
        record=True,
        width=width,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
    )
    console.print(renderable)
    drawn = console.export_svg(title="cardwatch demo")
    path.write_text(_FONT_FACE.sub("", drawn).replace("Fira Code, monospace", _FONTS), encoding="utf-8")
