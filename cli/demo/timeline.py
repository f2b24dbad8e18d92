"""The timeline of a demo: one line per event, from progress records and decisions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from msgspec import structs

from cardwatch.progress import (
    Bootstrapped,
    DayArchived,
    DayEmitted,
    DayMonitored,
    DriftDetected,
    Progress,
    RateEnded,
    RateStarted,
    RetrainingEnded,
    RetrainingStarted,
)
from cli.demo.plan import DemoPlan
from cli.demo.snapshot import DayPoint, Event, EventKind, ModelView


class Timeline:
    """Events, days and the state of the model, updated with each progress record and decision."""

    def __init__(self, plan: DemoPlan) -> None:
        self.stage = "starting"
        self.events: list[Event] = []
        self.days: list[DayPoint] = []
        self.model = ModelView()
        self._plan = plan
        self._served: set[str] = set()

    def note(self, kind: EventKind, day: date | None, text: str, details: Sequence[str] = ()) -> None:
        """Add an event at the end of the timeline."""
        self.events.append(Event(kind=kind, day=day, text=text, details=list(details)))

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
        self._model(serving_version=version)

    def apply(self, progress: Progress) -> None:
        """Apply one progress record."""
        match progress:
            case DayEmitted():
                self._emitted(progress)
            case DayArchived():
                pass
            case Bootstrapped():
                self._bootstrapped(progress)
            case DayMonitored():
                self._monitored(progress)
            case DriftDetected():
                self._detected(progress)
            case RetrainingStarted():
                self._retraining(progress)
            case RetrainingEnded():
                self._judged(progress)
            case RateStarted():
                self._measuring(progress)
            case RateEnded():
                self.note(EventKind.MEASURE, None, f"all {progress.transactions:,} are sent")

    def _model(self, **changes: object) -> None:
        self.model = structs.replace(self.model, **changes)

    def _emitted(self, emitted: DayEmitted) -> None:
        if not emitted.decided:
            self.stage = "simulating history"
            return
        self.stage = "streaming, a day at a time"
        if emitted.day == self._plan.change_day:
            self.note(
                EventKind.CHANGE, emitted.day, "the population changes: a new kind of attack, other spending habits"
            )

    def _bootstrapped(self, record: Bootstrapped) -> None:
        quality = f"average precision {record.average_precision:.3f}"
        self.note(EventKind.HISTORY, record.day, f"history of {self._plan.history_days} days folded into the store")
        self.note(EventKind.CHAMPION, record.day, f"v{record.champion_version} is the first champion, {quality}")
        self._model(champion_version=record.champion_version)

    def _monitored(self, record: DayMonitored) -> None:
        self.days.append(
            DayPoint(
                day=record.day,
                champion_version=record.champion_version,
                average_precision=record.average_precision,
                drift_share=record.drift_share,
                drifted_features=record.drifted_features,
                state=record.state,
            )
        )
        self._model(
            champion_version=record.champion_version,
            baseline_average_precision=record.baseline_average_precision,
            drift_state=record.state,
        )

    def _detected(self, record: DriftDetected) -> None:
        self.note(EventKind.DRIFT, record.day, f"drift: v{record.champion_version} has decayed", record.reasons)

    def _retraining(self, record: RetrainingStarted) -> None:
        self.note(EventKind.RETRAINING, record.day, "retraining on the labels known by now")
        self.stage = "retraining and judging"

    def _measuring(self, record: RateStarted) -> None:
        rate = f"{record.rate_per_second:,.0f} transactions a second for {record.seconds:g} s"
        self.note(EventKind.MEASURE, None, f"measuring: {rate}, whatever the system does")
        self.stage = "measuring at a fixed rate"

    def _judged(self, record: RetrainingEnded) -> None:
        name = f"v{record.challenger_version}" if record.challenger_version else "no challenger"
        failed = [reason for reason in record.reasons if reason.startswith("FAILED")]
        if record.promoted:
            text = f"verdict: {name} is the new champion, {len(record.reasons)} checks passed"
            self._model(champion_version=record.challenger_version)
        else:
            text = f"verdict: {name} is refused, {len(failed)} of {len(record.reasons)} checks failed"
        details = sorted(record.reasons, key=lambda reason: (reason not in failed, "champion" not in reason))
        details = [reason.removeprefix("passed: ") for reason in details]
        self.note(EventKind.VERDICT, record.day, text, details)
        self.stage = "streaming, a day at a time"
