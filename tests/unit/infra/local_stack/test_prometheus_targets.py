"""The file in which a local stack tells Prometheus where its processes are watched."""

from __future__ import annotations

import json
from pathlib import Path

from infra.local_stack.prometheus_targets import FILE, write_targets


def test_processes_are_told_apart_by_their_job_and_workers_by_their_address(tmp_path: Path) -> None:
    write_targets(tmp_path, {"stream-2": "http://127.0.0.1:2", "stream": "http://127.0.0.1:1"})
    write_targets(
        tmp_path,
        {"scoring": "https://127.0.0.1:3000", "stream-2": "http://127.0.0.1:2", "stream": "http://127.0.0.1:1"},
    )
    assert json.loads((tmp_path / FILE).read_text()) == [
        {"targets": ["127.0.0.1:3000"], "labels": {"job": "scoring"}},
        {"targets": ["127.0.0.1:1"], "labels": {"job": "stream"}},
        {"targets": ["127.0.0.1:2"], "labels": {"job": "stream"}},
    ]
