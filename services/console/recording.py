"""Records a run for its replay: the frames that a page receives, one JSON document per line, in a file.

Pages receive a sample of the decisions that depends on the load. A replay holds every alert, and one approval in
`APPROVALS_PER_LINE`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from cardwatch.events import Action
from cardwatch.live.frames import DayFrame, DecisionLine, DecisionsFrame, EventFrame, Frame, LiveFrame

APPROVALS_PER_LINE: Final = 50
LIVE_FRAME_MS: Final = 500.0
"""Time between two recorded frames of the system's state."""


log = logging.getLogger(__name__)


class RunRecording:
    """Writes frames to `file`, which is replaced; usable by one thread. Each write is complete when it returns.

    If the file cannot be written, the recording ends, and the console goes on."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lines: list[DecisionLine] = []
        self._approvals = self._skipped = 0
        self._next_live_ms = 0.0
        self._has_failed = False

    def __enter__(self) -> Self:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._output = self._file.open("wb", buffering=0)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._output.close()

    def decided(self, line: DecisionLine) -> None:
        """Take one decision: it is kept if it is an alert or the turn of an approval."""
        is_approval = line.action == Action.APPROVE.value
        if is_approval:
            self._approvals += 1
        if is_approval and self._approvals % APPROVALS_PER_LINE != 1:
            self._skipped += 1
        else:
            self._lines.append(line)

    def write(self, live: LiveFrame, frames: Sequence[Frame]) -> None:
        """Write what is new at a moment: its state, at most every `LIVE_FRAME_MS`, then events, days and decisions."""
        kept: list[Frame] = [frame for frame in frames if isinstance(frame, EventFrame | DayFrame)]
        is_due = live.at_ms >= self._next_live_ms
        if is_due and (self._lines or self._skipped):
            kept.append(DecisionsFrame(lines=self._lines, skipped=self._skipped))
            self._lines, self._skipped = [], 0
        if is_due or kept:
            kept.insert(0, live)
            self._next_live_ms = live.at_ms + LIVE_FRAME_MS
        if kept and not self._has_failed:
            try:
                self._output.write(b"".join(msgspec.json.encode(frame) + b"\n" for frame in kept))
            except (OSError, ValueError) as error:
                self._has_failed = True
                log.error("%s cannot be written, so the recording ends here: %s", self._file, error)
