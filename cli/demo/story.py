"""The topic `progress` told to a person: one line per thing that happened."""

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


class DemoState:
    """Events, days and the state of the model, from progress records and decisions as they arrive."""

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
        """A transaction of this day was decided by this model version."""
        if version in self._served:
            return
        day = date.fromisoformat(iso_day)
        if self._served:
            self.note(EventKind.SWAP, day, f"v{version} decides its first transaction: the swap is done")
        else:
            self.note(EventKind.LIVE, day, f"live traffic begins, decided by v{version}")
        self._served.add(version)
        self._model(serving_version=version)

    def told(self, progress: Progress) -> None:
        """Take in one progress record."""
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
            self.note(EventKind.CHANGE, emitted.day, "the world changes: a new kind of fraud, other spending")

    def _bootstrapped(self, told: Bootstrapped) -> None:
        quality = f"average precision {told.average_precision:.3f}"
        self.note(EventKind.HISTORY, told.day, f"history of {self._plan.history_days} days folded into the store")
        self.note(EventKind.CHAMPION, told.day, f"v{told.champion_version} is the first champion, {quality}")
        self._model(champion_version=told.champion_version)

    def _monitored(self, told: DayMonitored) -> None:
        self.days.append(
            DayPoint(
                day=told.day,
                champion_version=told.champion_version,
                average_precision=told.average_precision,
                drift_share=told.drift_share,
                drifted_features=told.drifted_features,
                state=told.state,
            )
        )
        self._model(
            champion_version=told.champion_version,
            baseline_average_precision=told.baseline_average_precision,
            drift_state=told.state,
        )

    def _detected(self, told: DriftDetected) -> None:
        self.note(EventKind.DRIFT, told.day, f"drift: v{told.champion_version} is decayed", told.reasons)

    def _retraining(self, told: RetrainingStarted) -> None:
        self.note(EventKind.RETRAINING, told.day, "retraining on the labels known by now")
        self.stage = "retraining and judging"

    def _measuring(self, told: RateStarted) -> None:
        rate = f"{told.rate_per_second:,.0f} transactions a second for {told.seconds:g} s"
        self.note(EventKind.MEASURE, None, f"measuring: {rate}, whatever the system does")
        self.stage = "measuring at a fixed rate"

    def _judged(self, told: RetrainingEnded) -> None:
        name = f"v{told.challenger_version}" if told.challenger_version else "no challenger"
        failed = [reason for reason in told.reasons if reason.startswith("FAILED")]
        if told.promoted:
            text = f"verdict: {name} is the new champion, {len(told.reasons)} checks passed"
            self._model(champion_version=told.challenger_version)
        else:
            text = f"verdict: {name} is refused, {len(failed)} of {len(told.reasons)} checks failed"
        telling = sorted(told.reasons, key=lambda reason: (reason not in failed, "champion" not in reason))
        telling = [reason.removeprefix("passed: ") for reason in telling]
        self.note(EventKind.VERDICT, told.day, text, telling)
        self.stage = "streaming, a day at a time"
