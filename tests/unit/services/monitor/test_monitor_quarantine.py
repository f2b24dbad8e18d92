"""What the monitor does while the data contract fails, and after a release."""

from pathlib import Path

import pytest

from cardwatch.progress import (
    QuarantineReleased,
)
from tests.monitor_parts import RETRAINED_ON, Parts, live, on


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(tmp_path)


@pytest.mark.rubric("monitor-2")
def test_no_retraining_starts_while_the_data_contract_fails_and_its_days_are_left_out_afterwards(parts: Parts) -> None:
    first, last = RETRAINED_ON - 1, RETRAINED_ON + 4
    parts.observer.broken = {on(day) for day in range(first, last + 1)}
    for day in range(last + 1):
        parts.run(parts.monitor(), *live(day))  # restarted before each day
    assert parts.deployments.requested == []
    assert parts.counted.get_sample_value("cardwatch_monitor_data_findings", {"column": "device_id"}) == 1.0
    parts.run(parts.monitor(), *live(last + 1))
    [(_, parameters)] = parts.deployments.requested
    assert parameters["excluded_days"] == [on(day).isoformat() for day in range(first, last + 1)]
    assert parts.counted.get_sample_value("cardwatch_monitor_data_findings", {"column": "device_id"}) is None
    assert parts.counted.get_sample_value("cardwatch_monitor_data_findings", {"column": "records"}) == 0.0
    assert parts.counted.get_sample_value("cardwatch_monitor_quarantined_days") == last + 1 - first


def test_a_release_ends_the_exclusion_of_its_days(parts: Parts) -> None:
    parts.observer.broken = {on(0), on(1)}
    released = QuarantineReleased(first_day=on(0), day=on(0), because="the source confirms them")
    parts.run(parts.monitor(), *live(0, 1), released, *live(*range(2, RETRAINED_ON + 1)))
    [(_, parameters)] = parts.deployments.requested
    assert parameters["excluded_days"] == [on(1).isoformat()]
