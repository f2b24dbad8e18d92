"""The monitor as a daily job: `python -m services.monitor.aws.daily_job` monitors an archived day.

The job reads from the bucket what the monitor service reads from the topic `progress`; it observes and assesses a day
with the same functions. It does not wait for a retraining: it requests one with an event, and the run for the next day
reads how it ended. A retraining without an end (it is running, waits for an approval or has failed, which its state
machine reports) counts as refused on its day, so that none is requested again during the cooldown.

One run:
1. return if the bucket says that the day is monitored;
2. observe and assess the day, from the archive, the champion and the progress records of the days before;
3. store the drift report, if this is the first day on which the champion is decayed;
4. put the event, if the policy requires a retraining;
5. write the records of the day under `progress/`.

A run that is killed before the end of step 5 is repeated: an event may be put twice, and is never lost.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import NamedTuple

from adapters.archive.day_profiles import known_days
from adapters.archive.reader import Archive
from adapters.aws.eventbridge import EventBus
from adapters.aws.object_keys import report_key
from adapters.aws.s3 import Bucket
from adapters.aws.s3_archive import S3Archive
from adapters.aws.s3_progress import ProgressPart, S3ProgressLog
from adapters.aws.sagemaker_registry import SageMakerRegistry
from adapters.runtime.clock import epoch_ms
from adapters.runtime.jobs import day_of, required, run_job
from adapters.runtime.policy_file import read_policies
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.drift.performance import JudgedMeasures
from cardwatch.drift.policy import DriftPolicy
from cardwatch.drift.progress_state import ProgressState
from cardwatch.errors import ArchiveUnavailable
from cardwatch.events import from_epoch_ms
from cardwatch.label_maturity import newest_mature_day
from cardwatch.progress import Progress
from cardwatch.registry import ModelRegistry
from cardwatch.topics import DECISIONS, LABELS, TRANSACTIONS
from services.monitor.champions import judged_measures_of
from services.monitor.observation import Observer
from services.monitor.outcomes import summarize

log = logging.getLogger("services.monitor.aws.daily_job")  # also when it is run as __main__


class MonitorJob(NamedTuple):
    """Dependencies of the job. `folder` is empty at the start, and is deleted when the job ends."""

    bucket: Bucket
    registry: ModelRegistry
    bus: EventBus
    policy: DriftPolicy
    folder: Path
    decision_policy: DecisionPolicy = DecisionPolicy()


def main() -> None:
    """Monitor the day that the settings name."""
    with run_job("monitor") as job:
        settings = job.settings
        policies = read_policies(settings)
        monitor_job = MonitorJob(
            Bucket(required(settings, "data_bucket")),
            SageMakerRegistry(required(settings, "model_package_group")),
            EventBus(required(settings, "event_bus")),
            policies.drift,
            job.folder,
            policies.decision,
        )
        monitor_day(monitor_job, day_of(settings, from_epoch_ms(int(epoch_ms()))))


def monitor_day(job: MonitorJob, day: date) -> None:
    """Monitor `day`. Repeated for a monitored day, it changes nothing.

    Raises `ArchiveUnavailable` if the day is not archived yet, and the errors of the bucket, the registry and the bus.
    """
    progress = S3ProgressLog(job.bucket)
    if progress.of_day(day, ProgressPart.MONITOR):
        log.info("%s is monitored already", day)
        return
    state = restore_state(job, progress.before(day))
    champion = job.registry.champion()
    archive = fetch_archive(job, day, state.quarantine.excluded_days)
    observer = Observer(archive, job.registry, job.policy, job.decision_policy)
    assessed = state.assess(observer.observe(day, champion, state.quarantine))
    log.info("%s", assessed.summary)
    if assessed.drift_detected is not None:
        store_report(job, observer, day)
    if assessed.retraining_started is not None:
        job.bus.request_retraining(assessed.retraining_started)
    records = (assessed.drift_detected, assessed.retraining_started, assessed.monitored)
    progress.write(day, ProgressPart.MONITOR, [record for record in records if record is not None])
    log.info("matured with %s: %s", day, summarize(observer.matured_outcomes(day, state.quarantine.excluded_days)))


def restore_state(job: MonitorJob, records: Sequence[Progress]) -> ProgressState:
    """Return the state after the days before."""

    @cache
    def judged_measures(version: str) -> JudgedMeasures:
        return judged_measures_of(job.registry, version)

    state = ProgressState(job.policy, judged_measures)
    for record in records:
        state.add(record)
    state.count_open_retrainings_as_refused()
    return state


def fetch_archive(job: MonitorJob, day: date, excluded_days: frozenset[date]) -> Archive:
    """Fetch the part of the archive that the observation of `day` reads.

    If the data contract fails on `day`, further days are excluded, and drift and performance look back further: up to
    twice their number of days.
    """
    policy = job.policy
    mature_day = newest_mature_day(day, policy.maturity_days)
    stored = S3Archive(job.bucket, job.folder / "archive")
    archive = stored.fetch_index()
    if not archive.exists or day not in archive.closed_days():
        raise ArchiveUnavailable(f"{day} is not archived in {job.bucket.name} yet: the archive's job comes first")
    looked_back = max(2 * policy.performance_days + policy.maturity_days, 2 * policy.drift_days)
    known = known_days(archive.closed_days(), day, excluded_days)
    stored.fetch_files(
        {
            DECISIONS: day - timedelta(days=looked_back - 1),
            TRANSACTIONS: min([*known, mature_day]),
            LABELS: date.min,
        }
    )
    return archive


def store_report(job: MonitorJob, observer: Observer, day: date) -> None:
    """Store the drift report of the newest observation, if there were rows to compare."""
    name = f"drift-{day}.html"
    observer.save_report(job.folder / name)
    with suppress(FileNotFoundError):
        job.bucket.put(report_key(name), job.folder / name)


if __name__ == "__main__":
    main()
