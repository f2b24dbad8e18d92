"""The same kills on the embedded stack, with immediate restarts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import pytest

from adapters.kafka.topics import broker_answers
from adapters.local_stack.readiness import is_responding
from adapters.prefect import PrefectDeployments
from adapters.runtime.settings import Settings, child_environment, read_settings
from cli.demo.topic_audit import audit_topics
from infra.local_stack.stack import LocalStack

pytestmark = [pytest.mark.long, pytest.mark.timeout(1_500)]

HERE = Path(__file__).parent
RATE = 200.0
LAST_DAY = date(2025, 2, 2)
"""Last day of the history in plans/history.json."""


@pytest.fixture
def stack(
    tmp_path: Path, until: Callable[..., float], history: Callable[[Settings, date], None]
) -> Iterator[LocalStack]:
    """The complete stack with archived history and a served champion."""
    with LocalStack(read_settings({}, home=tmp_path / "home")) as running:
        settings = running.settings
        running.start("kafka", "mlflow", "prefect")
        running.start("archive", "scoring", "pipelines", "monitor", "stream")
        running.run("generator", "services.generator", str(HERE / "plans" / "history.json"))
        history(settings, LAST_DAY)
        with closing(PrefectDeployments(settings.prefect_url)) as deployments:
            deployments.wait(deployments.run("bootstrap/local", {}), timeout_seconds=300.0)
        until("the champion is served", lambda: is_responding(f"{settings.scoring_url}/readyz"))
        yield running


def test_each_part_may_be_killed_under_traffic(
    stack: LocalStack,
    watch: Callable[[Settings], Any],
    settle: Callable[[Settings], None],
    show: Callable[[object], None],
    until: Callable[..., float],
) -> None:
    settings, begin = stack.settings, time.monotonic()
    watcher = watch(settings)
    stack.run("traffic", "services.generator", str(HERE / "plans" / "traffic.json"))
    until("traffic", lambda: watcher.is_steady(begin, RATE))
    effects = []
    for victim, kill, is_back in victims(stack):
        effects.append(watcher.measure(victim, kill, is_back, RATE))
        show(effects[-1:])
    stack.supervisor.stop("traffic")
    settle(settings)
    counts = audit_topics(settings, {})
    show(effects)
    show(counts)
    assert (counts.lost, counts.duplicates, counts.strays) == (0, 0, 0)
    assert counts.decisions + counts.repeats == counts.transactions
    compared = subprocess.run(
        [sys.executable, str(HERE / "compare.py")],
        env=child_environment(settings),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(compared.stdout) == {
        "decisions": counts.decisions,
        "transactions": counts.transactions,
        "features_that_differ": 0,
        "states_that_differ": 0,
    }


def victims(stack: LocalStack) -> list[tuple[str, Callable[[], None], Callable[[], bool]]]:
    """Return the victims, each with its kill and the check of its restart."""
    settings = stack.settings

    def kill(name: str) -> None:
        stack.supervisor.kill(name)
        stack.start(name, wait=False)

    def kill_worker() -> None:
        bentoml = psutil.Process(stack.supervisor.pid("scoring"))
        [worker] = [child for child in bentoml.children() if "--worker-id" in child.cmdline()]
        os.kill(worker.pid, signal.SIGKILL)

    def is_ready(name: str) -> bool:
        return is_responding(f"{stack.health_address(name)}/readyz")

    def prefect_is_back() -> bool:
        return is_responding(f"{settings.prefect_url}/api/health") and is_ready("pipelines")

    return [
        ("scoring worker", kill_worker, lambda: is_ready("scoring")),
        ("scoring", lambda: kill("scoring"), lambda: is_ready("scoring")),
        ("stream worker", lambda: kill("stream"), lambda: is_ready("stream")),
        ("archive", lambda: kill("archive"), lambda: is_ready("archive")),
        ("mlflow", lambda: kill("mlflow"), lambda: is_responding(f"{settings.mlflow_url}/health")),
        ("prefect", lambda: kill("prefect"), prefect_is_back),
        ("broker", lambda: kill("kafka"), lambda: broker_answers(settings.kafka)),
    ]
