"""The composition root of the function: `handle` is what Lambda calls with each batch of a shard."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from adapters.aws.kinesis import KinesisWriter
from adapters.aws.reference_table_cache import ReferenceTableCache
from adapters.aws.s3 import Bucket
from adapters.aws.sagemaker_scorer import EndpointScorer
from adapters.aws.sqs import Queue
from adapters.feature_store.dynamodb_outbox import DynamoDbOutbox
from adapters.runtime.clock import epoch_ms
from adapters.runtime.logs import set_up_logging
from adapters.runtime.policy_file import read_policies
from adapters.runtime.settings import read_settings
from cardwatch.errors import Misconfigured, StoreUnavailable
from cardwatch.features.warm_up import warm_kernel
from services.stream.aws.delivery import Delivery
from services.stream.aws.embedded_metrics import Counts
from services.stream.aws.event_records import KAFKA, batches_of, failures
from services.stream.aws.worker import BatchWorker
from services.stream.decider import Decider
from services.stream.decision_log import DecisionLog

NEEDED: Final = ("store_url", "endpoint", "data_bucket", "decisions_stream", "dead_letters_queue")


class Function:
    """Everything that lives as long as Lambda keeps the container."""

    def __init__(self) -> None:
        settings = read_settings()
        if missing := [f"CARDWATCH_{name.upper()}" for name in NEEDED if not getattr(settings, name)]:
            raise Misconfigured(f"{', '.join(missing)}: not set, and this function does not run without")
        set_up_logging(settings, "stream")
        bucket = Bucket(settings.data_bucket)
        self._tables = ReferenceTableCache(bucket, settings.tables, time.monotonic)
        self._counts = Counts(DecisionLog())
        self._worker = BatchWorker(
            DynamoDbOutbox(settings.store_url),
            self._tables,
            Decider(
                EndpointScorer(settings, timeout_seconds=settings.deadline_ms / 1_000),
                read_policies(settings).decision,
                epoch_ms,
            ),
            Delivery(
                KinesisWriter(settings.decisions_stream).write,
                bucket.put,
                Queue(settings.dead_letters_queue).send,
            ),
            self._counts,
        )
        warm_kernel()

    def handle(self, event: Mapping[str, Any], name: str) -> dict[str, list[dict[str, str]]]:
        """Decide the batch, and say which records are to come again. Raises: all of them.

        Of several partitions the names of single records would say nothing, so then it is all or nothing.
        """
        begin = time.monotonic()
        self._counts.reset()
        self._tables.refresh()
        try:
            batches = batches_of(event)
            left = [number for shard, arrivals in batches.items() for number in self._worker.work(shard, arrivals)]
            if left and event.get("eventSource") == KAFKA:
                raise StoreUnavailable(f"{len(left)} records of {len(batches)} partitions are to come again")
            return failures(left)
        finally:
            line = self._counts.line(name, now_ms=epoch_ms(), duration_ms=(time.monotonic() - begin) * 1_000)
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()


@cache
def _function() -> Function:
    return Function()


def handle(event: Mapping[str, Any], context: Any) -> dict[str, list[dict[str, str]]]:
    """Lambda's entry: an event of an event source mapping in, its partial-batch answer out."""
    return _function().handle(event, context.function_name)
