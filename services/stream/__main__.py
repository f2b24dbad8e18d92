"""The stream worker as a process: `python -m services.stream [--slot NAME]`."""

from __future__ import annotations

import argparse

from adapters.archived_log import ArchivedLog
from adapters.clock import epoch_ms
from adapters.feature_stores import open_store
from adapters.policies import read_policies
from adapters.process import mark_ready, run_service
from adapters.scoring_client import ScoringClient
from adapters.settings import read_settings
from adapters.table_store import TableStore
from cardwatch.features.warm import warm_kernel
from services.stream.deciding import Decider
from services.stream.loop import run
from services.stream.worker import StreamWorker

SCORING_DEADLINE_SECONDS = 5.0


def main() -> None:
    """Put the worker together and run it until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m services.stream", description=__doc__)
    parser.add_argument("--slot", default="cardwatch-stream-0", help="the worker's lasting name among its siblings")
    slot = parser.parse_args().slot
    settings = read_settings()
    policy = read_policies(settings).decision
    scorer = ScoringClient(settings, timeout_seconds=SCORING_DEADLINE_SECONDS)
    warm_kernel()
    with run_service() as stopping, open_store(settings) as store:
        worker = StreamWorker(
            store, TableStore(settings.tables), Decider(scorer, policy, epoch_ms), ArchivedLog(settings.archive)
        )
        run(worker, settings.kafka_bootstrap, slot, stopping, lambda: mark_ready(settings, "stream"))


if __name__ == "__main__":
    main()
