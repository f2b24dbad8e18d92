"""A stream worker that breaks its connection to the broker in the middle of its commits; not a test.

Everything in it is the real worker; only its composition root is this one. Its arguments are the address of Toxiproxy
and the name of the proxy in front of the broker.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

from kafka.producer.transaction_manager import TransactionManager

import adapters.kafka.confluent.worker as confluent_worker
import adapters.kafka.pure_python.transactions as pure_python_transactions
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.feature_store.open import open_store
from adapters.local_stack.toxiproxy import DOWNSTREAM, Toxiproxy
from adapters.runtime.clock import epoch_ms
from adapters.runtime.policy_file import read_policies
from adapters.runtime.process import run_service
from adapters.scoring.client import ScoringClient
from services.stream.decision_engine import DecisionEngine
from services.stream.loop import run
from services.stream.worker import StreamWorker
from tests.e2e.toxiproxy import Proxy

COMMIT_SECONDS = 2.0
"""How long this worker waits for a commit, instead of ten seconds, so that the test is short."""
EVERY = 8
"""Commits from one cut to the next."""
DONE = "all cuts are made"

log = logging.getLogger("cutting_worker")


class Cuts:
    """Breaks the connection at every eighth commit, each time in another way, when all but its end is sent."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._commits = 0
        self._kinds = iter([self.before_request, self.before_answer, self.for_longer_than_the_worker_waits] * 2)

    def begin_commit(self) -> None:
        """The records and offsets are sent, and the request to commit is next."""
        self._commits += 1
        if self._commits % EVERY:
            return
        kind = next(self._kinds, None)
        if kind is None:
            log.warning(DONE)
            return
        log.warning("cut %s", kind.__name__)
        kind()

    def before_request(self) -> None:
        """The request cannot be sent, for a second."""
        self._proxy.refuse()
        self._later(0.5, self._proxy.accept)

    def before_answer(self) -> None:
        """The broker commits, and its answer is lost with the connection."""
        self._proxy.swallow(DOWNSTREAM)
        self._later(0.5, self._proxy.heal)

    def for_longer_than_the_worker_waits(self) -> None:
        """The broker commits, and the worker gives up before it can learn that."""
        self._proxy.swallow(DOWNSTREAM)
        self._later(COMMIT_SECONDS + 2.0, self._proxy.heal)

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        def wait() -> None:
            time.sleep(seconds)
            act()

        threading.Thread(target=wait).start()


def break_commits(cuts: Cuts) -> None:
    """Call `cuts.begin_commit` at each commit of either client."""

    class CutProducer(confluent_worker.Producer):  # type: ignore[misc]
        def commit_transaction(self, *arguments: Any) -> None:
            self.flush(COMMIT_SECONDS)  # it is part of the commit, and would be cut instead
            cuts.begin_commit()
            super().commit_transaction(*arguments)

    begin_commit = TransactionManager.begin_commit

    def cut_then_commit(self: Any) -> Any:
        cuts.begin_commit()
        return begin_commit(self)

    confluent_worker.Producer = CutProducer
    TransactionManager.begin_commit = cut_then_commit
    confluent_worker.REQUEST_SECONDS = confluent_worker.OFFSETS_SECONDS = COMMIT_SECONDS
    pure_python_transactions.REQUEST_SECONDS = COMMIT_SECONDS


def main() -> None:
    url, name = sys.argv[1:]
    with run_service("stream") as process:
        break_commits(Cuts(Proxy(Toxiproxy(url), name)))
        settings = process.settings
        scorer = ScoringClient(settings, timeout_seconds=5.0)
        with closing(scorer), open_store(settings) as store:
            engine = DecisionEngine(scorer, read_policies(settings).decision, epoch_ms)
            worker = StreamWorker(store, ReferenceTableStore(settings.tables), engine, settings.partitioning)
            process.keep_working(lambda: run(worker, settings.kafka, "stream", process.stopping, process.health))


if __name__ == "__main__":
    main()
