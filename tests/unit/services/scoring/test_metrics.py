"""Metrics of dead workers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from services.scoring.metrics import remove_dead_worker_gauges


def test_only_the_gauges_of_dead_workers_are_removed(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    alive = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        for kind in ("counter", "histogram", "gauge_livemin", "gauge_all"):
            for pid in (alive.pid, dead.pid):
                (tmp_path / f"{kind}_{pid}.db").touch()
        before = {file.name for file in tmp_path.iterdir()}
        remove_dead_worker_gauges(tmp_path)
        assert before - {file.name for file in tmp_path.iterdir()} == {f"gauge_livemin_{dead.pid}.db"}
        remove_dead_worker_gauges(tmp_path / "not there")
    finally:
        alive.communicate()
