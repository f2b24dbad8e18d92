"""A replay of a demo: the page of the console with the recorded run inside, one file that opens without a network.

The recording and the texts of the tour are JSON, gzip and base64, in data blocks of the page; the browser's
`DecompressionStream` opens them. The policy of the file allows its own script and style, and no connection at all.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct, structs

from cardwatch.errors import CardwatchError
from cardwatch.live.frames import DecisionsFrame, EventFrame, EventKind, Frame, LiveFrame, SystemState
from cardwatch.live.page_policy import content_policy
from cli.demo.plan import CHANGE_TEXT
from cli.demo.recorded_decisions import Position, RecordedDecisions
from cli.demo.summary import DemoSummary
from cli.demo.table import headings, headline, loop_figures, money_figures, phase_rows, stream_figures

REPLAY_NAME: Final = "replay.html"
FORMAT: Final = 1
LEAD_MS: Final = 5_000.0
"""Time before the first decision with which a replay begins."""

_HEAD: Final = b"<head>"
_BODY_END: Final = b"</body>"


class ResultTable(Struct, frozen=True, kw_only=True):
    """The result of the demo as its report words it.

    `money`: name, value and basis. `checks`: whether each has passed, and its sentence. `rows`: name and a cell per
    phase. `figures`: name and value.
    """

    headline: str
    closed: bool
    money: list[tuple[str, str, str]]
    checks: list[tuple[bool, str]]
    headings: list[str]
    rows: list[tuple[str, list[str]]]
    figures: list[tuple[str, str]]


class Recording(Struct, frozen=True, kw_only=True):
    """What a replay holds. `format` changes when a page of before could not read it any more."""

    format: int
    title: str
    frames: list[Frame]
    decisions: RecordedDecisions
    result: ResultTable
    summary: DemoSummary


def result_table(summary: DemoSummary) -> ResultTable:
    """Return the result in the words of the report."""
    facts = summary.facts
    figures = loop_figures(facts) | stream_figures(summary.timings, facts.plan.offered_rate)
    return ResultTable(
        headline=headline(summary),
        closed=facts.closed,
        money=[(figure.name, figure.value, figure.basis) for figure in money_figures(facts)],
        checks=[(check.passed, check.sentence) for check in facts.checks],
        headings=headings(facts),
        rows=[(row.name, row.cells) for row in phase_rows(facts)],
        figures=list(figures.items()),
    )


def read_frames(recording: Path) -> list[Frame]:
    """Return the frames of a recording in their order.

    An incomplete last line, which the console is writing, is left out. Raises `CardwatchError` for a file that is no
    recording.
    """
    decoder = msgspec.json.Decoder(Frame)
    lines = recording.read_bytes().splitlines(keepends=True)
    try:
        return [decoder.decode(line) for line in lines if line.endswith(b"\n")]
    except msgspec.DecodeError as error:
        raise CardwatchError(f"{recording} is no recording of a console: {error}") from error


def last_state(frames: Sequence[Frame]) -> LiveFrame | None:
    """Return the newest state of the system, None if there is none."""
    return next((frame for frame in reversed(frames) if isinstance(frame, LiveFrame)), None)


def recorded_positions(frames: Iterable[Frame]) -> Iterator[Position]:
    """Yield the positions of the decisions that a recording holds."""
    for frame in frames:
        if isinstance(frame, DecisionsFrame):
            yield from ((line.partition, line.offset) for line in frame.lines)


def for_replay(frames: Sequence[Frame], change_day: date | None) -> list[Frame]:
    """Return the frames as a replay shows them.

    It begins shortly before the first decision; events of before are kept. The day of the change, which only the
    demo's plan knows, becomes an event. No process of a recording can be touched.
    """
    states = [frame for frame in frames if isinstance(frame, LiveFrame)]
    first = next((frame.at_ms for frame in states if frame.totals.decisions), 0.0)
    kept: list[Frame] = []
    number, is_changed = 0, change_day is None
    for frame in frames:
        if isinstance(frame, LiveFrame):
            if frame.at_ms < first - LEAD_MS:
                continue
            kept.append(_untouchable(frame))
            if not is_changed and frame.day is not None and change_day is not None and frame.day >= change_day:
                is_changed = True
                kept.append(
                    EventFrame(
                        number=number, at_ms=frame.at_ms, kind=EventKind.CHANGE, day=change_day, text=CHANGE_TEXT
                    )
                )
                number += 1
        elif isinstance(frame, EventFrame):
            kept.append(structs.replace(frame, number=number))
            number += 1
        else:
            kept.append(frame)
    return kept


def embed(page: bytes, recording: object, tour: bytes | None = None) -> bytes:
    """Return the console's page with the recording inside, and the texts of the tour if there are any.

    Raises `CardwatchError` for a page that is not complete.
    """
    if _HEAD not in page or _BODY_END not in page:
        raise CardwatchError("the page of the console has no <head> or no </body>: build it again")
    policy = content_policy(page, connects="'none'").encode()
    meta = b'<meta http-equiv="Content-Security-Policy" content="' + policy + b'">'
    data = _data_block(b"recording", msgspec.json.encode(recording))
    if tour is not None:
        data += _data_block(b"tour", tour)
    head, _, rest = page.partition(_HEAD)
    body, _, end = rest.rpartition(_BODY_END)
    return head + _HEAD + meta + body + data + _BODY_END + end


def _data_block(name: bytes, content: bytes) -> bytes:
    packed = base64.b64encode(gzip.compress(content, mtime=0))
    return b'<script type="application/octet-stream" id="' + name + b'">' + packed + b"</script>"


def _untouchable(frame: LiveFrame) -> LiveFrame:
    boxes = [structs.replace(box, actions=[], commands={}, pid=None, address="") for box in frame.boxes]
    states = [state for state in frame.states if state is not SystemState.RECORDING]
    return structs.replace(frame, boxes=boxes, states=states)
