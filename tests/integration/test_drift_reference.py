"""The drift reference and the findings of the monitor on a replayed world, with a wrong clock and a lost field.

Nothing changes in the simulated world for 44 days. On day 3 one transaction has a wrong clock, and on the last day the
source sends no device identifiers.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pyarrow.parquet as pq
import pytest
from msgspec import structs
from numpy.typing import NDArray

from adapters.archive.day_profiles import DayProfiler, known_days, labels_of_newest_days
from adapters.archive.reader import Archive
from adapters.archive.reference_tables import ReferenceTableStore
from cardwatch.data_contract.contract import check_day
from cardwatch.data_contract.finding import DataFinding
from cardwatch.drift.policy import DriftPolicy
from cardwatch.events import LAST_DAY, Transaction
from cardwatch.features.definitions import FEATURE_NAMES
from cardwatch.label_maturity import end_of_day
from cardwatch.simulation.settings import SimulationSettings
from models.training import TrainingSettings
from monitoring.feature_drift import DriftReference, FeatureDrift
from monitoring.null_shares import NullShares
from monitoring.watched import WATCHED
from pipelines.steps.contract_learning import learn_data_contract
from pipelines.steps.fitting import REFERENCE_FILE, fit_candidate, recent_rows
from pipelines.steps.training_set import ReplayedLog, assemble_training_set, newest_closed_day, replay_log
from tests.archived_world import archive_world

WORLD = SimulationSettings(seed=5, cards=300, fraud_share=0.02)
DAYS, TRAINED_DAYS, WRONG_CLOCK_DAY, LOST_DAY = 45, 30, 3, 44
AS_OF = WORLD.first_day + timedelta(days=TRAINED_DAYS - 1)


def sent(number: int, transactions: Sequence[Transaction]) -> Sequence[Transaction]:
    if number == WRONG_CLOCK_DAY:
        wrong = datetime.combine(LAST_DAY, time(12), UTC)
        return [*transactions, structs.replace(transactions[0], transaction_id="wrong-clock", occurred_at=wrong)]
    if number == LOST_DAY:
        return [structs.replace(each, device_id=None) for each in transactions]
    return transactions


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    folder = tmp_path_factory.mktemp("world")
    archive_world(folder, WORLD, DAYS, partitions=2, changed=sent)
    return Archive(folder / "archive")


@pytest.fixture(scope="module")
def log(archive: Archive) -> ReplayedLog:
    return replay_log(archive, ReferenceTableStore(archive._folder.with_name("tables")).all())


@pytest.fixture(scope="module")
def reference(archive: Archive, log: ReplayedLog, tmp_path_factory: pytest.TempPathFactory) -> DriftReference:
    """The rows that lie in the folder of a trained model."""
    split = log.split(AS_OF, maturity_days=5, evaluation_days=7)
    rows = assemble_training_set(log, archive.labels(end_of_day(AS_OF)), AS_OF, split)
    candidate = fit_candidate(
        rows.between(split.train_from, split.evaluate_from),
        recent_rows(log, AS_OF, split),
        tmp_path_factory.mktemp("model") / "candidate",
        TrainingSettings(trees=30, threads=1),
    )
    table = pq.read_table(candidate.folder / REFERENCE_FILE)
    return DriftReference(
        features=np.stack([table[name].to_numpy() for name in FEATURE_NAMES], axis=1).astype(np.float32),
        margins=table["margin"].to_numpy().astype(np.float32),
        days=table["day"].to_numpy().astype(np.int64),
    )


def rows_of(log: ReplayedLog, first: date, last: date) -> NDArray[np.float32]:
    return log.features[log.rows_between(first, last + timedelta(days=1))]


@pytest.mark.rubric("data-1")
def test_the_contract_of_archived_days_accepts_usual_days_and_names_the_lost_field(archive: Archive) -> None:
    contract = learn_data_contract(archive, AS_OF)
    assert contract is not None
    assert (contract.days[0], contract.days[-1], len(contract.days)) == (AS_OF - timedelta(days=27), AS_OF, 28)
    closed, profiler = list(archive.closed_days()), DayProfiler(archive)

    def findings(number: int) -> list[DataFinding]:
        day = WORLD.first_day + timedelta(days=number)
        labels = labels_of_newest_days(archive, day, 14)
        profile = profiler.profile(day, known_days(closed, day, frozenset()), labels[0])
        return check_day(contract, profile, labels_before=labels[1:])

    assert {number: findings(number) for number in range(TRAINED_DAYS, LOST_DAY)} == {
        number: [] for number in range(TRAINED_DAYS, LOST_DAY)
    }
    assert {finding.column for finding in findings(LOST_DAY)} == {"device_id"}


def test_a_contract_leaves_out_quarantined_days_and_needs_two_weeks(archive: Archive) -> None:
    excluded = frozenset({AS_OF, AS_OF - timedelta(days=5)})
    contract = learn_data_contract(archive, AS_OF, excluded)
    assert contract is not None
    assert len(contract.days) == 28
    assert not excluded & set(contract.days)
    assert learn_data_contract(archive, WORLD.first_day + timedelta(days=12)) is None


def test_training_ends_with_the_newest_closed_day_and_not_with_the_wrong_clock(archive: Archive) -> None:
    assert archive.days()[-1] == LAST_DAY
    assert newest_closed_day(archive) == WORLD.first_day + timedelta(days=DAYS - 1)


def test_the_reference_has_all_rows_of_the_four_weeks_before(log: ReplayedLog, reference: DriftReference) -> None:
    np.testing.assert_array_equal(reference.features, rows_of(log, AS_OF - timedelta(days=27), AS_OF))


def test_without_a_change_there_are_no_findings_about_the_data(log: ReplayedLog, reference: DriftReference) -> None:
    drift, null_shares = FeatureDrift(reference), NullShares(reference.features)
    for number in range(TRAINED_DAYS, LOST_DAY):
        day = WORLD.first_day + timedelta(days=number)
        assert null_shares.changes(rows_of(log, day, day)) == {}
    for day in (AS_OF + timedelta(days=7), AS_OF + timedelta(days=14)):
        week = rows_of(log, day - timedelta(days=6), day)
        found = drift.compare(week, np.resize(reference.margins, len(week)), day)
        assert set(found.not_compared) <= {name for name in WATCHED if name.startswith(("days_since", "seconds_since"))}
        assert found.share < DriftPolicy().drift_share


def test_a_lost_field_is_a_finding_of_every_feature_that_needs_it_on_the_same_day(
    log: ReplayedLog, reference: DriftReference
) -> None:
    day = WORLD.first_day + timedelta(days=LOST_DAY)
    changes = NullShares(reference.features).changes(rows_of(log, day, day))
    assert set(changes) == {
        "device_is_new",
        "device_cards",
        "device_frauds",
        "device_count_1d",
        "device_cards_1d",
        "device_age",
    }
    assert {change.current for change in changes.values()} == {1.0}
    assert all(0.4 < change.reference < 0.6 for change in changes.values())
