"""The monitor as a process: `python -m services.monitor`."""

from __future__ import annotations

from contextlib import closing

from adapters.archive.reader import Archive
from adapters.kafka.progress import ProgressReader, ProgressWriter
from adapters.kafka.topics import ensure_topics
from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.move_log.open import open_ladder
from adapters.prefect import PrefectDeployments
from adapters.runtime.policy_file import read_policies
from adapters.runtime.process import Process, run_service
from adapters.runtime.retry import StoppableRetry
from adapters.scoring.client import ServedVersionClient
from services.monitor.guard import CanaryGuard, GuardThread
from services.monitor.ladder import MonitoredLadder
from services.monitor.loop import follow
from services.monitor.metrics import MonitorMetrics
from services.monitor.model_reports import ModelReports
from services.monitor.monitor import Monitor
from services.monitor.observation import Observer
from services.monitor.retraining import Retrainer


def main() -> None:
    """Monitor until SIGTERM."""
    with run_service("monitor") as process:
        metrics = MonitorMetrics()
        process.keep_working(lambda: work(process, metrics))


def work(process: Process, metrics: MonitorMetrics) -> None:
    """Build the monitor and run it."""
    settings = process.settings
    policies = read_policies(settings)
    policy = policies.drift
    retry = StoppableRetry(process.stopping, process.health)
    ensure_topics(settings.kafka, partitions=settings.partitions)
    with (
        closing(MlflowRegistry(settings.mlflow_url)) as registry,
        closing(ModelReports(registry)) as model_reports,
        closing(PrefectDeployments(settings.prefect_url)) as deployments,
        closing(ServedVersionClient(settings)) as served_version,
        closing(ProgressReader(settings.kafka, metrics.skipped.add)) as reader,
        closing(MlflowRegistry(settings.mlflow_url)) as registry_of_guard,
        closing(
            GuardThread(
                lambda: CanaryGuard(settings.kafka, open_ladder(settings, registry_of_guard), policies.ladder.guard)
            )
        ),
    ):
        archive = Archive(settings.archive, settings.index_url)
        monitor = Monitor(
            Observer(archive, registry, policy, policies.decision),
            registry,
            Retrainer(deployments, registry, served_version, policy=policy, retry=retry),
            ProgressWriter(settings.kafka).write,
            policy=policy,
            reports=settings.reports,
            retry=retry,
            metrics=metrics,
            model_reports=model_reports,
            ladder=MonitoredLadder(open_ladder(settings, registry), archive, policies, served_version, retry),
        )
        follow(monitor, reader, retry)


if __name__ == "__main__":
    main()
