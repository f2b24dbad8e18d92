"""How long a batch of the worker takes in each step of the commit order, from the worker's metrics."""

from __future__ import annotations

import statistics
import urllib.request
from collections import defaultdict
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.harness import Metric, Metrics

STEP_SECONDS: Final = "cardwatch_stream_step_seconds"
BATCH: Final = "cardwatch_stream_batch_transactions"


class Hops:
    """Mean times of batches in milliseconds by step, and mean sizes of batches, one for each run."""

    def __init__(self) -> None:
        self.milliseconds: defaultdict[str, list[float]] = defaultdict(list)
        self.transactions: list[float] = []

    def note(self, address: str) -> None:
        """Read the metrics of a worker at this address, which has run since the last note."""
        with urllib.request.urlopen(f"{address}/metrics", timeout=10.0) as response:  # noqa: S310 (our own address)
            text = response.read().decode()
        samples = {
            (sample.name, sample.labels.get("step", "")): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        for name, step in list(samples):
            if name == f"{STEP_SECONDS}_count" and (count := samples[name, step]):
                self.milliseconds[step].append(samples[f"{STEP_SECONDS}_sum", step] / count * 1000.0)
        self.transactions.append(samples[f"{BATCH}_sum", ""] / samples[f"{BATCH}_count", ""])

    def metrics(self, rate: float) -> Metrics:
        """Return a metric for each step, and the size of a batch."""
        how = f"mean of a batch in this step at {rate:.0f}/s"
        return {
            **{
                f"stream_hop_{step}": Metric(value=statistics.median(values), unit="ms", how=how)
                for step, values in self.milliseconds.items()
            },
            "stream_hop_batch": Metric(
                value=statistics.median(self.transactions),
                unit="transactions",
                how=f"mean size of a batch at {rate:.0f}/s",
            ),
        }
