from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from threading import Event

import pytest

from adapters.health import Health
from adapters.logs import OUR_PACKAGES, about, set_up_logging
from adapters.process import Process
from adapters.settings import Settings
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


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """What has been written to the log since the last question; logging is as before afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield lambda: capsys.readouterr().err
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in OUR_PACKAGES:
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_a_line_for_machines_says_when_who_where_and_about_which_transaction(log: Callable[[], str]) -> None:
    set_up_logging(Settings(log_format="json"), "stream")
    logging.getLogger("services.stream.telling").info("%s", "declined", extra=about("t-1"))
    line = json.loads(log())
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "INFO",
        "logger": "services.stream.telling",
        "message": "declined",
        "service": "stream",
        "transaction_id": "t-1",
    }


def test_a_traceback_is_a_field_of_its_line(log: Callable[[], str]) -> None:
    set_up_logging(Settings(log_format="json"), "stream")
    try:
        raise ValueError("odd")
    except ValueError:
        logging.getLogger("services.stream").exception("it went wrong")
    [line] = log().splitlines()
    assert json.loads(line)["exc_info"].endswith("ValueError: odd")


def test_a_line_for_people_has_the_transaction_at_its_end(log: Callable[[], str]) -> None:
    set_up_logging(Settings(), "stream")
    logging.getLogger("services.stream").info("declined", extra=about("t-1"))
    logging.getLogger("services.stream").info("took over")
    first, second = log().splitlines()
    assert first.endswith("INFO    services.stream  declined  [t-1]")
    assert second.endswith("INFO    services.stream  took over")


def test_only_at_debug_each_transaction_has_its_line_and_libraries_only_warn(log: Callable[[], str]) -> None:
    set_up_logging(Settings(), "stream")
    logging.getLogger("services.stream").debug("approved", extra=about("t-1"))
    logging.getLogger("httpx").info("GET")
    assert log() == ""
    set_up_logging(Settings(log_level="DEBUG"), "stream")
    logging.getLogger("services.stream").debug("approved", extra=about("t-1"))
    logging.getLogger("httpx").info("GET")
    [line] = log().splitlines()
    assert line.endswith("approved  [t-1]")
