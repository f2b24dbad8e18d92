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


def test_work_is_begun_again_after_what_may_pass_and_ends_when_it_returns(
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
        "waiting, and trying again every 0 s: no broker"  # said once, not with every attempt
    ]


def test_what_does_not_pass_by_itself_is_raised(process: Process) -> None:
    def work() -> None:
        raise Misconfigured("CARDWATCH_HOME='/' cannot be written")

    with pytest.raises(Misconfigured):
        process.keep_working(work)


def test_whoever_is_asked_to_stop_does_not_try_again(process: Process) -> None:
    def work() -> None:
        process.stopping.set()
        raise BrokerUnavailable("no broker")

    process.keep_working(work)
