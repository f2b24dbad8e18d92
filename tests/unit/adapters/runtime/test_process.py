from __future__ import annotations

from threading import Event

import pytest

from adapters.runtime.health import Health
from adapters.runtime.process import Process
from adapters.runtime.settings import Settings
from cardwatch.errors import BrokerUnavailable, Misconfigured


@pytest.fixture
def process() -> Process:
    return Process(Settings(), Health(), Event())


def test_work_begins_again_after_a_retriable_error_and_ends_when_it_returns(
    process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    answers = iter([BrokerUnavailable("no broker"), BrokerUnavailable("no broker"), None])
    reasons: list[str | None] = []

    def work() -> None:
        reasons.append(process.health.why_not_ready)
        if (error := next(answers)) is not None:
            raise error

    process.keep_working(work, retry_seconds=0.0)
    assert reasons == ["it has just been started", "no broker", "no broker"]
    assert [record.getMessage() for record in caplog.records] == [
        "no broker; retrying every 0 s"  # once, not with every attempt
    ]


def test_an_error_that_is_not_retriable_is_raised(process: Process) -> None:
    def work() -> None:
        raise Misconfigured("CARDWATCH_HOME='/' cannot be written")

    with pytest.raises(Misconfigured):
        process.keep_working(work)


def test_work_is_not_retried_after_a_stop(process: Process) -> None:
    def work() -> None:
        process.stopping.set()
        raise BrokerUnavailable("no broker")

    process.keep_working(work)
