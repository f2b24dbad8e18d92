"""Calls that may never end."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from threading import Event

import pytest

from adapters.kafka.confluent.abandonable_thread import AbandonableThread
from tests.deadlines import until

SECONDS = 30.0


@pytest.fixture
def thread() -> Iterator[AbandonableThread]:
    thread = AbandonableThread("test")
    yield thread
    thread.close()


def test_calls_run_in_turn_on_one_thread_and_raise_to_their_caller(thread: AbandonableThread) -> None:
    names: list[int] = []
    for _ in range(3):
        thread.call(lambda: names.append(threading.get_ident()), SECONDS)
    with pytest.raises(ZeroDivisionError):
        thread.call(lambda: 1 / 0, SECONDS)
    thread.call(lambda: names.append(threading.get_ident()), SECONDS)
    assert len(names) == 4
    assert set(names) == {names[0]} != {threading.get_ident()}


def test_a_call_that_does_not_end_is_left_behind_with_its_thread(thread: AbandonableThread) -> None:
    released, ended = Event(), Event()

    def hang() -> None:
        released.wait()
        ended.set()

    with pytest.raises(TimeoutError):
        thread.call(hang, 0.05)
    passed: list[str] = []
    thread.call(lambda: passed.append("the next call"), SECONDS)
    assert (passed, ended.is_set()) == (["the next call"], False)
    released.set()
    assert ended.wait(SECONDS)


def test_no_thread_is_left_after_closing() -> None:
    thread = AbandonableThread("closed soon")
    thread.call(lambda: None, SECONDS)
    thread.close()
    until("it has ended", lambda: "closed soon" not in {each.name for each in threading.enumerate()}, SECONDS)


def test_nothing_of_a_call_is_kept_after_it(thread: AbandonableThread) -> None:
    class Payload:
        def use(self) -> None:
            """Do nothing."""

    payload = Payload()
    kept = weakref.ref(payload)
    thread.call(payload.use, SECONDS)
    del payload
    until("it is freed", lambda: gc.collect() >= 0 and kept() is None, SECONDS)
