"""Composition root of the stream function: Lambda calls `handle` with each batch of a shard."""

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
from adapters.aws.secrets_manager import with_control_key
from adapters.aws.sqs import Queue
from adapters.feature_store.dynamodb_outbox import DynamoDbOutbox
from adapters.runtime.clock import epoch_ms
from adapters.runtime.logs import set_up_logging
from adapters.runtime.policy_file import read_control, read_policies
from adapters.runtime.settings import read_settings
from cardwatch.errors import Misconfigured, StoreUnavailable
from cardwatch.warm_up import warm_kernel
from services.stream.aws.delivery import DecisionDelivery
from services.stream.aws.embedded_metrics import InvocationMetrics
from services.stream.aws.event_records import KAFKA, partial_batch_response, records_by_shard
from services.stream.aws.worker import ShardWorker
from services.stream.decision_engine import DecisionEngine
from services.stream.decision_log import DecisionLog

NEEDED: Final = ("store_url", "endpoint", "data_bucket", "decisions_stream", "dead_letters_queue")


class StreamFunction:
    """Everything that is created once per Lambda container."""

    def __init__(self) -> None:
        settings = read_settings()
        if missing := [f"CARDWATCH_{name.upper()}" for name in NEEDED if not getattr(settings, name)]:
            raise Misconfigured(f"{', '.join(missing)}: this function needs them, and they are not set")
        set_up_logging(settings, "stream")
        policy = read_policies(settings).decision
        bucket = Bucket(settings.data_bucket)
        self._tables = ReferenceTableCache(bucket, settings.tables, time.monotonic)
        self._metrics = InvocationMetrics(DecisionLog())
        self._worker = ShardWorker(
            DynamoDbOutbox(settings.store_url),
            self._tables,
            DecisionEngine(
                EndpointScorer(settings, timeout_seconds=settings.deadline_ms / 1_000),
                policy,
                epoch_ms,
                read_control(with_control_key(settings, policy), policy),
            ),
            DecisionDelivery(
                KinesisWriter(settings.decisions_stream).write, bucket.put, Queue(settings.dead_letters_queue).send
            ),
            self._metrics,
        )
        warm_kernel()

    def handle(self, event: Mapping[str, Any], name: str) -> dict[str, list[dict[str, str]]]:
        """Decide the batch, and return the records that Lambda has to redeliver; after an exception it redelivers all.

        The response cannot name single records of several Kafka partitions, so then `StoreUnavailable` is raised.
        """
        begin = time.monotonic()
        self._metrics.reset()
        self._tables.refresh()
        try:
            batches = records_by_shard(event)
            failed = [number for shard, records in batches.items() for number in self._worker.process(shard, records)]
            if failed and event.get("eventSource") == KAFKA:
                raise StoreUnavailable(f"{len(failed)} records of {len(batches)} partitions were not written: retry")
            return partial_batch_response(failed)
        finally:
            line = self._metrics.line(name, now_ms=epoch_ms(), duration_ms=(time.monotonic() - begin) * 1_000)
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()


@cache
def _function() -> StreamFunction:
    return StreamFunction()


def handle(event: Mapping[str, Any], context: Any) -> dict[str, list[dict[str, str]]]:
    """Lambda's entry point: takes an event of an event source mapping, returns a partial batch response."""
    return _function().handle(event, context.function_name)
