"""The whole loop at small scale, by the command that a user types, on the real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from adapters.settings import child_environment, read_settings


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    home = tmp_path_factory.mktemp("home")
    small = ["--cards", "700", "--fraud-share", "0.012", "--history-days", "30", "--days-after", "9", "--seconds", "5"]
    command = [sys.executable, "-m", "cli.main", "demo", "--seed", "13", *small]
    environment = child_environment(read_settings({}, home=home))
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=800, check=False)
    return ended, home


@pytest.fixture(scope="module")
def facts(run: tuple[subprocess.CompletedProcess[str], Path]) -> dict[str, Any]:
    ended, home = run
    summary = home / "demo" / "reports" / "summary.json"
    assert summary.exists(), ended.stdout + ended.stderr
    return json.loads(summary.read_text())["facts"]  # type: ignore[no-any-return]


@pytest.mark.timeout(900)
def test_fraud_is_caught_the_model_wears_out_is_retrained_promoted_and_recovers(facts: dict[str, Any]) -> None:
    phases = {phase["name"]: phase["quality"]["average_precision"] for phase in facts["phases"]}
    assert phases["after"] < 0.8 * phases["before"]
    assert phases["swapped"] > phases["after"] + 0.5 * (phases["before"] - phases["after"])
    assert facts["detection"] is not None
    assert [verdict["promoted"] for verdict in facts["verdicts"]][-1]


@pytest.mark.timeout(900)
def test_nothing_is_lost_and_nothing_is_decided_twice(facts: dict[str, Any]) -> None:
    assert (facts["lost"], facts["duplicates"]) == (0, 0)


@pytest.mark.timeout(900)
def test_without_a_terminal_each_event_is_a_line_and_the_report_is_named(
    run: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    ended, home = run
    lines = ended.stdout.splitlines()
    kinds = [line.split()[1] for line in lines if line[:4] == "2025" or line.startswith("- ")]
    for kind in ("stack", "champion", "change", "drift", "retraining", "verdict", "swap", "measure"):
        assert kind in kinds, ended.stdout + ended.stderr
    page = home / "demo" / "reports" / "demo.html"
    assert lines[-1] == f"Report: {page}"
    assert "://" not in page.read_text().replace("http://www.w3.org", "")


@pytest.mark.timeout(900)
def test_nothing_is_left_running(run: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    _, home = run
    left = [p.info for p in psutil.process_iter(["pid", "cmdline"]) if str(home) in " ".join(p.info["cmdline"] or [])]
    assert left == []
