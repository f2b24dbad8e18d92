"""Progress records: their JSON form, and the names that earlier versions wrote."""

from datetime import date

import msgspec
import pytest

from cardwatch import progress
from cardwatch.errors import InvalidRecord
from cardwatch.progress import DayMonitored, decode_progress

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
