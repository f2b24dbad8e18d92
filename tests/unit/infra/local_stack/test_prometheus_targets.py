"""The file of scrape targets that a local stack writes for Prometheus."""

from __future__ import annotations

import json
from pathlib import Path

from infra.local_stack.prometheus_targets import FILE, write_targets


def test_processes_have_their_job_as_label_and_workers_their_address(tmp_path: Path) -> None:
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
