"""A stream worker that stops itself (SIGSTOP) between its first commit and its store write; not a test.

Everything in it is the real worker; only its composition root is this one.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence

from adapters.archive.reference_tables import ReferenceTableStore
from adapters.feature_store.lmdb import LmdbStore
from adapters.runtime.clock import epoch_ms
from adapters.runtime.policy_file import read_policies
from adapters.runtime.process import run_service
from adapters.scoring.client import ScoringClient
from cardwatch.ports import StateArray
from services.stream.decision_engine import DecisionEngine
from services.stream.loop import run
from services.stream.worker import StreamWorker


class SleepsBeforeItsFirstWrite(LmdbStore):
    """The real store; the first write, which is that of a batch just committed, waits for SIGCONT."""

    slept = False

    def apply(
        self, partition: int, *, expected: int, position: int, card_ids: Sequence[str], states: StateArray
    ) -> None:
        if not self.slept:
            self.slept = True
            # To this thread: another one that the system may choose stops it some ms later, after the write.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
        super().apply(partition, expected=expected, position=position, card_ids=card_ids, states=states)


def main() -> None:
    with run_service("sleeper") as process, SleepsBeforeItsFirstWrite(process.settings.store) as store:
        settings = process.settings
        scorer = ScoringClient(settings, timeout_seconds=5.0)
        engine = DecisionEngine(scorer, read_policies(settings).decision, epoch_ms)
        worker = StreamWorker(store, ReferenceTableStore(settings.tables), engine, settings.partitioning)
        run(worker, settings.kafka, "sleeper", process.stopping, process.health)


if __name__ == "__main__":
    main()
