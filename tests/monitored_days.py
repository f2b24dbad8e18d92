"""Progress records of monitored days for tests that need one and do not look at its numbers."""

from __future__ import annotations

from datetime import date

from cardwatch.data_contract.finding import DataFinding
from cardwatch.progress import STABLE, DayMonitored


def stable_day(day: date, *findings: DataFinding) -> DayMonitored:
    """Return the record of a day on which champion 1 was stable, with these findings about the data."""
    return DayMonitored(
        day=day,
        champion_version="1",
        average_precision=None,
        baseline_average_precision=None,
        matured_frauds=0,
        drifted_features=[],
        drift_share=0.0,
        state=STABLE,
        data_findings=list(findings),
    )
