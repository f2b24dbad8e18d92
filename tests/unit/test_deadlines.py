"""Deadlines of tests and the load of the machine."""

from __future__ import annotations

import pytest

from tests import deadlines
from tests.deadlines import MAX_FACTOR, Deadline


class Machine:
    """A clock, and a load of two cores."""

    def __init__(self) -> None:
        self.seconds, self.load = 100.0, 0.0


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(deadlines.time, "monotonic", lambda: made.seconds)
    monkeypatch.setattr(deadlines.os, "getloadavg", lambda: (made.load, 0.0, 0.0))
    monkeypatch.setattr(deadlines.os, "cpu_count", lambda: 2)
    return made


def test_an_idle_machine_gets_the_time_as_it_is(machine: Machine) -> None:
    deadline = Deadline(10.0)
    machine.seconds += 10.0
    assert not deadline.has_passed()
    machine.seconds += 0.1
    assert deadline.has_passed()


def test_a_load_of_three_processes_a_core_gives_three_times_the_time_even_if_it_ends(machine: Machine) -> None:
    deadline = Deadline(10.0)
    machine.load = 6.0
    assert not deadline.has_passed()
    machine.load = 0.0
    machine.seconds += 29.0
    assert not deadline.has_passed()
    machine.seconds += 2.0
    assert deadline.has_passed()


def test_no_load_extends_a_deadline_without_end(machine: Machine) -> None:
    deadline = Deadline(10.0)
    machine.load = 1_000.0
    machine.seconds += 10.0 * MAX_FACTOR + 1.0
    assert deadline.has_passed()
