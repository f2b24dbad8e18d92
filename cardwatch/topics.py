"""Names that every process shares: the topics, the group of the stream workers, and the kinds of archived records."""

from __future__ import annotations

from typing import Final

TRANSACTIONS: Final = "transactions"
"""The log: one record per payment attempt, keyed by card. It is also the archive's name for this kind of record."""
DECISIONS: Final = "decisions"
"""The decisions of record, keyed by card, each in the partition number of its transaction."""
LABELS: Final = "labels"
"""Labels of transactions, fraud or not, keyed by card."""
DEAD_LETTERS: Final = "dead-letters"
"""Records that could not be accepted, with the reason."""
PROGRESS: Final = "progress"
"""Events of simulated days, drift and retraining, in one partition: `cardwatch.progress`."""

KEYED_TOPICS: Final = (TRANSACTIONS, DECISIONS, LABELS, DEAD_LETTERS)
"""Topics with one partition number per card."""
SINGLE_PARTITION_TOPICS: Final = (PROGRESS,)

STREAM_GROUP: Final = "cardwatch-stream"
"""The consumer group of the stream workers."""
