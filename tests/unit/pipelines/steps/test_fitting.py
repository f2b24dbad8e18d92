"""The files of a candidate, and its drift reference: which days of the log it has, and what has no influence on it."""

from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from adapters.archive.reader import Archive
from adapters.archive.writer import ArchiveWriter, transaction_row
from cardwatch.errors import Misconfigured
from cardwatch.events import FIRST_DAY, LAST_DAY, Channel, Transaction
from cardwatch.features.definitions import FEATURES
from cardwatch.features.reference_table import DAY_MS
from cardwatch.features.state import STATE
from cardwatch.label_states import LabelCoverage
from cardwatch.promotion.split import NotEnoughHistory, TemporalSplit
from cardwatch.training_policy import TrainingPolicy
from models.search import Search
from models.training import TrainingSettings
from pipelines.steps.fitting import RecentRows, fit_candidate, recent_rows
from pipelines.steps.training_set import ReplayedLog, TrainingSet, newest_closed_day

FIRST = date(2025, 1, 6)
DAYS = 40
AS_OF = FIRST + timedelta(days=29)
SPLIT = TemporalSplit(
    train_from=FIRST, evaluate_from=AS_OF - timedelta(days=11), evaluate_until=AS_OF - timedelta(days=4)
)


def day_of(number: int) -> date:
    return FIRST + timedelta(days=number)


def log_of(rows_on: Mapping[date, int]) -> ReplayedLog:
    """Return a log with this number of rows on each day. The first feature of a row is its number in the log.

    The rows of a day are spread over the whole day, from its first to its last millisecond.
    """
    moments = [
        (day - date(1970, 1, 1)).days * DAY_MS + np.linspace(0, DAY_MS - 1, rows).astype(np.int64)
        for day, rows in rows_on.items()
    ]
    occurred_at_ms = np.concatenate(moments)
    features = np.zeros((len(occurred_at_ms), len(FEATURES)), np.float32)
    features[:, 0] = np.arange(len(occurred_at_ms))
    return ReplayedLog(
        transactions=pa.table({}),
        occurred_at_ms=occurred_at_ms,
        features=features,
        duplicates=np.zeros(len(occurred_at_ms), np.bool_),
        declined=np.zeros(len(occurred_at_ms), np.bool_),
        declined_by_rules=np.zeros(len(occurred_at_ms), np.bool_),
        control_propensity=np.full(len(occurred_at_ms), np.nan),
        cards=[],
        card_partitions=np.zeros(0, np.int64),
        states=np.zeros(0, STATE),
        ends={},
    )


def with_rows(log: ReplayedLog, places: list[int], days: list[date]) -> ReplayedLog:
    """Return the log with one further row of each of these days, inserted before the row at its place."""
    at = [place % (len(log.features) + 1) for place in places]
    moments = [(day - date(1970, 1, 1)).days * DAY_MS for day in days]
    return structs.replace(
        log,
        occurred_at_ms=np.insert(log.occurred_at_ms, at, moments),
        features=np.insert(log.features, at, -1.0, axis=0),
        duplicates=np.insert(log.duplicates, at, False),
    )


def days_of(log: ReplayedLog, reference: RecentRows) -> dict[date, int]:
    """Return the number of rows of the reference per day."""
    days = log.occurred_at_ms[reference.features[:, 0].astype(np.int64)] // DAY_MS
    np.testing.assert_array_equal(reference.days, days)
    return {date(1970, 1, 1) + timedelta(days=int(day)): int((days == day).sum()) for day in np.unique(days)}


def assert_same(first: RecentRows, second: RecentRows) -> None:
    np.testing.assert_array_equal(first.features, second.features)
    np.testing.assert_array_equal(first.days, second.days)


def steady(rows: int) -> ReplayedLog:
    return log_of({day_of(number): rows for number in range(DAYS)})


STEADY = steady(300)


def test_the_reference_are_the_28_whole_days_that_end_with_the_day() -> None:
    assert days_of(STEADY, recent_rows(STEADY, AS_OF, SPLIT)) == {day_of(number): 300 for number in range(2, 30)}
    earlier = AS_OF - timedelta(days=1)
    assert days_of(STEADY, recent_rows(STEADY, earlier, SPLIT)) == {day_of(number): 300 for number in range(1, 29)}


def test_many_rows_are_reduced_to_evenly_spaced_ones() -> None:
    log = steady(1_000)
    reference = recent_rows(log, AS_OF, SPLIT)
    assert len(reference.features) == 20_000  # of 28,000
    assert all(abs(rows - 20_000 / 28) < 2 for rows in days_of(log, reference).values())


def test_one_transaction_of_the_far_future_changes_nothing() -> None:
    poisoned = with_rows(STEADY, [0], [LAST_DAY])
    assert_same(recent_rows(poisoned, AS_OF, SPLIT), recent_rows(STEADY, AS_OF, SPLIT))


@given(
    added=st.lists(
        st.tuples(st.integers(0, 2**31), st.dates(AS_OF + timedelta(days=1), LAST_DAY)), min_size=1, max_size=20
    )
)
def test_rows_after_the_day_never_change_the_reference(added: list[tuple[int, date]]) -> None:
    places, days = map(list, zip(*added, strict=True))
    later = with_rows(STEADY, places, days)  # type: ignore[arg-type]
    assert_same(recent_rows(later, AS_OF, SPLIT), recent_rows(STEADY, AS_OF, SPLIT))


def test_duplicates_are_left_out() -> None:
    every_second = np.arange(len(STEADY.features)) % 2 == 1
    reference = recent_rows(structs.replace(STEADY, duplicates=every_second), AS_OF, SPLIT)
    assert not np.any(reference.features[:, 0] % 2)


def test_while_there_are_few_rows_the_weeks_before_are_added() -> None:
    log = log_of({day_of(number): 60 for number in range(40)})  # 28 days have 1,680 rows, 35 have 2,100
    as_of = day_of(39)
    assert days_of(log, recent_rows(log, as_of, SPLIT)) == {day_of(number): 60 for number in range(5, 40)}


def test_no_day_before_the_training_window_is_used() -> None:
    log, late = steady(100), structs.replace(SPLIT, train_from=AS_OF - timedelta(days=13))
    assert days_of(log, recent_rows(log, AS_OF, late)) == {day_of(number): 100 for number in range(16, 30)}


def test_too_few_rows_are_refused_with_the_numbers() -> None:
    with pytest.raises(NotEnoughHistory, match=f"480 transactions from {FIRST} to {AS_OF}, 500 are needed"):
        recent_rows(steady(16), AS_OF, SPLIT)  # 30 days
    assert len(recent_rows(steady(17), AS_OF, SPLIT).features) == 510


def test_the_default_day_is_the_newest_closed_one_in_spite_of_wrong_clocks(tmp_path: Path) -> None:
    days = [FIRST_DAY, FIRST, day_of(1), LAST_DAY]
    with closing(ArchiveWriter(tmp_path)) as writer:
        rows = [transaction_row(transaction(day), 0, offset) for offset, day in enumerate(days)]
        writer.write({"transactions": rows}, {("transactions", 0): len(rows)})
        archive = Archive(tmp_path)
        assert archive.days() == days
        with pytest.raises(Misconfigured, match="no complete day yet"):
            newest_closed_day(archive)
        writer.close_day(FIRST, "a")
        writer.close_day(day_of(1), "b")
    assert newest_closed_day(archive) == day_of(1)


def transaction(day: date) -> Transaction:
    return Transaction(
        transaction_id=f"t-{day}",
        card_id="card",
        merchant_id="shop",
        occurred_at=datetime.combine(day, time(12), UTC),
        amount_minor=1_000,
        currency="EUR",
        merchant_category="5411",
        channel=Channel.CHIP,
        country="DE",
    )


SETTINGS = TrainingSettings(trees=8, depth=3, features_per_tree=1.0, max_bin=64)


def training_set(rows: int = 2_000) -> TrainingSet:
    """Rows of 100 cards over 28 days; the first feature makes fraud likelier."""
    random = np.random.default_rng(3)
    features = random.normal(size=(rows, len(FEATURES))).astype(np.float32)
    start_ms = (FIRST - date(1970, 1, 1)).days * DAY_MS
    return TrainingSet(
        features=features,
        is_fraud=random.random(rows) < 1.0 / (1.0 + np.exp(3.0 - 2.0 * features[:, 0])),
        weight=np.ones(rows, np.float32),
        declined_by_rules=np.zeros(rows, np.bool_),
        amount_minor=np.full(rows, 1_000, np.int64),
        policy_amount_minor=np.full(rows, 1_000.0),
        overlay=np.zeros(rows, np.int8),
        occurred_at_ms=start_ms + np.arange(rows, dtype=np.int64) * 28 * DAY_MS // rows,
        card_ids=np.array([f"card-{number % 100}" for number in range(rows)], np.object_),
        transaction_ids=np.array([f"t-{number}" for number in range(rows)], np.object_),
        fingerprint="f",
        label_coverage=LabelCoverage(presumed_genuine=rows),
    )


def recent_of(rows: TrainingSet) -> RecentRows:
    return RecentRows(features=rows.features[:600], days=rows.days[:600])


def test_a_row_that_stands_for_several_raises_the_probabilities(tmp_path: Path) -> None:
    rows = training_set()
    frauds_weigh_more = structs.replace(rows, weight=np.where(rows.is_fraud, 5.0, 1.0).astype(np.float32))
    plain, weighted = (
        fit_candidate(each, recent_of(rows), tmp_path / name, SETTINGS).detector
        for name, each in (("plain", rows), ("weighted", frauds_weigh_more))
    )
    expected = [float(detector.probabilities(detector.margins(rows.features)).mean()) for detector in (plain, weighted)]
    assert expected[1] > 2 * expected[0]


def test_a_candidate_is_trained_on_all_cards_with_out_of_fold_calibration(tmp_path: Path) -> None:
    rows = training_set()
    candidate = fit_candidate(rows, recent_of(rows), tmp_path, SETTINGS, TrainingPolicy(calibration_folds=3))
    facts = candidate.detector.facts
    assert (facts.rows, facts.frauds, facts.calibration_folds) == (2_000, int(rows.is_fraud.sum()), 3)
    assert {path.name for path in tmp_path.iterdir()} == {
        "model.ubj", "trees.bin", "detector.json", "reference.parquet", "reliability.svg",
    }  # fmt: skip
    assert "2,000 training rows" in (tmp_path / "reliability.svg").read_text()


def test_a_search_is_stored_with_the_model_and_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    rows, policy = training_set(), TrainingPolicy(calibration_folds=2, trials=2, maximum_trees=15, maximum_depth=3)
    first, second = (
        fit_candidate(rows, recent_of(rows), tmp_path / name, SETTINGS, policy) for name in ("first", "second")
    )
    assert first.digest == second.digest
    search = msgspec.json.decode((tmp_path / "first" / "trials.json").read_bytes(), type=Search)
    assert len(search.trials) == 3
    assert first.detector.facts.settings == structs.asdict(search.chosen)


def test_the_reference_leaves_out_quarantined_days_and_takes_others_instead() -> None:
    excluded = frozenset({day_of(25), day_of(26)})
    reference = recent_rows(STEADY, AS_OF, SPLIT, excluded)
    assert days_of(STEADY, reference) == {day_of(number): 300 for number in range(30) if number not in (25, 26)}
