"""Faults that can be switched on: their requests, and which are on after the records of the topic."""

from __future__ import annotations

from datetime import date

import pytest

from cardwatch.errors import Misconfigured
from cardwatch.live.faults import (
    NETWORK_FAULTS,
    WORLD_FAULTS,
    FaultStates,
    network_until_ms,
    off_request,
    on_request,
)
from cardwatch.live.frames import BOXES, EventKind
from cardwatch.live.timeline import Timeline
from cardwatch.progress import FaultBegan, FaultEnded, FaultRequested

DAY = date(2025, 2, 3)


def began(name: str) -> FaultBegan:
    return FaultBegan(day=DAY, name=name)


def ended(name: str) -> FaultEnded:
    return FaultEnded(day=DAY, name=name)


def after(*records: FaultRequested | FaultBegan | FaultEnded) -> FaultStates:
    states = FaultStates()
    for number, record in enumerate(records):
        states.apply(record, float(number))
    return states


def test_a_request_lasts_its_default_or_the_given_seconds() -> None:
    assert on_request("burst", None, 5_000.0) == FaultRequested(name="burst", until_ms=35_000)
    assert on_request("burst", 7.5, 5_000.0) == FaultRequested(name="burst", until_ms=12_500)
    assert off_request("burst") == FaultRequested(name="burst", until_ms=None)


@pytest.mark.parametrize(
    ("name", "seconds", "reason"),
    [
        ("explosion", None, "there is no fault 'explosion'"),
        ("scoring-cut", None, "there is no fault 'scoring-cut'"),
        ("burst", 0.5, "1 to 86,400 seconds, not 0.5"),
        ("burst", float("nan"), "not nan"),
        ("drift", 90_000.0, "not 90000"),
        ("poison-record", 5.0, "happens once"),
    ],
)
def test_an_impossible_request_is_refused_with_the_reason(name: str, seconds: float | None, reason: str) -> None:
    with pytest.raises(Misconfigured, match=reason):
        on_request(name, seconds, 0.0)


def test_a_fault_of_the_network_lasts_half_a_minute_or_the_given_seconds() -> None:
    assert network_until_ms(None, 5_000.0) == 35_000.0
    assert network_until_ms(2.0, 5_000.0) == 7_000.0
    with pytest.raises(Misconfigured, match="not 0"):
        network_until_ms(0.0, 5_000.0)


def test_a_fault_begins_when_it_is_requested_and_ends_when_its_time_is_over() -> None:
    requested = after(on_request("burst", 10.0, 0.0))
    assert (requested.to_begin(9_999.0), requested["burst"].is_asked(9_999.0)) == (["burst"], True)
    assert (requested.to_begin(10_000.0), requested["burst"].is_asked(10_000.0)) == ([], False)
    running = after(on_request("burst", 10.0, 0.0), began("burst"))
    assert (running.to_begin(9_999.0), running.to_end(9_999.0), running.to_end(10_000.0)) == ([], [], ["burst"])
    assert after(on_request("burst", 10.0, 0.0), began("burst"), ended("burst")).to_end(10_000.0) == []


def test_a_fault_that_is_switched_off_ends_before_its_time() -> None:
    assert after(on_request("drift", 10.0, 0.0), began("drift"), off_request("drift")).to_end(1.0) == ["drift"]


def test_another_request_moves_the_end() -> None:
    states = after(on_request("burst", 10.0, 0.0), began("burst"), on_request("burst", 10.0, 5_000.0))
    assert (states.to_end(12_000.0), states.to_end(15_000.0), states.to_begin(12_000.0)) == ([], ["burst"], [])


def test_what_happens_once_is_done_once_per_request() -> None:
    name, first = "poison-record", on_request("poison-record", None, 0.0)
    assert after(first).to_begin(1.0) == [name]
    assert after(first, began(name), ended(name)).to_begin(1.0) == []
    assert after(first, began(name), ended(name), on_request(name, None, 2.0)).to_begin(3.0) == [name]


def test_faults_of_a_later_version_are_passed_over() -> None:
    states = after(FaultRequested(name="flood", until_ms=10**15), began("flood"))
    assert (states.to_begin(0.0), states.to_end(0.0)) == ([], [])


def test_every_fault_says_what_it_does_and_where_to_look() -> None:
    for text in (*WORLD_FAULTS.values(), *NETWORK_FAULTS.values()):
        assert text.box in BOXES
        assert text.effect.endswith(".") and text.look.endswith(".")


def test_the_timeline_tells_of_faults_and_drift_is_a_change_of_the_population() -> None:
    timeline = Timeline()
    for record in (began("burst"), ended("burst"), began("poison-record"), ended("poison-record"), began("drift")):
        timeline.apply(record, 5.0)
    assert [(event.kind, event.text) for event in timeline.events] == [
        (EventKind.FAULT, "fault: burst begins"),
        (EventKind.FAULT, "fault: burst ends"),
        (EventKind.FAULT, "fault: poison record"),
        (EventKind.CHANGE, "fault: drift begins"),
    ]
