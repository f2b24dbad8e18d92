"""End of days that no source announces: by heartbeats, by event times, and with wrong clocks among them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardwatch.progress import Heartbeat
from services.archive.watermarks import ALLOWED_LATENESS_MS, NEWEST_RECORDS, Watermarks

DAY = date(2025, 1, 6)
NOON = datetime(2025, 1, 6, 12, tzinfo=UTC)
MIDNIGHT = datetime(2025, 1, 7, tzinfo=UTC)
LATENESS = timedelta(milliseconds=ALLOWED_LATENESS_MS)
FAR = datetime(2099, 1, 1, tzinfo=UTC)


def everything_read(_partition: int) -> int:
    return 1_000_000


def ended(watermarks: Watermarks, after: date | None = None) -> list[date]:
    return watermarks.ended_days(after, everything_read)


def heartbeat(
    at: datetime, source: str = "pos", *, ends: dict[str, int] | None = None, last: bool = False
) -> Heartbeat:
    return Heartbeat(source=source, at=at, transaction_ends=ends or {}, last=last)


def seen(*moments: tuple[int, datetime], partitions: int = 2, repeat: int = NEWEST_RECORDS) -> Watermarks:
    """Return watermarks with each (partition, time) added `repeat` times."""
    watermarks = Watermarks(range(partitions))
    for partition, moment in moments:
        for _ in range(repeat):
            watermarks.add_transaction(partition, moment)
    return watermarks


def test_a_day_is_over_when_every_partition_is_past_its_end_by_the_lateness() -> None:
    watermarks = seen((0, NOON), (0, MIDNIGHT + LATENESS), (1, MIDNIGHT + LATENESS - timedelta(milliseconds=1)))
    assert ended(watermarks) == []
    watermarks = seen((0, NOON), (0, MIDNIGHT + LATENESS), (1, MIDNIGHT + LATENESS))
    assert ended(watermarks) == [DAY]


def test_a_day_that_was_closed_is_not_over_again() -> None:
    watermarks = seen((0, NOON), (0, MIDNIGHT + LATENESS), (1, MIDNIGHT + LATENESS))
    assert ended(watermarks, after=DAY) == []


def test_an_idle_partition_keeps_the_day_open_until_a_heartbeat() -> None:
    watermarks = seen((0, NOON), (0, MIDNIGHT + 2 * LATENESS))
    assert ended(watermarks) == []
    assert "partitions [1] have fewer than 31" in watermarks.blocking_reason()
    watermarks.add_heartbeat(heartbeat(MIDNIGHT))
    assert ended(watermarks) == [DAY]


def test_a_heartbeat_ends_a_day_after_which_all_partitions_are_idle() -> None:
    watermarks = seen((0, NOON), repeat=1)
    watermarks.add_heartbeat(heartbeat(MIDNIGHT - timedelta(milliseconds=1)))
    assert ended(watermarks) == []
    watermarks.add_heartbeat(heartbeat(MIDNIGHT))
    assert ended(watermarks) == [DAY]


def test_a_heartbeat_is_confirmed_when_its_positions_have_been_read() -> None:
    watermarks = seen((0, NOON), repeat=1)
    watermarks.add_heartbeat(heartbeat(MIDNIGHT, ends={"0": 5, "1": 7}))
    assert watermarks.ended_days(None, {0: 5, 1: 6}.__getitem__) == []
    assert "first heartbeats" in watermarks.blocking_reason()
    assert watermarks.ended_days(None, {0: 5, 1: 7}.__getitem__) == [DAY]


def test_of_several_sources_the_slowest_decides() -> None:
    watermarks = seen((0, NOON), (0, MIDNIGHT + 2 * LATENESS), (1, MIDNIGHT + 2 * LATENESS))
    watermarks.add_heartbeat(heartbeat(MIDNIGHT + LATENESS, "quick"))
    watermarks.add_heartbeat(heartbeat(NOON, "slow"))
    assert ended(watermarks) == []
    assert "'slow'" in watermarks.blocking_reason()
    watermarks.add_heartbeat(heartbeat(MIDNIGHT, "slow"))
    assert ended(watermarks) == [DAY]


def test_a_source_that_has_ended_is_not_waited_for() -> None:
    watermarks = seen((0, NOON), repeat=1)
    watermarks.add_heartbeat(heartbeat(NOON, "ended", last=True))
    watermarks.add_heartbeat(heartbeat(MIDNIGHT, "live"))
    assert ended(watermarks) == [DAY]


def test_after_the_last_heartbeats_their_time_stays_valid_and_records_decide() -> None:
    watermarks = seen((0, NOON), repeat=1)
    watermarks.add_heartbeat(heartbeat(MIDNIGHT, last=True))
    assert ended(watermarks) == [DAY]
    for partition in (0, 1):
        for _ in range(NEWEST_RECORDS):
            watermarks.add_transaction(partition, MIDNIGHT + timedelta(days=1) + LATENESS)
    watermarks.add_transaction(0, MIDNIGHT)
    assert ended(watermarks, after=DAY) == [DAY + timedelta(days=1)]


def test_the_next_heartbeat_corrects_a_wrong_time() -> None:
    watermarks = seen((0, NOON), repeat=1)
    watermarks.add_heartbeat(heartbeat(FAR))
    watermarks.add_heartbeat(heartbeat(NOON))
    assert ended(watermarks) == []


def test_a_heartbeat_from_the_far_future_closes_no_day_without_transactions() -> None:
    watermarks = seen((0, NOON), repeat=1)
    watermarks.add_heartbeat(heartbeat(FAR))
    assert ended(watermarks) == [DAY]


def test_empty_days_are_closed_while_their_windows_hold_transactions() -> None:
    watermarks = seen((0, NOON), (0, NOON + timedelta(days=45)), repeat=1)
    watermarks.add_heartbeat(heartbeat(MIDNIGHT + timedelta(days=45)))
    expected = [*range(30), 45]  # day 29 is the last one that has DAY among the 30 before the table's day
    assert ended(watermarks) == [DAY + timedelta(days=n) for n in expected]


def test_days_of_an_earlier_run_are_closed_too() -> None:
    watermarks = seen()
    watermarks.add_days([DAY])
    watermarks.add_heartbeat(heartbeat(MIDNIGHT))
    assert ended(watermarks) == [DAY]


@pytest.mark.parametrize("year", [1, 9999])
def test_the_ends_of_the_calendar_raise_no_error(year: int) -> None:
    moment = datetime(year, 1, 1, tzinfo=timezone(timedelta(hours=14)))
    watermarks = seen((0, moment), (1, moment))
    assert ended(watermarks) == []


@given(
    st.lists(
        st.one_of(
            st.datetimes(timezones=st.just(UTC)),
            st.integers(0, 86_399).map(lambda seconds: MIDNIGHT - timedelta(seconds=seconds)),
        ),
        max_size=300,
    )
)
def test_fewer_wrong_clocks_than_half_of_any_31_records_do_not_end_the_day(moments: list[datetime]) -> None:
    """Records of DAY, among them records of arbitrary times, but never 16 of these among 31 in a row."""
    watermarks, newest = Watermarks([0]), [False] * NEWEST_RECORDS
    for moment in moments:
        is_wrong = not MIDNIGHT - timedelta(days=1) <= moment <= MIDNIGHT
        newest = [*newest[1:], is_wrong]
        newest[-1] &= sum(newest) <= NEWEST_RECORDS // 2
        watermarks.add_transaction(0, moment if newest[-1] or not is_wrong else NOON)
        assert DAY not in ended(watermarks)
