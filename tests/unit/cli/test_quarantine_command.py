"""`cardwatch quarantine`: what it lists, what it releases, and what it refuses."""

from __future__ import annotations

from datetime import date

import pytest
from click.testing import CliRunner

from cardwatch.data_contract.finding import DataFinding
from cardwatch.progress import DayMonitored, Progress, QuarantineReleased
from cli import quarantine as command
from cli.main import main
from tests.day_records import day_number
from tests.monitored_days import stable_day


def monitored(number: int, *, column: str | None = None) -> DayMonitored:
    day = day_number(number)
    finding = DataFinding(
        check="null_share",
        column=column or "",
        day=day,
        since=day_number(1),
        affects_from=day,
        sentence=f"{column} is missing in 100% of the records",
    )
    return stable_day(day, *([finding] if column else []))


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> list[Progress]:
    """Days 1 to 3 have no device; day 4 is right."""
    records: list[Progress] = [
        monitored(0),
        *(monitored(number, column="device_id") for number in (1, 2, 3)),
        monitored(4),
    ]
    monkeypatch.setattr(command, "read_records", lambda _settings: iter(list(records)))
    monkeypatch.setattr(command, "write_record", lambda _settings, record: records.append(record))
    return records


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["quarantine", *arguments])
    return result.exit_code, result.output


def test_lists_the_days_with_their_columns_and_whether_retraining_is_blocked(topic: list[Progress]) -> None:
    status, output = run("list")
    assert status == 0
    assert output.splitlines() == [
        "2025-01-07  device_id: device_id is missing in 100% of the records",
        "2025-01-08  device_id: device_id is missing in 100% of the records",
        "2025-01-09  device_id: device_id is missing in 100% of the records",
        "3 days are excluded from training and judging; retraining is not blocked",
    ]
    del topic[-1]
    assert run("list")[1].splitlines()[-1] == (
        "3 days are excluded from training and judging; retraining is blocked since 2025-01-07"
    )


def test_releases_the_quarantined_days_of_a_range(topic: list[Progress]) -> None:
    status, output = run("release", "--from", "2025-01-01", "--until", "2025-01-08", "--because", " a new app ")
    assert status == 0
    assert topic[-1] == QuarantineReleased(first_day=date(2025, 1, 7), day=date(2025, 1, 8), because="a new app")
    assert output.splitlines()[-1].startswith("1 day is excluded")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("2025-01-10", "2025-02-01", "why"), "no day from 2025-01-10 to 2025-02-01 is in quarantine"),
        (("2025-01-07", "2025-01-08", "  "), "--because is empty"),
    ],
)
def test_refuses_what_would_release_nothing_or_give_no_reason(
    topic: list[Progress], arguments: tuple[str, str, str], message: str
) -> None:
    first, last, because = arguments
    status, output = run("release", "--from", first, "--until", last, "--because", because)
    assert status == 2
    assert message in output
    assert not any(isinstance(record, QuarantineReleased) for record in topic)
