"""What a call has done, as a line of CloudWatch's embedded metric format: a log line that becomes metrics.

Source: AWS, "Specification: Embedded metric format". The line goes to standard output, which is Lambda's log.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from services.stream.batch import Batch
from services.stream.decider import Decided
from services.stream.decision_log import DecisionLog

NAMESPACE: Final = "Cardwatch"
COUNTS: Final = ("Decisions", "Degraded", "Repeats", "Redelivered", "DeadLetters", "Refused")
MILLISECONDS: Final = ("Duration", "Latency")


class Counts:
    """Counts over one call. `Latency` is the oldest decision's, from arrival to decision."""

    def __init__(self, teller: DecisionLog) -> None:
        self._teller = teller
        self.reset()

    def reset(self) -> None:
        """Begin a call."""
        self._counts: Counter[str] = Counter()
        self._latency_ms = 0.0

    def decided(self, batch: Batch, decided: Decided, refused: set[str]) -> None:
        """See `services.stream.aws.worker.Tells`."""
        [decisions] = decided.decisions
        own = [each for each in decisions if each.transaction.card_id not in refused]
        self._counts["Decisions"] += len(own)
        self._counts["Degraded"] += sum(each.degraded for each in own)
        self._counts["Repeats"] += int(batch.folded.duplicates.sum())
        self._counts["Refused"] += len(refused)
        self._latency_ms = max([self._latency_ms, *(each.latency_ms for each in own)])
        self._teller.tell([batch], decided)

    def redelivered(self, records: int) -> None:
        """See `services.stream.aws.worker.Tells`."""
        self._counts["Redelivered"] += records

    def dead(self, letters: int) -> None:
        """See `services.stream.aws.worker.Tells`."""
        self._counts["DeadLetters"] += letters

    def line(self, function: str, *, now_ms: float, duration_ms: float) -> dict[str, Any]:
        """The line of this call."""
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
