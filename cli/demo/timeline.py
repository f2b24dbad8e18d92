"""The timeline of a demo: one line per event, from progress records and decisions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from cardwatch.progress import (
    Bootstrapped,
    DayEmitted,
    DayMonitored,
    DriftDetected,
    Progress,
    RateEnded,
    RateStarted,
    RetrainingEnded,
    RetrainingStarted,
)
from cli.demo.snapshot import DemoSnapshot, Event, EventKind


class Timeline:
    """Keeps stage, events, days and model versions of `demo` up to date with each progress record and decision."""

    def __init__(self, demo: DemoSnapshot) -> None:
        self._demo = demo
        self._served: set[str] = set()

    def note(self, kind: EventKind, day: date | None, text: str, details: Sequence[str] = ()) -> None:
        """Add an event at the end of the timeline."""
        self._demo.events.append(Event(kind=kind, day=day, text=text, details=list(details)))

    def decided_by(self, version: str, iso_day: str) -> None:
        """Record that a transaction of this day was decided by this model version."""
        if version in self._served:
            return
        day = date.fromisoformat(iso_day)
        if self._served:
            self.note(EventKind.SWAP, day, f"v{version} decides its first transaction: the swap is done")
        else:
            self.note(EventKind.LIVE, day, f"live traffic begins, decided by v{version}")
        self._served.add(version)
        self._demo.serving_version = version

    def apply(self, progress: Progress) -> None:
        """Apply one progress record."""
        match progress:
            case DayEmitted():
                self._emitted(progress)
            case Bootstrapped():
                self._bootstrapped(progress)
            case DayMonitored():
                self._demo.days.append(progress)
                self._demo.champion_version = progress.champion_version
            case DriftDetected(day=day, champion_version=version, reasons=reasons):
                self.note(EventKind.DRIFT, day, f"drift: v{version} has decayed", reasons)
            case RetrainingStarted(day=day):
                self.note(EventKind.RETRAINING, day, "retraining on the labels known by now")
                self._demo.stage = "retraining and judging"
            case RetrainingEnded():
                self._judged(progress)
            case RateStarted():
                self._measuring(progress)
            case RateEnded():
                self.note(EventKind.MEASURE, None, f"all {progress.transactions:,} are sent")

    def _emitted(self, emitted: DayEmitted) -> None:
        if not emitted.decided:
            self._demo.stage = "simulating history"
            return
        self._demo.stage = "streaming, a day at a time"
        if emitted.day == self._demo.plan.change_day:
            self.note(
                EventKind.CHANGE, emitted.day, "the population changes: a new kind of attack, other spending habits"
            )

    def _bootstrapped(self, record: Bootstrapped) -> None:
        quality = f"average precision {record.average_precision:.3f}"
        history_days = self._demo.plan.history_days
        self.note(EventKind.HISTORY, record.day, f"history of {history_days} days folded into the store")
        self.note(EventKind.CHAMPION, record.day, f"v{record.champion_version} is the first champion, {quality}")
        self._demo.champion_version = record.champion_version

    def _measuring(self, record: RateStarted) -> None:
        rate = f"{record.rate_per_second:,.0f} transactions a second for {record.seconds:g} s"
        self.note(EventKind.MEASURE, None, f"measuring: {rate}, whatever the system does")
        self._demo.stage, self._demo.measuring = "measuring at a fixed rate", True

    def _judged(self, record: RetrainingEnded) -> None:
        name = f"v{record.challenger_version}" if record.challenger_version else "no challenger"
        failed = [reason for reason in record.reasons if reason.startswith("FAILED")]
        if record.promoted:
            text = f"verdict: {name} is the new champion, {len(record.reasons)} checks passed"
            self._demo.champion_version = record.challenger_version
        else:
            text = f"verdict: {name} is refused, {len(failed)} of {len(record.reasons)} checks failed"
        details = sorted(record.reasons, key=lambda reason: (reason not in failed, "champion" not in reason))
        details = [reason.removeprefix("passed: ") for reason in details]
        self.note(EventKind.VERDICT, record.day, text, details)
        self._demo.stage = "streaming, a day at a time"
