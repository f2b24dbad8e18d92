"""The timeline of a demo: what the live system tells, and the steps of the demo itself."""

from __future__ import annotations

from datetime import date
from typing import Final

from cardwatch.live.frames import EventKind
from cardwatch.live.timeline import Timeline
from cardwatch.progress import (
    Bootstrapped,
    DayEmitted,
    DayMonitored,
    ModelMoved,
    Progress,
    RateEnded,
    RateStarted,
    RetrainingEnded,
    RetrainingStarted,
)
from cardwatch.wording import plural
from cli.demo.plan import CHANGE_TEXT
from cli.demo.snapshot import DemoSnapshot

STREAMING: Final = "streaming, a day at a time"


class DemoTimeline:
    """Keeps stage, events, days and model versions of `demo` up to date with each progress record and decision."""

    def __init__(self, demo: DemoSnapshot) -> None:
        self._demo, self._live = demo, Timeline()
        demo.events = self._live.events

    def note(self, at_ms: float, kind: EventKind, text: str, details: list[str]) -> None:
        """Add an event that is on no topic at the end of the timeline."""
        self._live.note(at_ms, kind, text, None, details)

    def decided_by(self, version: str, at_ms: float, iso_day: str) -> None:
        """Record that a transaction of this day was decided by this model version."""
        if version != self._demo.serving_version:
            self._live.decided_by(version, at_ms, date.fromisoformat(iso_day))
            self._demo.serving_version = version

    def apply(self, progress: Progress, at_ms: float) -> None:
        """Apply one progress record; `at_ms` is its time stamp."""
        if isinstance(progress, Bootstrapped):
            history = f"history of {plural(self._demo.plan.history_days, 'day')} folded into the store"
            self._live.note(at_ms, EventKind.HISTORY, history, progress.day)
        self._live.apply(progress, at_ms)
        match progress:
            case DayEmitted(day=day, decided=decided):
                self._emitted(day, at_ms, decided=decided)
            case Bootstrapped(champion_version=version):
                self._demo.champion_version = version
            case DayMonitored(champion_version=version):
                self._demo.days.append(progress)
                self._demo.champion_version = version
            case RetrainingStarted():
                self._demo.stage = "retraining and judging"
            case RetrainingEnded():
                self._demo.stage = STREAMING
            case ModelMoved(champion_version=version) if version is not None:
                self._demo.champion_version = version
            case RateStarted(rate_per_second=rate, seconds=seconds):
                measuring = f"measuring: {rate:,.0f} transactions a second for {seconds:g} s, whatever the system does"
                self._live.note(at_ms, EventKind.MEASURE, measuring)
                self._demo.stage, self._demo.measuring = "measuring at a fixed rate", True
            case RateEnded(transactions=transactions):
                self._live.note(at_ms, EventKind.MEASURE, f"all {transactions:,} are sent")
            case _:
                pass

    def _emitted(self, day: date, at_ms: float, *, decided: bool) -> None:
        self._demo.stage = STREAMING if decided else "simulating history"
        if decided and day == self._demo.plan.change_day:
            self._live.note(at_ms, EventKind.CHANGE, CHANGE_TEXT, day)
