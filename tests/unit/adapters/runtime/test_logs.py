"""Log lines as they come out on stderr, for machines and for people."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator

import pytest

from adapters.runtime.logs import MAX_CHARACTERS, OUR_PACKAGES, about, one_line, set_up_logging
from adapters.runtime.settings import Settings


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
    logging.getLogger("services.stream.decision_log").info("%s", "declined", extra=about("t-1"))
    line = json.loads(log())
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "INFO",
        "logger": "services.stream.decision_log",
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


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_whatever_an_id_is_a_line_stays_one_line(log: Callable[[], str], log_format: str) -> None:
    set_up_logging(Settings(log_format=log_format), "stream")
    logging.getLogger("services.stream").info("declined", extra=about("t-1\nERROR forged \u20ac"))
    [line] = log().splitlines()
    assert r"t-1\nERROR forged \u20ac" in line


def test_who_sets_it_up_again_has_each_line_once(log: Callable[[], str]) -> None:
    for _ in range(2):
        set_up_logging(Settings(log_format="json"), "scoring")
    logging.getLogger("services.scoring").info("once")
    assert len(log().splitlines()) == 1


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


@pytest.mark.parametrize(
    "name", ["1 ", "4111 1111 1111 1111 ", "4 - 1 - 1 - 1 - 1 - 1 - 1 - 1 - 1 - 1 - 1 - 1 - 1 - 1 - 1 - 1 - x", "\x1b"]
)
def test_a_name_of_a_megabyte_in_a_foreign_record_takes_no_time_to_log(name: str) -> None:
    """Archive and monitor log each record that they pass over, again at every start for the topic `progress`."""
    started = time.process_time()
    line = one_line(f"Object contains unknown field `{name * (900_000 // len(name))}`")
    assert time.process_time() - started < 1.0
    assert len(line) == MAX_CHARACTERS + len("...")
    assert "4111" not in line
    assert "4 - 1 - 1" not in line
    assert line.isprintable()
