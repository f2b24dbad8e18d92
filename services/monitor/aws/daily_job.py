"""The monitor as a job: `python -m services.monitor.aws.daily_job` looks at an archived day, and asks for a retraining.

What the monitor reads from the topic `progress`, this job reads from the bucket, and it observes and assesses as the
monitor does. It waits for nobody: a retraining that is asked for is an event, and how it ends is read when the next day
is looked at. Until it says so, a retraining counts as refused on its day: it is under way, or waits for somebody's
approval, or has failed, of which its state machine tells; so none is asked for again before the policy's rest is over.

One run:
1. a day of which the bucket says that it is monitored is done;
2. observe and assess the day, from the archive, the champion, and what was said of the days before;
3. store the report, if this is the first day on which the champion is worn out;
4. put the event, if the policy asks for a retraining;
5. say under `progress/` that the day is monitored.

Killed before the end of 5, the next run does the same again: an event may be put twice, and is never lost.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import NamedTuple

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
from cardwatch.drift.policy import DECAYED, DriftPolicy, MeasuredPerformance, after_retraining, assess
from cardwatch.errors import ArchiveUnavailable
from cardwatch.events import from_epoch_ms
from cardwatch.progress import DriftDetected, Progress, RetrainingStarted
from cardwatch.registry import ModelRegistry
from cardwatch.topics import DECISIONS, LABELS, TRANSACTIONS
from services.monitor.champions import find, promised
from services.monitor.observation import Observer
from services.monitor.outcomes import in_words
from services.monitor.progress_state import Memory, monitored

log = logging.getLogger("services.monitor.aws.daily_job")  # also when it is run as __main__


class Watcher(NamedTuple):
    """What a day is looked at with. `folder` is empty, and goes when the job ends."""

    bucket: Bucket
    registry: ModelRegistry
    bus: EventBus
    policy: DriftPolicy
    folder: Path


def main() -> None:
    """Look at the day that the settings name."""
    with run_job("monitor") as job:
        settings = job.settings
        watcher = Watcher(
            Bucket(required(settings, "data_bucket")),
            SageMakerRegistry(required(settings, "model_package_group")),
            EventBus(required(settings, "event_bus")),
            read_policies(settings).drift,
            job.folder,
        )
        watch_day(watcher, day_of(settings, from_epoch_ms(int(epoch_ms()))))


def watch_day(watcher: Watcher, day: date) -> None:
    """Look at `day`. Done for a day that was looked at, it changes nothing.

    Raises `ArchiveUnavailable` if the day is not archived yet, and whatever the bucket, the registry and the bus raise.
    """
    progress = S3ProgressLog(watcher.bucket)
    if progress.of_day(day, ProgressPart.MONITOR):
        log.info("%s is monitored already", day)
        return
    memory = remembered(watcher, progress.before(day))
    champion = watcher.registry.champion()
    observer = Observer(fetched_archive(watcher, day), watcher.registry, watcher.policy)
    seen = observer.observe(day, champion)
    _, assessment = assess(memory.watch, seen, watcher.policy)
    version, reasons = champion.version, assessment.reasons
    log.info("%s: version %s is %s: %s", day, version, assessment.state, "; ".join(reasons) or "nothing to say")
    told: list[Progress] = []
    if assessment.state == DECAYED and version not in memory.worn_out:
        store_report(watcher, observer, day)
        told.append(DriftDetected(day=day, champion_version=version, reasons=reasons))
    if assessment.retrain:
        started = RetrainingStarted(day=day, champion_version=version, reasons=reasons)
        watcher.bus.ask_for_retraining(started)
        told.append(started)
    progress.write(day, ProgressPart.MONITOR, [*told, monitored(seen, assessment)])
    log.info("matured with %s: %s", day, in_words(observer.matured(day)))


def remembered(watcher: Watcher, records: Sequence[Progress]) -> Memory:
    """What is known of the days before; a retraining that has not ended counts as refused."""

    @cache
    def promised_of(version: str) -> MeasuredPerformance | None:
        return promised(find(watcher.registry, version), fewest_frauds=watcher.policy.minimum_frauds)

    memory = Memory(watcher.policy, promised_of)
    for record in records:
        memory.take(record)
    for day in sorted(memory.started.keys() - memory.ended.keys()):
        last = memory.watch.last_retraining
        if last is None or last.day < day:
            memory.watch = after_retraining(memory.watch, day, promoted=False)
    return memory


def fetched_archive(watcher: Watcher, day: date) -> Archive:
    """The archive, with as much of it here as a look at `day` needs."""
    policy = watcher.policy
    matured = day - timedelta(days=policy.maturity_days)
    stored = S3Archive(watcher.bucket, watcher.folder / "archive")
    archive = stored.fetch_index()
    if not archive.exists or day not in archive.closed_days():
        raise ArchiveUnavailable(f"{day} is not archived in {watcher.bucket.name} yet: the archive's job comes first")
    first = min(matured - timedelta(days=policy.performance_days - 1), day - timedelta(days=policy.drift_days - 1))
    stored.fetch_files({DECISIONS: first, TRANSACTIONS: matured, LABELS: date.min})
    return archive


def store_report(watcher: Watcher, observer: Observer, day: date) -> None:
    """Store the page for people on the newest observation, if there was anything to compare."""
    name = f"drift-{day}.html"
    observer.save_report(watcher.folder / name)
    with suppress(FileNotFoundError):
        watcher.bucket.put(report_key(name), watcher.folder / name)


if __name__ == "__main__":
    main()
