"""Which drift report of the monitor goes with a retraining."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from pipelines.flows.retrain import newest_drift_report

DAY = date(2025, 3, 31)


def test_the_newest_report_up_to_the_day_is_an_artifact_under_its_own_name(tmp_path: Path) -> None:
    for day in ("2025-03-20", "2025-03-25", "2025-04-01"):
        (tmp_path / f"drift-{day}.html").write_text(day)
    assert newest_drift_report(tmp_path, DAY) == {"reports/drift-2025-03-25.html": b"2025-03-25"}


def test_without_a_report_of_the_last_four_weeks_there_is_none(tmp_path: Path) -> None:
    assert newest_drift_report(tmp_path / "nowhere", DAY) == {}
    (tmp_path / "drift-2025-03-03.html").write_text("28 days old")
    assert newest_drift_report(tmp_path, DAY) == {}
    (tmp_path / "drift-2025-03-04.html").write_text("27 days old")
    assert list(newest_drift_report(tmp_path, DAY)) == ["reports/drift-2025-03-04.html"]
