"""Timeouts and limits that both Kafka clients are set to."""

from __future__ import annotations

from typing import Final

REQUEST_SECONDS: Final = 10.0
"""Timeout of a request to the broker."""
SESSION_TIMEOUT_MS: Final = 6_000
"""Time after which the partitions of a silent worker go to others. It is the broker's minimum by default."""
HEARTBEAT_INTERVAL_MS: Final = 1_000
"""Time between two signs of life of a worker: five may be lost before the session times out."""
TRANSACTION_TIMEOUT_MS: Final = 6_000
"""Time after which the broker aborts an open transaction. Readers of committed records wait for it: if a worker is
killed within a transaction and nothing replaces it, the decisions after it are readable after this time and that in
which the broker looks for such transactions (`transaction.abort.timed.out.transaction.cleanup.interval.ms`)."""
WORKER_FETCH_WAIT_MS: Final = 50
"""Time for which the broker may hold a fetch of the stream worker if there are no records."""
MAX_RECORD_BYTES: Final = 1_000_000
"""Maximum size of key and value of a record. librdkafka's default."""
MIN_BATCH_BYTES: Final = 1_000_000
"""Minimum value of `max.message.bytes` of a topic: the largest batch that librdkafka sends. With a smaller limit the
broker would reject a transaction each time that it is repeated."""
MAX_QUEUED_RECORDS: Final = 500_000
"""Records that a producer holds. Then a write waits."""
