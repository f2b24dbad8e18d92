"""What the monitor counts and knows; what it knows comes from the topic `progress`, and survives a restart."""

from __future__ import annotations

from datetime import UTC, datetime, time
from math import nan

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from cardwatch.drift.policy import STATES
from cardwatch.progress import DayMonitored, Progress, RetrainingEnded
from services.monitor.outcomes import AlertOutcome, Outcomes

VERDICTS = ("promoted", "refused", "failed")


class MonitorMetrics:
    """One per process, for Prometheus keeps a registry of names."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        def gauge(name: str, documentation: str, *labels: str) -> Gauge:
            return Gauge(f"cardwatch_monitor_{name}", documentation, labels, registry=registry)

        self._day = gauge("day_timestamp_seconds", "The newest monitored day, its midnight in UTC.")
        self._performance = gauge("average_precision", "Of the champion's decisions on the newest matured days.")
        self._baseline = gauge("baseline_average_precision", "What it is compared with.")
        self._drift_share = gauge("drift_share", "Part of the features that have drifted from the training data.")
        self._drifted = gauge("drifted_features", "How many features have drifted.")
        self._frauds = gauge("matured_frauds", "Frauds among the newest matured days.")
        self._state = gauge("state", "1 for the state that the champion is in.", "state")
        self._version = gauge("champion_version", "The version that the newest monitored day is about.")
        self._retrainings = Counter(
            "cardwatch_monitor_retrainings", "Retrainings that have ended.", ["verdict"], registry=registry
        )
        self._matured = Counter(
            "cardwatch_monitor_matured_transactions",
            "Decided transactions whose labels have matured.",
            ["outcome"],
            registry=registry,
        )
        self._amounts = Counter(
            "cardwatch_monitor_matured_amount_minor",
            "Their amounts, in minor units of the currency.",
            ["outcome", "currency"],
            registry=registry,
        )
        self._performance.set(nan)
        self._baseline.set(nan)
        for verdict in VERDICTS:
            self._retrainings.labels(verdict)
        for outcome in AlertOutcome:
            self._matured.labels(outcome.value)

    def knows(self, record: Progress) -> None:
        """Note what a record of the topic says, past ones included."""
        if not isinstance(record, DayMonitored):
            return
        self._day.set(datetime.combine(record.day, time(), UTC).timestamp())
        # A new champion has none for some days: the last value of the old one would be taken for its own.
        self._performance.set(_or_nan(record.average_precision))
        self._baseline.set(_or_nan(record.baseline_average_precision))
        self._drift_share.set(record.drift_share)
        self._drifted.set(len(record.drifted_features))
        self._frauds.set(record.matured_frauds)
        for state in STATES:
            self._state.labels(state).set(state == record.state)
        if record.champion_version.isdecimal():
            self._version.set(int(record.champion_version))

    def retrained(self, ended: RetrainingEnded) -> None:
        """Count a retraining that has just ended; without a challenger it failed."""
        failed = ended.challenger_version is None
        self._retrainings.labels("failed" if failed else "promoted" if ended.promoted else "refused").inc()

    def matured(self, outcomes: Outcomes) -> None:
        """Count what became of the day that has just matured."""
        for (outcome, currency), total in outcomes.items():
            self._matured.labels(outcome.value).inc(total.transactions)
            self._amounts.labels(outcome.value, currency).inc(total.amount_minor)


def _or_nan(value: float | None) -> float:
    return nan if value is None else value
