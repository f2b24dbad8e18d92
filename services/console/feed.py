"""The feed: combines topics, processes and metrics into frames, four times a second at most."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from adapters.local_stack.readiness import metrics_page
from adapters.local_stack.stack_home import ProcessEndpoint
from adapters.runtime.clock import epoch_ms
from adapters.runtime.retry import StoppableRetry
from cardwatch.events import Action
from cardwatch.live.faults import GENERATOR, LIVE_RATE_METRIC
from cardwatch.live.frames import (
    Box,
    BoxState,
    DecisionLine,
    DecisionsFrame,
    EventKind,
    Figure,
    Frame,
    Lane,
    LiveFrame,
    MomentFrame,
    SystemState,
    Totals,
    TrafficFigures,
)
from cardwatch.live.rates import RateCounter
from cardwatch.live.topic_state import TopicState
from cardwatch.progress import DECAYED, SUSPECTED
from services.console.boxes import boxes_of
from services.console.broadcast import Broadcaster
from services.console.follower import TopicFollower
from services.console.metrics_pages import MetricSample, MetricsHistory, samples
from services.console.process_events import ProcessEvents
from services.console.processes import WatchedProcesses
from services.console.recording import RunRecording
from services.console.steps import CommitSteps

FRAME_SECONDS: Final = 0.25
ASK_SECONDS: Final = 1.0
"""Time between two rounds of readiness checks and metrics pages, and of positions."""
MOMENT_SECONDS: Final = 3.0
KEPT_MOMENTS: Final = 200
"""Moments of the last ten minutes, which a new page needs for its charts."""
MAX_LINES: Final = 50
"""Maximum number of decisions in a frame: alerts first, then a sample of approvals."""
NEW_PAGE_LINES: Final = 200
DEGRADED_SHARE: Final = 0.01
"""Share of decisions by the rules from which the system counts as degraded."""


class Feed:
    """Builds frames and hands them to the broadcaster. `now_seconds` is a monotonic clock.

    Three threads: one follows the topics (`follow`), one asks the processes (`keep_asking`), and one builds the frames
    (`keep_publishing`), because the broker and the processes may take seconds to answer, or not answer at all.
    """

    def __init__(
        self,
        processes: WatchedProcesses,
        state: TopicState,
        broadcaster: Broadcaster,
        *,
        steps: CommitSteps | None = None,
        recording: RunRecording | None = None,
        now_seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._processes, self._state, self._broadcaster = processes, state, broadcaster
        self.steps = steps or CommitSteps(None)
        self._recording, self._now_seconds = recording, now_seconds
        self._metrics = MetricsHistory()
        self._lanes: list[Lane] = []
        self._history: deque[MomentFrame] = deque(maxlen=KEPT_MOMENTS)
        self._next_moment = 0.0
        self._events = ProcessEvents()
        self._transactions = RateCounter(now_seconds())
        self._begun_at: int | None = None
        self._sent_lines = self._sent_events = self._sent_days = 0
        self._next_positions = 0.0

    def keep_asking(self, stopping: threading.Event) -> None:
        """Ask the processes for readiness and metrics until `stopping` is set."""
        while not stopping.wait(ASK_SECONDS):
            asked = self._processes.ask()
            pages = {name: page for name, each in asked.items() if (page := _samples_of(each)) is not None}
            self._metrics.add(pages, self._now_seconds())

    def keep_publishing(self, stopping: threading.Event) -> None:
        """Build frames and hand them to the pages until `stopping` is set, also while the broker does not answer."""
        while not stopping.wait(FRAME_SECONDS):
            self.publish()

    def follow(self, follower: TopicFollower, retry: StoppableRetry) -> None:
        """Take in the records of the topics, and the positions, until `Stopped` is raised."""
        retry.health.ready()
        while True:
            retry.wait(0)
            is_past = follower.reads_past()
            records = follower.poll(FRAME_SECONDS)
            now = self._now_seconds()
            with self._state.lock:
                self._state.take(records, now)
                if is_past:
                    self._state.begin_rates(now)
            if now >= self._next_positions:
                self._set_lanes(follower.lanes(self._metrics.unapplied(), self._metrics.refolded()), now)
                self._next_positions = now + ASK_SECONDS

    def publish(self) -> None:
        """Build the frames of this moment and hand them to the pages."""
        live, now = self.live(), self._now_seconds()
        with self._state.lock:
            frames = self._new_frames()
            if now >= self._next_moment:
                self._history.append(MomentFrame(at_ms=live.at_ms, traffic=live.traffic))
                self._next_moment = now + MOMENT_SECONDS
            if self._recording is not None:
                self._recording.write(live, frames)
        self._broadcaster.publish([live, *frames], self.past)

    def live(self) -> LiveFrame:
        """Return the system at this moment."""
        now, state = self._now_seconds(), self._state
        by_model, by_rules = state.by_model.per_second(now), state.by_rules.per_second(now)
        with self._state.lock:
            p50_ms, p99_ms = state.latency.percentiles_ms(50, 99, now_seconds=now)
        observed = self._processes.observe()
        with self._state.lock:
            for sentence in self._events.sentences(observed, now):
                state.timeline.note(epoch_ms(), EventKind.PROCESS, sentence, state.day)
        waiting = sum(max(lane.log_end - lane.committed, 0) for lane in self._lanes)
        boxes = boxes_of(observed, self._figures(waiting))
        return LiveFrame(
            at_ms=epoch_ms(),
            day=state.day,
            states=self._states(boxes, by_model, by_rules),
            boxes=boxes,
            traffic=TrafficFigures(
                transactions_per_second=self._transactions.per_second(now),
                by_model_per_second=by_model,
                by_rules_per_second=by_rules,
                waiting=waiting,
                p50_ms=p50_ms,
                p99_ms=p99_ms,
            ),
            totals=Totals(
                transactions=sum(lane.log_end for lane in self._lanes),
                decisions=state.decisions,
                degraded=state.degraded,
                dead_letters=state.dead_letters,
                approved=state.actions[Action.APPROVE.value],
                challenged=state.actions[Action.CHALLENGE.value],
                declined=state.actions[Action.DECLINE.value],
            ),
            money=state.money(),
            model=state.model(),
            lanes=self._lanes,
            step=self.steps.frame(),
        )

    def past(self) -> list[Frame]:
        """Return what a page that has just been opened needs to know of the past."""
        state = self._state
        with self._state.lock:
            newest = list(state.lines)[-NEW_PAGE_LINES:]
            return [*state.timeline.events, *state.days, *self._history, DecisionsFrame(lines=newest)]

    def page(self, name: str) -> list[MetricSample]:
        """Return the newest metrics of a process, none if it has no page."""
        return self._metrics.newest.get(name, [])

    def live_rate(self) -> float | None:
        """Return the rate of the generator's plan on live days, 0 if it has none, None if it is not known."""
        return next((sample.value for sample in self.page(GENERATOR) if sample.name == LIVE_RATE_METRIC), None)

    def _figures(self, waiting: int) -> dict[str, list[Figure]]:
        newest = self._state.newest_day
        log_end = sum(lane.log_end for lane in self._lanes)
        drifted = None if newest is None else float(len(newest.drifted_features))
        return {
            **self._metrics.figures(),
            "kafka": [
                Figure(name="log end", value=log_end if self._lanes else None),
                Figure(name="waiting", value=waiting if self._lanes else None),
                Figure(name="dead letters", value=self._state.dead_letters),
            ],
            "monitor": [Figure(name="drifted features", value=drifted)],
        }

    def _states(self, boxes: Sequence[Box], by_model: float, by_rules: float) -> list[SystemState]:
        state, model = self._state, self._state.model()
        found = [SystemState.RECORDING] if self._recording is not None else []
        # The generator of a demo waits between days for the other parts, which is no start of the system.
        if any(box.state is BoxState.STARTING and box.name != GENERATOR for box in boxes):
            found.append(SystemState.STARTING)
        if model.champion_version is None and model.serving_version is None:
            found.append(SystemState.NO_CHAMPION)
        if by_rules > DEGRADED_SHARE * (by_model + by_rules):
            found.append(SystemState.DEGRADED)
        if state.is_retraining:
            found.append(SystemState.RETRAINING)
        if state.drift_state == DECAYED:
            found.append(SystemState.DECAYED)
        elif state.drift_state == SUSPECTED:
            found.append(SystemState.DRIFT_SUSPECTED)
        return found

    def _new_frames(self) -> list[Frame]:
        state = self._state
        added = min(state.added_lines - self._sent_lines, len(state.lines))
        lines = list(state.lines)[len(state.lines) - added :]
        shown = sample_lines(lines, MAX_LINES)
        skipped = state.added_lines - self._sent_lines - len(shown)
        frames: list[Frame] = [event for event in state.timeline.events if event.number >= self._sent_events]
        new_days = state.added_days - self._sent_days
        frames += list(state.days)[len(state.days) - min(new_days, len(state.days)) :]
        if shown:
            frames.append(DecisionsFrame(lines=shown, skipped=skipped))
        self._sent_lines, self._sent_events = state.added_lines, state.timeline.added
        self._sent_days = state.added_days
        return frames

    def _set_lanes(self, lanes: list[Lane], now: float) -> None:
        self._lanes, total = lanes, sum(lane.log_end for lane in lanes)
        if self._begun_at is None:
            self._begun_at = total
            self._transactions.begin_at(total, now)
        self._transactions.reached(total, now)


def _samples_of(endpoint: ProcessEndpoint) -> list[MetricSample] | None:
    page = metrics_page(endpoint)
    try:
        return None if page is None else samples(page)
    except ValueError:
        return None


def sample_lines(lines: Sequence[DecisionLine], limit: int) -> list[DecisionLine]:
    """Return at most `limit` of the lines in their order: the newest alerts first, then approvals, evenly spaced."""
    if len(lines) <= limit:
        return list(lines)
    alerts = [position for position, line in enumerate(lines) if line.action != Action.APPROVE.value][-limit:]
    others = [position for position, line in enumerate(lines) if line.action == Action.APPROVE.value]
    room = limit - len(alerts)
    evenly = [others[step * len(others) // room] for step in range(room)] if room and others else []
    return [lines[position] for position in sorted({*alerts, *evenly})]
