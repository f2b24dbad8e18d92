"""The quarantine as a function of the findings and releases so far."""

from datetime import date

from msgspec import structs

from cardwatch.data_contract.finding import DataFinding
from cardwatch.data_contract.quarantine import (
    QuarantineState,
    after_day,
    after_release,
    blocked_reasons,
    newest_days,
    sentences_of,
    with_since,
)
from tests.day_records import day_number


def finding(number: int, *, column: str = "device_id", blocks: bool = True, since: int | None = None) -> DataFinding:
    day = day_number(number)
    return DataFinding(
        check="null_share",
        column=column,
        day=day,
        since=day if since is None else day_number(since),
        affects_from=day,
        sentence=f"{column} is missing",
        blocks=blocks,
    )


def after(findings_by_day: list[list[DataFinding]], state: QuarantineState | None = None) -> QuarantineState:
    state = state or QuarantineState()
    for number, findings in enumerate(findings_by_day):
        state = after_day(state, day_number(number), "1", findings)
    return state


def excluded(*numbers: int) -> frozenset[date]:
    return frozenset(day_number(number) for number in numbers)


def test_a_day_with_a_finding_is_excluded_and_opens_the_quarantine() -> None:
    state = after([[], [finding(1)]])
    assert state.excluded_days == excluded(1)
    assert state.open_findings == (finding(1),)


def test_a_day_without_findings_closes_it_and_the_days_stay_excluded() -> None:
    state = after([[finding(0)], [finding(1)], []])
    assert state.open_findings == ()
    assert state.excluded_days == excluded(0, 1)


def test_a_finding_that_does_not_block_excludes_nothing() -> None:
    state = after([[finding(0, blocks=False)]])
    assert (state.open_findings, state.excluded_days) == ((), frozenset())
    assert blocked_reasons([finding(0, blocks=False)]) == []


def test_missing_labels_exclude_the_days_before_too() -> None:
    silent = structs.replace(finding(3, column="labels"), affects_from=day_number(1))
    assert after([[], [], [], [silent]]).excluded_days == excluded(1, 2, 3)


def test_a_release_ends_the_exclusion_of_its_days_and_accepts_what_was_found() -> None:
    state = after_release(after([[finding(0)], [finding(1)], []]), day_number(0), day_number(0))
    assert state.excluded_days == excluded(1)
    assert state.accepted == (finding(0),)


def test_the_release_of_the_newest_day_closes_the_quarantine() -> None:
    state = after([[finding(0)], [finding(1)]])
    assert after_release(state, day_number(0), day_number(0)).open_findings == (finding(1),)
    assert after_release(state, day_number(0), day_number(1)).open_findings == ()


def test_the_release_of_days_without_findings_changes_nothing() -> None:
    state = after([[finding(0)], []])
    assert after_release(state, day_number(1), day_number(9)) == state


def test_what_was_accepted_ends_with_the_champion() -> None:
    state = after_release(after([[finding(0)]]), day_number(0), day_number(0))
    assert state.accepted_for("1") == (finding(0),)
    assert state.accepted_for("2") == ()
    assert after_day(state, day_number(1), "2", []).accepted == ()


def test_a_finding_knows_since_when_it_is_found_without_interruption() -> None:
    state = after([[finding(0), finding(0, column="latitude")], [finding(1, since=0)]])
    assert with_since(state, [finding(2), finding(2, column="latitude")]) == [
        finding(2, since=0),
        finding(2, column="latitude"),
    ]


def test_the_reasons_name_the_columns_and_the_first_day() -> None:
    both = [finding(2, since=0), finding(2, column="latitude")]
    assert blocked_reasons(both) == [
        "retraining is blocked by a quarantine since 2025-01-06: the data contract fails for device_id, latitude"
    ]
    assert sentences_of(both) == ["device_id is missing, since 2025-01-06", "latitude is missing"]
    channels = [structs.replace(finding(2), channel=channel) for channel in ("chip", "atm", "swipe")]
    assert sentences_of(channels) == ["device_id is missing (and 2 more channels)"]


def test_the_newest_days_leave_out_excluded_ones() -> None:
    days = [day_number(number) for number in range(5)]
    assert newest_days(days, 2, excluded(4, 2)) == [day_number(1), day_number(3)]
    assert newest_days(days, 9, frozenset(days)) == []
