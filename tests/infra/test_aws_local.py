"""`cardwatch aws local`: the same Terraform, Lambda code, jobs and models on moto, from apply to destroy."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.archive.reader import Archive
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.aws.s3 import Bucket
from adapters.aws.s3_archive import EVERYTHING, S3Archive
from adapters.aws.s3_progress import ProgressPart, S3ProgressLog
from adapters.runtime.settings import read_settings
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from infra.aws.acceptance.history import PARTITIONS, store_archive, write_history
from infra.aws.acceptance.on_moto import run
from infra.moto.server import CREDENTIALS
from services.archive.aws.repartition import PARTITIONS as JOB_PARTITIONS

BUDGET_SECONDS = 360.0
WORLD = SimulationSettings(seed=7, cards=60, fraud_share=0.03)

pytestmark = pytest.mark.filterwarnings("default::DeprecationWarning")


@pytest.fixture
def bucket(local_aws: str, client: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": local_aws}.items():
        monkeypatch.setenv(name, value)
    location = {"LocationConstraint": CREDENTIALS["AWS_REGION"]}
    client("s3").create_bucket(Bucket="a-history", CreateBucketConfiguration=location)
    return Bucket("a-history")


def test_a_history_in_a_bucket_is_an_archive_with_tables_and_states(bucket: Bucket, tmp_path: Path) -> None:
    world = Simulation(WORLD)
    days = [world.day(number) for number in range(4)]
    (tmp_path / "history").mkdir()
    history = write_history(days, tmp_path / "history")
    store_archive(history, bucket)

    fetched = S3Archive(bucket, tmp_path / "fetched")
    archive: Archive = fetched.fetch_index()
    fetched.fetch_files(EVERYTHING)
    sent = [transaction.transaction_id for events in days for transaction in events.transactions]
    first, last = days[0].day, days[-1].day
    assert sorted(archive.transactions(first, last)["transaction_id"].to_pylist()) == sorted(sent)
    assert len(archive.all_labels()) == sum(len(events.labels) for events in days)
    assert list(archive.closed_days()) == [events.day for events in days]
    assert history.transactions == len(sent)
    assert sorted(history.cards) == sorted({each.card_id for events in days for each in events.transactions})
    assert int(history.states["sequence"].sum()) == len(sent)

    bucket.fetch_folder("tables/", tmp_path / "tables")
    assert ReferenceTableStore(tmp_path / "tables").of_day(last + timedelta(days=1)) is not None
    assert S3ProgressLog(bucket).of_day(first, ProgressPart.ARCHIVE) == [history.days[0]]


def test_history_and_archive_job_place_a_card_in_the_same_partition() -> None:
    assert PARTITIONS == JOB_PARTITIONS


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.proves(
    "ours", "Terraform's apply, an empty second plan, decisions, jobs, a retraining, a new champion, and its destroy"
)
@pytest.mark.usefixtures("terraform_program")
def test_the_system_is_applied_used_and_destroyed_in_time() -> None:
    lines: list[str] = []
    begin = time.monotonic()
    run(read_settings(), report=lines.append)
    took_seconds = time.monotonic() - begin
    output = "\n".join(lines)
    decided = re.findall(r"([\d,]+) transactions, ([\d,]+) decided \(.*?by version (\d)", output)
    assert [sent == got for sent, got, _version in decided] == [True, True, True]
    assert [version for _sent, _got, version in decided] == ["1", "1", "2"]
    assert re.search(r"terraform plan, again\n +no changes", output)
    assert re.search(r"remaining resources\n +none", output)
    assert took_seconds < BUDGET_SECONDS, output
