"""The monitor as a process: `python -m services.monitor`."""

from __future__ import annotations

from contextlib import closing

from adapters.archive import Archive
from adapters.kafka import ProgressReader, ProgressWriter
from adapters.model_registry import ModelRegistry
from adapters.policies import read_policies
from adapters.prefect_api import PrefectDeployments
from adapters.process import mark_ready, run_service
from adapters.scoring_client import ServedModel
from adapters.settings import read_settings
from services.monitor.loop import follow
from services.monitor.monitor import Monitor
from services.monitor.observing import Observer
from services.monitor.patience import Patience
from services.monitor.retraining import Retrainer


def main() -> None:
    """Put the monitor together and run it until SIGTERM."""
    with run_service() as stopping:
        settings = read_settings()
        policy = read_policies(settings).drift
        patience = Patience(stopping)
        with (
            closing(ModelRegistry(settings.mlflow_url)) as registry,
            closing(PrefectDeployments(settings.prefect_url)) as deployments,
            closing(ServedModel(settings)) as served,
            closing(ProgressReader(settings.kafka_bootstrap)) as reader,
        ):
            monitor = Monitor(
                Observer(Archive(settings.archive), registry, policy),
                registry,
                Retrainer(deployments, registry, served, policy=policy, patience=patience),
                ProgressWriter(settings.kafka_bootstrap).write,
                policy=policy,
                reports=settings.reports,
                patience=patience,
            )
            follow(monitor, reader, patience, lambda: mark_ready(settings, "monitor"))


if __name__ == "__main__":
    main()
