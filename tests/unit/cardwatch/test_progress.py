"""Progress records: their JSON form, and the names that earlier versions wrote."""

from datetime import date

import msgspec
import pytest
from msgspec import structs

from cardwatch import progress
from cardwatch.data_contract.finding import DataFinding
from cardwatch.errors import InvalidRecord
from cardwatch.progress import (
    ActionShareChange,
    DayMonitored,
    NullShareChange,
    QuarantineReleased,
    RecallBounds,
    decode_progress,
)

MONITORED = DayMonitored(
    day=date(2025, 3, 3),
    champion_version="1",
    average_precision=0.5,
    baseline_average_precision=0.9,
    matured_frauds=80,
    drifted_features=[],
    drift_share=0.0,
    state="decayed",
)


def test_a_record_is_read_as_it_was_written() -> None:
    assert decode_progress(msgspec.json.encode(MONITORED)) == MONITORED


def test_findings_about_the_data_are_read_as_they_were_written() -> None:
    found = structs.replace(
        MONITORED,
        not_compared={"count_1h": "there are fewer than 500 decisions: 10"},
        null_share_changes={"device_age": NullShareChange(reference=0.5, current=1.0)},
        action_share_changes={"decline": ActionShareChange(reference=0.01, current=0.05)},
        estimated_average_precision=0.6,
        estimate_of_matured=0.5,
        missed_frauds=40,
        matured_decisions=28_000,
        baseline_missed_per_10000=12.5,
        recall_bounds=RecallBounds(low=0.25, high=0.5),
    )
    assert decode_progress(msgspec.json.encode(found)) == found


def test_a_record_of_an_earlier_version_has_no_findings_about_the_data() -> None:
    written = msgspec.json.decode(msgspec.json.encode(MONITORED))
    for name in ("not_compared", "null_share_changes", "action_share_changes", "estimated_average_precision"):
        del written[name]
    for name in ("estimate_of_matured", "missed_frauds", "matured_decisions", "baseline_missed_per_10000"):
        del written[name]
    del written["recall_bounds"]
    assert decode_progress(msgspec.json.encode(written)) == MONITORED


def test_the_old_name_of_the_state_decayed_is_read_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    progress._warn_of_old_state.cache_clear()
    old = msgspec.json.encode(MONITORED).replace(b'"decayed"', b'"worn out"')
    assert [decode_progress(old), decode_progress(old)] == [MONITORED, MONITORED]
    [warning] = caplog.messages
    assert "'worn out'" in warning
    assert "'decayed'" in warning


def test_a_record_that_is_no_progress_is_invalid() -> None:
    with pytest.raises(InvalidRecord):
        decode_progress(b'{"type": "day_forgotten"}')


def test_findings_of_the_data_contract_are_read_as_they_were_written() -> None:
    day = MONITORED.day
    finding = DataFinding(check="clock", column="occurred_at", day=day, since=day, affects_from=day, sentence="wrong")
    found = structs.replace(MONITORED, data_findings=[finding, structs.replace(finding, channel="atm", blocks=False)])
    assert decode_progress(msgspec.json.encode(found)) == found


def test_a_release_names_its_days_in_order() -> None:
    released = QuarantineReleased(first_day=date(2025, 3, 1), day=date(2025, 3, 3), because="a new acquirer")
    assert decode_progress(msgspec.json.encode(released)) == released
    with pytest.raises(InvalidRecord, match="first_day"):
        decode_progress(msgspec.json.encode(structs.replace(released, first_day=date(2025, 3, 4))))
