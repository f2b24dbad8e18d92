"""Bounds of the share of fraud that decisions stopped, and their way into the metrics."""

from __future__ import annotations

from datetime import date
from math import isnan

import numpy as np
import pyarrow as pa
from msgspec import structs
from prometheus_client import CollectorRegistry

from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.label_states import LabelState
from cardwatch.progress import RecallBounds
from services.monitor.metrics import MonitorMetrics
from services.monitor.performance import bound_recall
from tests.monitored_days import stable_day

POLICY = DecisionPolicy(challenge_stops_fraud=0.75)
FRAUD, GENUINE, CENSORED = LabelState.KNOWN_FRAUD, LabelState.PRESUMED_GENUINE, LabelState.CENSORED


def bounds(*rows: tuple[str, LabelState]) -> RecallBounds | None:
    actions, states = zip(*rows, strict=True)
    return bound_recall(pa.table({"action": list(actions)}), np.array(states, np.int8), POLICY)


def test_an_unexplained_decline_may_be_stopped_fraud_or_none() -> None:
    # Of two known frauds one was approved, and of the challenged one 0.75 is stopped. The decline makes it 1.75 of 3.
    known = [("approve", FRAUD), ("challenge", FRAUD), ("approve", GENUINE)]
    assert bounds(*known) == RecallBounds(low=0.375, high=0.375)
    assert bounds(*known, ("decline", CENSORED)) == RecallBounds(low=0.375, high=1.75 / 3)


def test_without_any_possible_fraud_there_are_no_bounds() -> None:
    assert bounds(("approve", GENUINE)) is None


def test_the_metrics_show_the_bounds_of_the_newest_day_and_nothing_without_them() -> None:
    counted = CollectorRegistry()
    metrics = MonitorMetrics(counted)
    record = structs.replace(stable_day(date(2025, 3, 3)), recall_bounds=RecallBounds(low=0.0, high=0.5))

    def shown() -> list[float]:
        names = ("least_recall", "most_recall")
        return [counted.get_sample_value(f"cardwatch_monitor_{name}") or 0.0 for name in names]

    metrics.set_day(record)
    assert shown() == [0.0, 0.5]
    metrics.set_day(structs.replace(record, recall_bounds=None))
    assert all(map(isnan, shown()))
