"""What a hundred open pages of the console cost the scoring path: stream worker, scoring service and broker.

The console reads the topics once for all pages, so three cases take turns in each round: no console, a console without
a page, and a console with a hundred pages that all read its stream. Traffic is paced, as on a screen that people watch.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from adapters.runtime.addresses import plain
from benchmarks.harness import Metrics, compared, in_rounds
from benchmarks.stream.stand import Drain, StreamStand
from cardwatch.topics import STREAM_GROUP

PAGES: Final = 100
RATE: Final = 500.0
SECONDS: Final = 15
ROUNDS: Final = 5
CONSOLE: Final = "console"
SCORING_PATH: Final = ("worker", "scoring", "broker")


def measure() -> Metrics:
    """Measure the three cases in turn on one stand."""
    with StreamStand() as stand:
        stand.start_worker()

        def without_console() -> Drain:
            return _paced(stand)

        def without_page() -> Drain:
            with _console(stand):
                return _paced(stand)

        def with_pages() -> Drain:
            with _console(stand), _open_pages(plain(stand.settings.console_url)):
                return _paced(stand)

        found = in_rounds(
            {"nothing": without_console, "console": without_page, "pages": with_pages}, rounds=ROUNDS, uncounted=1
        )
    nothing, console, pages = ([_scoring_path(drain) for drain in drains] for drains in found.values())
    own, own_with_pages = ([_console_share(drain) for drain in found[case]] for case in ("console", "pages"))
    paced = f"at {RATE:g} transactions a second"
    return {
        "console_pages_scoring_path": compared(
            pages,
            console,
            unit="us",
            how=f"processor time of worker, scoring service and broker per decision {paced} with {PAGES} open pages, "
            "over that with a console that no page reads",
            goal="at most 1.05",
        ),
        "console_scoring_path": compared(
            console,
            nothing,
            unit="us",
            how=f"the same {paced} with a console that no page reads, over that without a console",
        ),
        "console_pages_processor": compared(
            own_with_pages,
            own,
            unit="% of a core",
            how=f"processor time of the console itself {paced} with {PAGES} open pages, over that without a page",
        ),
    }


def _scoring_path(drain: Drain) -> float:
    return sum(drain.processor_us[name] for name in SCORING_PATH)


def _console_share(drain: Drain) -> float:
    """Return the share of a core that the console took, in percent."""
    return drain.processor_us[CONSOLE] * drain.rate / 1e4


def _paced(stand: StreamStand) -> Drain:
    """Measure the processes over `SECONDS` of paced traffic, and the console if it runs."""
    running = {CONSOLE: stand.pid(CONSOLE)} if CONSOLE in stand.stack.supervisor.names else {}
    begin, records = stand.ends(), int(RATE * SECONDS)
    writer = stand.write(records, rate=RATE)
    drain = stand.drain(STREAM_GROUP, {"worker": stand.pid("stream"), **running}, begin, records)
    if status := writer.wait():
        raise RuntimeError(f"the writer of transactions has ended with status {status}")
    return drain


@contextmanager
def _console(stand: StreamStand) -> Iterator[None]:
    stand.stack.start(CONSOLE)
    try:
        yield
    finally:
        stand.stack.supervisor.stop(CONSOLE)


@contextmanager
def _open_pages(url: str) -> Iterator[None]:
    command = [sys.executable, "-m", "benchmarks.open_pages", url, str(PAGES)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as pages:
        if pages.stdout is None or pages.stdout.readline().strip() != "open":
            raise RuntimeError("the pages were not opened")
        yield
        if pages.poll() is not None:
            raise RuntimeError("the console has ended the stream of a page")
        pages.communicate()
