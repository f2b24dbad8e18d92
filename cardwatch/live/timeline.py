"""The timeline: what happened to models and processes, in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final

from cardwatch.ladder.climbing import ACTOR
from cardwatch.live.faults import DRIFT, WORLD_FAULTS
from cardwatch.live.frames import EventFrame, EventKind
from cardwatch.progress import (
    Bootstrapped,
    DayMonitored,
    DriftDetected,
    FaultBegan,
    FaultEnded,
    ModelMoved,
    Progress,
    QuarantineReleased,
    RetrainingEnded,
    RetrainingStarted,
)
from cardwatch.wording import plural

FAILED = "FAILED"
PASSED = "passed: "
SAVES = "saves "
"""Part of the reason that says what a challenger saves: what a reader wants first."""
KEPT_EVENTS: Final = 1_000
"""Number of newest events that are kept: a part that comes and goes all day makes many."""


class Timeline:
    """The newest events in the order in which the console has learned of them, and the number of all, `added`."""

    def __init__(self) -> None:
        self.events: list[EventFrame] = []
        self.added = 0
        self._served: set[str] = set()
        self._blocked: set[str] = set()

    def note(
        self, at_ms: float, kind: EventKind, text: str, day: date | None = None, details: Sequence[str] = ()
    ) -> None:
        """Add an event at the end."""
        self.events.append(
            EventFrame(number=self.added, at_ms=at_ms, kind=kind, day=day, text=text, details=list(details))
        )
        self.added += 1
        del self.events[:-KEPT_EVENTS]

    def decided_by(self, version: str, at_ms: float, day: date) -> None:
        """Record that this version of the model has decided a transaction of this day."""
        if version in self._served:
            return
        kind, text = (EventKind.SWAP, f"v{version} decides its first transaction") if self._served else (
            EventKind.LIVE, f"v{version} decides the first transaction that is watched"
        )  # fmt: skip
        self._served.add(version)
        self.note(at_ms, kind, text, day)

    def apply(self, progress: Progress, at_ms: float) -> None:
        """Add the events of a record of `progress`; `at_ms` is its time stamp."""
        match progress:
            case Bootstrapped(day=day, champion_version=version, average_precision=quality):
                self.note(
                    at_ms, EventKind.CHAMPION, f"v{version} is the first champion, average precision {quality:.3f}", day
                )
            case DayMonitored():
                self._monitored(progress, at_ms)
            case DriftDetected(day=day, champion_version=version, reasons=reasons):
                self.note(at_ms, EventKind.DRIFT, f"v{version} has decayed", day, reasons)
            case RetrainingStarted(day=day):
                self.note(at_ms, EventKind.RETRAINING, "retraining on the labels known by now", day)
            case RetrainingEnded():
                self._judged(progress, at_ms)
            case ModelMoved():
                self._moved(progress, at_ms)
            case QuarantineReleased(day=last, first_day=first, because=because):
                self.note(at_ms, EventKind.DATA, f"the days from {first} to {last} are released", last, [because])
            case FaultBegan(day=day, name=name) | FaultEnded(day=day, name=name):
                self._fault(name, at_ms, day, begins=isinstance(progress, FaultBegan))
            case _:
                pass

    def _fault(self, name: str, at_ms: float, day: date, *, begins: bool) -> None:
        text = WORLD_FAULTS.get(name)
        if text is None or (text.seconds is None and not begins):  # what happens once has no end worth telling
            return
        kind = EventKind.CHANGE if name == DRIFT else EventKind.FAULT
        title = f"fault: {text.title.lower()}"
        if text.seconds is not None:
            title += " begins" if begins else " ends"
        self.note(at_ms, kind, title, day, [text.effect] if begins else [])

    def _monitored(self, record: DayMonitored, at_ms: float) -> None:
        blocking = {finding.column: finding for finding in record.data_findings if finding.blocks}
        if new := blocking.keys() - self._blocked:
            sentences = [signal.sentence for signal in record.signals]
            self.note(
                at_ms, EventKind.DATA, f"the data contract is broken: {', '.join(sorted(new))}", record.day, sentences
            )
        self._blocked = set(blocking)

    def _judged(self, record: RetrainingEnded, at_ms: float) -> None:
        name = f"v{record.challenger_version}" if record.challenger_version else "no challenger"
        failed = [reason for reason in record.reasons if reason.startswith(FAILED)]
        text = (
            f"{name} has passed its verdict, {plural(len(record.reasons), 'check')} passed"
            if record.promoted
            else f"{name} is refused, {len(failed)} of {plural(len(record.reasons), 'check')} failed"
        )
        details = sorted(record.reasons, key=lambda reason: (reason not in failed, SAVES not in reason))
        self.note(at_ms, EventKind.VERDICT, text, record.day, [reason.removeprefix(PASSED) for reason in details])

    def _moved(self, record: ModelMoved, at_ms: float) -> None:
        texts = {
            "shadow": "scores in shadow and decides nothing",
            "approve": "is approved",
            "canary": f"is canary and decides {record.share or 0:.0%} of the cards",
            "promote": "is champion",
            "rollback": "is champion again",
            "retire": "is retired",
        }
        if record.kind not in texts:  # the first champion has an event of its own, and so has a passed verdict
            return
        kind = EventKind.CHAMPION if record.changes_champion else EventKind.VERDICT
        is_usual = record.actor == ACTOR and record.kind != "retire"
        details = [] if is_usual else [f"by {record.actor}: {record.reason}"]
        self.note(at_ms, kind, f"v{record.version} {texts[record.kind]}", record.day, details)
