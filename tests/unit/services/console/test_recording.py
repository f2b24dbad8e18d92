"""What the console records of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from cardwatch.live.frames import DecisionLine, DecisionsFrame, EventFrame, EventKind, Frame, LiveFrame, MomentFrame
from cli.demo.replay import read_frames
from services.console.recording import APPROVALS_PER_LINE, LIVE_FRAME_MS, RunRecording
from tests.frames import live, payment_line, traffic


def recorded(file: Path) -> list[Frame]:
    return read_frames(file)


def lines_of(frames: list[Frame]) -> list[DecisionLine]:
    return [line for frame in frames if isinstance(frame, DecisionsFrame) for line in frame.lines]


def test_all_alerts_and_one_approval_in_fifty_are_recorded(tmp_path: Path) -> None:
    file = tmp_path / "run" / "recording.jsonl"
    with RunRecording(file) as recording:
        for number in range(2 * APPROVALS_PER_LINE):
            recording.decided(payment_line(number, "approve"))
        recording.decided(payment_line(1_000, "decline"))
        recording.decided(payment_line(1_001, "challenge"))
        recording.write(live(at_ms=0.0), [])
    frames = recorded(file)
    assert [line.offset for line in lines_of(frames)] == [0, APPROVALS_PER_LINE, 1_000, 1_001]
    assert [frame.skipped for frame in frames if isinstance(frame, DecisionsFrame)] == [2 * APPROVALS_PER_LINE - 2]


def test_the_state_is_recorded_twice_a_second_and_with_every_event(tmp_path: Path) -> None:
    event = EventFrame(number=0, at_ms=1_100.0, kind=EventKind.DRIFT, day=None, text="v1 has decayed")
    with RunRecording(tmp_path / "recording.jsonl") as recording:
        for step in range(8):
            frames: list[Frame] = [event] if step == 3 else []
            recording.write(live(at_ms=1_000.0 + step * LIVE_FRAME_MS / 2), frames)
    told = recorded(tmp_path / "recording.jsonl")
    assert [frame.at_ms for frame in told if isinstance(frame, LiveFrame)] == [1_000, 1_500, 1_750, 2_250, 2_750]
    assert told[3] == event  # after the state of its moment


def test_what_a_page_needs_for_its_charts_is_not_recorded(tmp_path: Path) -> None:
    with RunRecording(tmp_path / "recording.jsonl") as recording:
        recording.write(live(at_ms=0.0), [MomentFrame(at_ms=0.0, traffic=traffic())])
        recording.write(live(at_ms=1.0), [DecisionsFrame(lines=[payment_line(1, "approve")])])
    assert [type(frame) for frame in recorded(tmp_path / "recording.jsonl")] == [LiveFrame]


def test_a_recording_that_cannot_be_written_ends_and_the_console_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with RunRecording(tmp_path / "recording.jsonl") as recording:
        recording._output.close()
        recording.write(live(at_ms=0.0), [])
        recording.write(live(at_ms=10_000.0), [])
    [told] = caplog.messages
    assert "recording.jsonl" in told
