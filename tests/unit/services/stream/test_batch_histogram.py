"""A batch of observations gives the samples that as many single ones give in the client library."""

from __future__ import annotations

import numpy as np
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from services.stream.batch_histogram import BatchHistogram

BUCKETS = (0.005, 0.25, 1.0, 30.0)


def samples(registry: CollectorRegistry) -> set[bytes]:
    return {line for line in generate_latest(registry).splitlines() if b"_created" not in line}


def test_batches_are_exposed_as_single_observations_are() -> None:
    values = [0.001, 0.005, 0.0051, 0.25, 1.0, 29.0, 31.0]  # also values on a bound, and above all of them
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    batches = BatchHistogram("waits_seconds", "Waits.", buckets=BUCKETS, registry=ours)
    single = Histogram("waits_seconds", "Waits.", buckets=BUCKETS, registry=theirs)
    assert samples(ours) == samples(theirs)
    batches.observe(np.array(values[:3]))
    batches.observe(np.array([]))
    batches.observe(np.array(values[3:]))
    for value in values:
        single.observe(value)
    assert samples(ours) == samples(theirs)
