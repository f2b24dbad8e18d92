"""The demo at full scale: five worlds, the same one twice, and one that does not change. Half an hour on two cores."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from adapters.runtime.settings import child_environment, read_settings

pytestmark = [pytest.mark.long, pytest.mark.timeout(3_600)]

SEEDS = range(1, 6)


def demo(home: Path, *options: str) -> dict[str, Any]:
    """Run a demo to its end and give the facts of its summary."""
    command = [sys.executable, "-m", "cli.main", "demo", *options]
    environment = child_environment(read_settings({}, home=home))
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    summary = home / "demo" / "reports" / "summary.json"
    assert summary.exists(), ended.stdout + ended.stderr
    facts: dict[str, Any] = json.loads(summary.read_text())["facts"]
    assert ended.returncode == (0 if facts["closed"] else 1)
    return facts


def test_at_least_four_of_five_worlds_close_the_loop(tmp_path: Path) -> None:
    facts = {seed: demo(tmp_path / str(seed), "--seed", str(seed)) for seed in SEEDS}
    for seed, of_seed in facts.items():
        print(seed, of_seed["closed"], [check["sentence"] for check in of_seed["checks"]])  # noqa: T201
    assert sum(of_seed["closed"] for of_seed in facts.values()) >= 4


def test_the_same_seed_gives_the_same_facts(tmp_path: Path) -> None:
    assert demo(tmp_path / "once") == demo(tmp_path / "again")


def test_a_world_that_does_not_change_is_not_retrained(tmp_path: Path) -> None:
    facts = demo(tmp_path, "--no-change")
    assert facts["verdicts"] == []
    assert facts["closed"]
