"""Metrics of the monitor. Gauges show the newest progress record, so that they survive a restart; counters do not."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable
from datetime import UTC, datetime, time
from math import nan

from msgspec import structs
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from adapters.kafka.skipped_records import SkippedRecords
from cardwatch.data_contract.finding import ALL_RECORDS
from cardwatch.data_contract.quarantine import QuarantineState
from cardwatch.drift.missed_frauds import MissedFrauds
from cardwatch.drift.signals import SEVERITIES, SIGNALS
from cardwatch.progress import STATES, DayMonitored, Progress, RetrainingEnded, Signal
from cardwatch.topics import PROGRESS
from services.monitor.outcomes import AlertOutcome, Outcomes

VERDICTS = ("promoted", "refused", "failed")


class MonitorMetrics:
    """Metrics of one process; a second instance needs its own registry."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        def gauge(name: str, documentation: str, *labels: str) -> Gauge:
            return Gauge(f"cardwatch_monitor_{name}", documentation, labels, registry=registry)

        def counter(name: str, documentation: str, *labels: str) -> Counter:
            return Counter(f"cardwatch_monitor_{name}", documentation, labels, registry=registry)

        self.skipped = SkippedRecords((PROGRESS,), registry)
        self._day = gauge("day_timestamp_seconds", "The newest monitored day, its midnight in UTC.")
        self._performance = gauge("average_precision", "Of the champion's decisions on the newest matured days.")
        self._baseline = gauge("baseline_average_precision", "Average precision that the champion is compared with.")
        self._missed = gauge(
            "missed_frauds_per_10000", "Approved frauds per 10,000 of the champion's decisions on the same days."
        )
        self._baseline_missed = gauge(
            "baseline_missed_frauds_per_10000", "Missed frauds that the champion is compared with."
        )
        self._estimated = gauge(
            "estimated_average_precision", "Of the newest decisions, as their probabilities expect it, without labels."
        )
        self._estimate_of_matured = gauge(
            "estimate_of_matured_average_precision", "The estimate for the days of the measured average precision."
        )
        self._least_recall = gauge(
            "least_recall", "Least possible share of the fraud on the matured days that decisions stopped."
        )
        self._most_recall = gauge("most_recall", "Largest possible share, whatever was declined and not explained.")
        self._actions = gauge("action_share_changes", "How many actions are much more or less frequent than before.")
        self._drift_share = gauge("drift_share", "Part of the features that have drifted from the training data.")
        self._drifted = gauge("drifted_features", "How many features have drifted.")
        self._not_compared = gauge("features_not_compared", "How many features cannot be compared.")
        self._null_shares = gauge("null_share_changes", "How many features are missing much more or less often.")
        self._findings = gauge("data_findings", "Findings of the data contract on the newest monitored day.", "column")
        self._quarantined = gauge("quarantined_days", "Days that are excluded from training and judging.")
        self._frauds = gauge("matured_frauds", "Frauds among the newest matured days.")
        self._signals = gauge(
            "signals",
            "What was noticed on the newest monitored day: sentences of each name and severity.",
            "signal",
            "severity",
        )
        self._state = gauge("state", "1 for the state that the champion is in.", "state")
        self._version = gauge("champion_version", "The version that the newest monitored day is about.")
        self._labels = gauge(
            "label_states",
            "Decisions on the matured days of the average precision, and on the newest days, by what is known of them.",
            "state",
        )
        self._retrainings = counter("retrainings", "Retrainings that have ended.", "verdict")
        self._matured = counter("matured_transactions", "Decided transactions whose labels have matured.", "outcome")
        self._amounts = counter(
            "matured_amount_minor", "Their amounts, in minor units of the currency.", "outcome", "currency"
        )
        self._performance.set(nan)
        self._baseline.set(nan)
        self._missed.set(nan)
        self._baseline_missed.set(nan)
        self._estimated.set(nan)
        self._estimate_of_matured.set(nan)
        self._least_recall.set(nan)
        self._most_recall.set(nan)
        for verdict in VERDICTS:
            self._retrainings.labels(verdict)
        for outcome in AlertOutcome:
            self._matured.labels(outcome.value)

    def set_day(self, record: Progress) -> None:
        """Set the gauges from the record of a monitored day; other records are ignored."""
        if not isinstance(record, DayMonitored):
            return
        self._day.set(datetime.combine(record.day, time(), UTC).timestamp())
        # A new champion has no performance for some days. NaN replaces the value of the old champion.
        self._performance.set(_or_nan(record.average_precision))
        self._baseline.set(_or_nan(record.baseline_average_precision))
        self._missed.set(_missed_per_10000(record))
        self._baseline_missed.set(_or_nan(record.baseline_missed_per_10000))
        self._estimated.set(_or_nan(record.estimated_average_precision))
        self._estimate_of_matured.set(_or_nan(record.estimate_of_matured))
        bounds = record.recall_bounds
        self._least_recall.set(nan if bounds is None else bounds.low)
        self._most_recall.set(nan if bounds is None else bounds.high)
        self._actions.set(len(record.action_share_changes))
        self._drift_share.set(record.drift_share)
        self._drifted.set(len(record.drifted_features))
        self._not_compared.set(len(record.not_compared))
        self._null_shares.set(len(record.null_share_changes))
        self._frauds.set(record.matured_frauds)
        if record.label_coverage is not None:
            for name, count in structs.asdict(record.label_coverage).items():
                self._labels.labels(name).set(count)
        self._set_signals(record.signals)
        for state in STATES:
            self._state.labels(state).set(state == record.state)
        if record.champion_version.isdecimal():
            self._version.set(int(record.champion_version))

    def _set_signals(self, signals: Iterable[Signal]) -> None:
        """Set the number of signals by name and severity, 0 for those that are not there."""
        counts = Tally((signal.name, signal.severity) for signal in signals)
        for name in SIGNALS:
            for severity in SEVERITIES:
                self._signals.labels(name, severity).set(counts[name, severity])

    def set_quarantine(self, quarantine: QuarantineState) -> None:
        """Set the number of excluded days, and of the newest day's findings that block, by column.

        A column without a finding has no series, except `ALL_RECORDS`: so a panel shows 0 where all data are right, and
        nothing where nothing was checked.
        """
        self._quarantined.set(len(quarantine.excluded_days))
        self._findings.clear()
        self._findings.labels(ALL_RECORDS).set(0)
        for column, findings in Tally(finding.column for finding in quarantine.open_findings).items():
            self._findings.labels(column).set(findings)

    def count_retraining(self, ended: RetrainingEnded) -> None:
        """Count an ended retraining; without a challenger it failed."""
        failed = ended.challenger_version is None
        self._retrainings.labels("failed" if failed else "promoted" if ended.promoted else "refused").inc()

    def count_outcomes(self, outcomes: Outcomes) -> None:
        """Count the outcomes of a day that has matured."""
        for (outcome, currency), total in outcomes.items():
            self._matured.labels(outcome.value).inc(total.transactions)
            self._amounts.labels(outcome.value, currency).inc(total.amount_minor)


def _missed_per_10000(record: DayMonitored) -> float:
    if not record.matured_decisions:
        return nan
    return MissedFrauds(frauds=record.missed_frauds, decisions=record.matured_decisions).per_10000


def _or_nan(value: float | None) -> float:
    return nan if value is None else value
