"""Metrics of an invocation, as a log line in CloudWatch's embedded metric format.

Source: AWS, "Specification: Embedded metric format". Lambda writes standard output to CloudWatch Logs.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from services.stream.batch import Batch
from services.stream.decision_engine import DecidedBatches
from services.stream.decision_log import DecisionLog

NAMESPACE: Final = "Cardwatch"
COUNTS: Final = ("Decisions", "Degraded", "Repeats", "Redelivered", "DeadLetters", "Refused")
MILLISECONDS: Final = ("Duration", "Latency")


class InvocationMetrics:
    """Counts of one invocation. `Latency` is the highest of its decisions, from arrival to decision."""

    def __init__(self, decision_log: DecisionLog) -> None:
        self._decision_log = decision_log
        self.reset()

    def reset(self) -> None:
        """Start an invocation."""
        self._counts: Counter[str] = Counter()
        self._latency_ms = 0.0

    def count_delivered(self, batch: Batch, decided: DecidedBatches, refused: set[str]) -> None:
        """Count and log a batch that was delivered, except for the cards in `refused`."""
        delivered = [decision for decision in decided.decisions if decision.transaction.card_id not in refused]
        self._counts["Decisions"] += len(delivered)
        self._counts["Degraded"] += sum(decision.degraded for decision in delivered)
        self._counts["Repeats"] += int(batch.folded.rows.duplicates.sum())
        self._counts["Refused"] += len(refused)
        self._latency_ms = max([self._latency_ms, *(decision.latency_ms for decision in delivered)])
        self._decision_log.log_committed([batch], decided)

    def count_redelivered(self, records: int) -> None:
        """Count records that were folded by an earlier invocation."""
        self._counts["Redelivered"] += records

    def count_dead_letters(self, letters: int) -> None:
        """Count records that hold no valid transaction."""
        self._counts["DeadLetters"] += letters

    def line(self, function: str, *, now_ms: float, duration_ms: float) -> dict[str, Any]:
        """Return the log line of this invocation."""
        metrics = [{"Name": name, "Unit": "Count"} for name in COUNTS]
        metrics += [{"Name": name, "Unit": "Milliseconds"} for name in MILLISECONDS]
        return {
            "_aws": {
                "Timestamp": int(now_ms),
                "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": [["Function"]], "Metrics": metrics}],
            },
            "Function": function,
            **{name: self._counts[name] for name in COUNTS},
            "Duration": round(duration_ms, 3),
            "Latency": round(self._latency_ms, 3),
        }
