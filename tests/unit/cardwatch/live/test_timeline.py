"""The timeline of a system that runs for days."""

from __future__ import annotations

from cardwatch.live.frames import EventKind
from cardwatch.live.timeline import KEPT_EVENTS, Timeline


def test_only_the_newest_events_are_kept_and_their_numbers_go_on() -> None:
    timeline = Timeline()
    for number in range(KEPT_EVENTS + 5):
        timeline.note(float(number), EventKind.PROCESS, "scoring is not ready")
    assert [event.number for event in timeline.events] == list(range(5, KEPT_EVENTS + 5))
    assert timeline.added == KEPT_EVENTS + 5
