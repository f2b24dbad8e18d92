"""Signals: what the monitor has noticed on a day, each with its severity.

    watch     it is shown and named in reasons; nobody needs to act
    alert     somebody should look: the champion has decayed, or the data are wrong
    retrain   a retraining starts

Severities follow from the assessment (`cardwatch.drift.assessment`) and from nothing else, so that page, log and metric
say the same. A signal keeps the day on which it began: it is new once, however many days it lasts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Final

from msgspec import structs

from cardwatch.data_contract.finding import DataFinding
from cardwatch.data_contract.quarantine import sentences_of
from cardwatch.label_states import LabelCoverage
from cardwatch.progress import ActionShareChange, NullShareChange, Signal

WATCH: Final = "watch"
ALERT: Final = "alert"
RETRAIN: Final = "retrain"
SEVERITIES: Final = (WATCH, ALERT, RETRAIN)

DATA_DRIFT: Final = "data drift"
PERFORMANCE: Final = "performance"
RETRAINING_WAITS: Final = "retraining waits"
DATA_CONTRACT: Final = "data contract"
MISSING_VALUES: Final = "missing values"
ACTIONS: Final = "actions"
NOT_COMPARED: Final = "not compared"
LABEL_COVERAGE: Final = "label coverage"
SIGNALS: Final = (
    DATA_DRIFT,
    PERFORMANCE,
    RETRAINING_WAITS,
    DATA_CONTRACT,
    MISSING_VALUES,
    ACTIONS,
    NOT_COMPARED,
    LABEL_COVERAGE,
)
"""The names of all signals."""


def signals(day: date, name: str, severity: str, sentences: Iterable[str]) -> list[Signal]:
    """Return a signal of `day` for each sentence."""
    return [Signal(name=name, severity=severity, since=day, sentence=sentence) for sentence in sentences]


def contract_signals(day: date, findings: Sequence[DataFinding]) -> list[Signal]:
    """Return the signals of the data contract: a finding that blocks is an alert, any other is watched."""
    blocking = [finding for finding in findings if finding.blocks]
    others = [finding for finding in findings if not finding.blocks]
    return [
        *signals(day, DATA_CONTRACT, ALERT, sentences_of(blocking)),
        *signals(day, DATA_CONTRACT, WATCH, sentences_of(others)),
    ]


def null_share_signals(day: date, changes: Mapping[str, NullShareChange]) -> list[Signal]:
    """Return the signal of features that are missing much more or less often."""
    shown = [f"{name} {change.reference:.0%} to {change.current:.0%}" for name, change in changes.items()]
    sentences = [f"the share of missing values has changed: {', '.join(shown)}"] if shown else []
    return signals(day, MISSING_VALUES, WATCH, sentences)


def action_signals(day: date, changes: Mapping[str, ActionShareChange]) -> list[Signal]:
    """Return the signal of actions that are much more or less frequent."""
    shown = [f"{name} {change.reference:.2%} to {change.current:.2%}" for name, change in changes.items()]
    return signals(day, ACTIONS, WATCH, [f"the share of decisions has changed: {', '.join(shown)}"] if shown else [])


def not_compared_signals(day: date, not_compared: Mapping[str, str]) -> list[Signal]:
    """Return the signals of columns that cannot be compared, by their reason."""
    names_of: dict[str, list[str]] = {}
    for name, reason in not_compared.items():
        names_of.setdefault(reason, []).append(name)
    sentences = [f"cannot be compared, because {reason}: {', '.join(names)}" for reason, names in names_of.items()]
    return signals(day, NOT_COMPARED, WATCH, sentences)


def coverage_signals(day: date, coverage: LabelCoverage | None) -> list[Signal]:
    """Return the signal of labels that say too little: more outcomes are unknown for good than frauds are known."""
    if coverage is None or coverage.censored <= coverage.known_fraud:
        return []
    return signals(
        day,
        LABEL_COVERAGE,
        WATCH,
        [
            f"{coverage.censored} declined transactions will never have an outcome, and only {coverage.known_fraud} "
            "frauds are known: performance says little about what is declined"
        ],
    )


def with_beginnings(found: Iterable[Signal], before: Iterable[Signal]) -> list[Signal]:
    """Return the signals with the day on which they began: that of the signals of the day before, by name."""
    since: dict[str, date] = {}
    for signal in before:
        since[signal.name] = min(signal.since, since.get(signal.name, signal.since))
    return [structs.replace(signal, since=since.get(signal.name, signal.since)) for signal in found]
