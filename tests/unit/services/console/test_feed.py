"""Frames: which decisions are shown, what the boxes say, and how pages receive them."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import msgspec
import pytest

from cardwatch.live.frames import BOXES, BoxState, DecisionLine, EventFrame, EventKind, Frame
from cardwatch.live.timeline import KEPT_EVENTS
from cardwatch.live.topic_state import TopicState
from services.console.boxes import ProcessObservation, boxes_of
from services.console.broadcast import QUEUE_LENGTH, Broadcaster
from services.console.feed import Feed, sample_lines
from services.console.metrics_pages import MetricsHistory, samples
from services.console.page_file import read_page
from services.console.process_events import ProcessEvents


def line(number: int, action: str = "approve") -> DecisionLine:
    return DecisionLine(
        partition=0, offset=number, transaction_id=f"t-{number}", card_id="c", occurred_at="", amount_minor=1,
        currency="EUR", channel="atm", action=action, probability=None, degraded=False, latency_ms=1.0, reasons=[],
    )  # fmt: skip


def observed(name: str, state: BoxState = BoxState.READY, pid: int | None = 7) -> ProcessObservation:
    return ProcessObservation(name=name, state=state, reason=None, pid=pid, restarts=1, address="http://x")


def event(number: int) -> EventFrame:
    return EventFrame(number=number, at_ms=0.0, kind=EventKind.LIVE, day=None, text="")


def test_all_lines_are_shown_if_there_are_few() -> None:
    lines = [line(number) for number in range(5)]
    assert sample_lines(lines, 5) == lines


def test_alerts_are_shown_before_approvals_and_the_order_is_kept() -> None:
    lines = [line(number, "decline" if number in (3, 8) else "approve") for number in range(10)]
    # Two alerts, and two of the eight approvals: the first and the fifth.
    assert [each.offset for each in sample_lines(lines, 4)] == [0, 3, 5, 8]


def test_the_newest_alerts_are_shown_if_there_are_too_many() -> None:
    lines = [line(number, "decline") for number in range(10)]
    assert [each.offset for each in sample_lines(lines, 3)] == [7, 8, 9]


def test_boxes_come_in_the_order_of_the_data_and_parts_without_process_are_absent() -> None:
    boxes = boxes_of([observed("stream"), observed("kafka")], {})
    assert [box.name for box in boxes] == list(BOXES)
    states = {box.name: box.state for box in boxes}
    assert states["kafka"] is BoxState.READY
    assert states["generator"] is BoxState.ABSENT
    assert states["store"] is BoxState.READY  # that of the worker which writes it


def test_a_box_of_several_workers_shows_the_worst_of_them() -> None:
    [stream] = [
        box
        for box in boxes_of([observed("stream"), observed("stream-2", BoxState.DOWN, None)], {})
        if box.name == "stream"
    ]
    assert (stream.state, stream.process, stream.restarts) == (BoxState.DOWN, "stream-2", 2)


@pytest.mark.parametrize(
    ("state", "pid", "actions"),
    [
        (BoxState.READY, 7, ["kill", "freeze"]),
        (BoxState.FROZEN, 7, ["resume", "kill"]),
        (BoxState.DOWN, None, []),
        (BoxState.DONE, 7, []),
        (BoxState.EXTERNAL, None, []),
    ],
)
def test_only_running_processes_of_the_stack_can_be_touched(
    state: BoxState, pid: int | None, actions: list[str]
) -> None:
    [box] = [box for box in boxes_of([observed("scoring", state, pid)], {}) if box.name == "scoring"]
    assert box.actions == actions


def test_figures_are_sums_over_workers_and_rates_over_the_last_seconds() -> None:
    history = MetricsHistory()
    for now, sent, fold_seconds in ((100.0, 50, 1.0), (104.0, 250, 1.6)):
        workers = {
            name: samples(
                f'cardwatch_stream_unapplied_records{{partition="{partition}"}} {records}\n'
                f'cardwatch_stream_step_seconds_sum{{step="fold"}} {fold_seconds}\n'
                f'cardwatch_stream_step_seconds_count{{step="fold"}} {sent}\n'
            )
            for name, partition, records in (("stream", 0, 3), ("stream-2", 1, 4))
        }
        generator = samples(f'cardwatch_generator_sent_total{{topic="transactions"}} {sent}\n')
        history.add({**workers, "generator": generator}, now)
    figures = {(box, figure.name): figure.value for box, each in history.figures().items() for figure in each}
    assert figures["store", "behind the log"] == 7
    assert figures["generator", "sent"] == pytest.approx(50.0)  # 200 in 4 s
    assert figures["stream", "fold"] == pytest.approx(3.0)  # two workers: 1.2 s for 400 batches
    assert figures["stream", "score"] is None
    assert history.unapplied() == {0: 3, 1: 4}


def test_a_restarted_process_has_no_negative_rate() -> None:
    history = MetricsHistory()
    for now, sent in ((1.0, 500), (2.0, 3)):
        history.add({"generator": samples(f'cardwatch_generator_sent_total{{topic="transactions"}} {sent}\n')}, now)
    assert history.figures()["generator"][0].value == 0.0


def test_the_timeline_tells_when_a_process_ends_and_when_it_is_ready_again() -> None:
    events, told = ProcessEvents(), []
    states = [BoxState.STARTING, BoxState.READY, BoxState.DOWN, BoxState.STARTING, BoxState.WAITING, BoxState.READY]
    for second, state in enumerate(states):
        told += events.sentences([observed("scoring", state)], float(second))
    assert told == ["scoring has ended", "scoring is ready again, after 3 s"]


def test_the_timeline_tells_of_a_frozen_process_and_of_one_that_waits() -> None:
    events, told = ProcessEvents(), []
    for second, state in enumerate([BoxState.READY, BoxState.FROZEN, BoxState.READY, BoxState.WAITING]):
        told += events.sentences([observed("monitor", state)], float(second))
    assert told == ["monitor is frozen", "monitor is ready again, after 1 s", "monitor is not ready: None"]


def test_a_process_that_nobody_was_told_to_be_away_returns_silently() -> None:
    events, told = ProcessEvents(), []
    for second, state in enumerate([BoxState.READY, BoxState.STARTING, BoxState.READY]):
        told += events.sentences([observed("generator", state)], float(second))
    assert told == []


def test_a_new_page_receives_the_past_and_then_what_is_published() -> None:
    async def received() -> list[bytes]:
        broadcaster, messages = Broadcaster(), []
        broadcaster.publish([event(1)], lambda: [event(0)])
        subscription = broadcaster.subscribe()
        messages.append(await anext(subscription))
        broadcaster.publish([event(2), event(3)], list)
        messages.append(await anext(subscription))
        broadcaster.close()
        with pytest.raises(StopAsyncIteration):
            await anext(subscription)
        assert broadcaster.pages == 0
        return messages

    numbers = [
        [msgspec.json.decode(data)["number"] for data in re.findall(rb"data: (.*)\n\n", message)]
        for message in asyncio.run(received())
    ]
    assert numbers == [[0, 1], [2, 3]]


def test_each_event_is_published_once_also_after_old_ones_were_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoProcesses:
        def observe(self) -> list[ProcessObservation]:
            return []

    published: list[Frame] = []
    state, broadcaster = TopicState({}, 0.0), Broadcaster()
    monkeypatch.setattr(broadcaster, "publish", lambda frames, _past: published.extend(frames))
    feed = Feed(NoProcesses(), state, broadcaster, now_seconds=lambda: 1.0)  # type: ignore[arg-type]
    for number in range(KEPT_EVENTS + 2):
        state.timeline.note(float(number), EventKind.PROCESS, "kafka is not ready")
        feed.publish()
    assert [frame.number for frame in published if isinstance(frame, EventFrame)] == list(range(KEPT_EVENTS + 2))
    assert len([frame for frame in feed.past() if isinstance(frame, EventFrame)]) == KEPT_EVENTS


def test_a_page_that_does_not_read_is_disconnected_and_the_others_go_on() -> None:
    async def run() -> int:
        broadcaster = Broadcaster()
        slow, quick = broadcaster.subscribe(), broadcaster.subscribe()
        await anext(slow), await anext(quick)
        for number in range(QUEUE_LENGTH + 1):
            broadcaster.publish([event(number)], list)
            await anext(quick)
        with pytest.raises(StopAsyncIteration):
            await anext(slow)
        return broadcaster.pages

    assert asyncio.run(run()) == 1


def test_the_policy_allows_exactly_the_inline_parts_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    page.write_text("<html><style>a{}</style><script type=module>alert(1)</script></html>")
    # printf 'alert(1)' | openssl dgst -sha256 -binary | base64
    policy = read_page(page).policy
    assert "script-src 'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_the_tour_lies_beside_the_page(tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    page.write_text("<html></html>")
    assert read_page(page).tour is None
    (tmp_path / "tour.json").write_bytes(b"{}")
    assert read_page(page).tour == b"{}"


def test_without_a_built_page_the_console_says_how_to_build_it(tmp_path: Path) -> None:
    page = read_page(tmp_path / "missing.html")
    assert b"cardwatch console build" in page.content
    assert "script-src 'none'" in page.policy
