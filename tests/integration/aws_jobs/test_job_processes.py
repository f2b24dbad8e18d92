"""The batch jobs on AWS as processes, and what they read from their environment."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from adapters.aws.eventbridge import EventBus
from adapters.aws.s3_progress import ProgressPart, S3ProgressLog
from adapters.model_registry.model_folder import ModelFolder
from adapters.runtime import jobs
from adapters.runtime.settings import Settings
from cardwatch.errors import (
    Misconfigured,
    Unavailable,
)
from cardwatch.progress import (
    DayMonitored,
    RetrainingStarted,
)
from pipelines.sagemaker.__main__ import main as pipelines_main
from pipelines.sagemaker.execution import ExecutionArtifacts
from services.archive.aws.daily_job import main as archive_main
from services.monitor.aws.daily_job import main as monitor_main
from tests.integration.aws_jobs.bank import (
    GROUP,
    LAST_DAY,
    NUMBERS,
    Stand,
    copied,
)


def test_as_processes_the_jobs_go_by_their_environment(
    stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket, day = copied(stand.bank.bucket, f"processes-{next(NUMBERS)}"), LAST_DAY + timedelta(days=1)
    events = boto3.client("events")
    events.create_event_bus(Name="processes")
    events.close()
    monkeypatch.setattr(jobs, "set_up_logging", lambda *_: None)
    policy = tmp_path / "policy.toml"
    policy.write_text("[drift]\nmaturity_days = 1\n")  # the bank is three weeks old
    for name, value in {
        "HOME": tmp_path,
        "POLICY_FILE": policy,
        "DATA_BUCKET": bucket.name,
        "MODEL_PACKAGE_GROUP": GROUP,
        "EVENT_BUS": "processes",
        "AS_OF_DAY": day,
        "EXECUTION": "processes",
        "MODEL_FOLDER": tmp_path / "model",
    }.items():
        monkeypatch.setenv(f"CARDWATCH_{name}", str(value))

    archive_main()
    monitor_main()
    for step in ("assemble", "fit"):
        monkeypatch.setattr("sys.argv", ["pipelines.sagemaker", step])
        pipelines_main()

    assert [type(told) for told in S3ProgressLog(bucket).of_day(day, ProgressPart.MONITOR)] == [DayMonitored]
    model = ModelFolder(tmp_path / "model")
    version = model.version("processes")
    assert version is not None
    assert model.files(version)
    assert ExecutionArtifacts(bucket, "processes").training_set_info().as_of == day
    left = sorted(path.name for path in tmp_path.iterdir() if path != policy)
    assert left == ["model"]  # nothing else is left on the disk
    monkeypatch.setenv("CARDWATCH_AS_OF_DAY", "yesterday")
    with pytest.raises(SystemExit, match="2"):
        archive_main()


def test_without_a_day_a_job_is_about_the_last_one_that_has_ended() -> None:
    just_after_midnight = datetime(2025, 1, 7, 0, 5, tzinfo=UTC)
    assert jobs.day_of(Settings(), just_after_midnight) == date(2025, 1, 6)
    assert jobs.day_of(Settings(as_of_day="2025-03-01"), just_after_midnight) == date(2025, 3, 1)


def test_what_a_job_cannot_do_without_is_named() -> None:
    with pytest.raises(Misconfigured, match="CARDWATCH_DATA_BUCKET is not set"):
        jobs.required(Settings(), "data_bucket")


def test_the_bus_of_eventbridge_takes_the_event_or_is_misconfigured(aws: str) -> None:
    events = boto3.client("events")
    events.create_event_bus(Name="cardwatch-bus")
    events.close()
    started = RetrainingStarted(day=LAST_DAY, champion_version="1", reasons=["it wore out"])
    EventBus("cardwatch-bus").request_retraining(started)


def test_an_event_that_the_bus_has_not_taken_is_put_again_by_whoever_comes_next() -> None:
    class Full:
        def put_events(self, **_arguments: Any) -> dict[str, Any]:
            return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "ThrottlingException"}]}

    started = RetrainingStarted(day=LAST_DAY, champion_version="1", reasons=[])
    with pytest.raises(Unavailable, match="ThrottlingException"):
        EventBus("full", client=Full()).request_retraining(started)


def test_the_function_model_needs_nothing_that_fits_or_reads_archives() -> None:
    code = "import sys, pipelines.sagemaker.handler; print(*(sys.modules.keys() & set(sys.argv[1:])))"
    heavy = ["xgboost", "sklearn", "pyarrow", "sqlalchemy", "prefect", "pandas", "confluent_kafka"]
    loaded = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []
