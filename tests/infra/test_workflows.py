"""The workflows of GitHub, by actionlint and by our own rules."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
WORKFLOWS: dict[str, dict[str, Any]] = {path.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in FILES}
JOBS = {(name, job): spec for name, workflow in WORKFLOWS.items() for job, spec in workflow["jobs"].items()}
STEPS = [step for job in JOBS.values() for step in job["steps"]]

INSTALL = (
    "actionlint is not installed, and the workflows were NOT linted: go install "
    "github.com/rhysd/actionlint/cmd/actionlint@v1.7.7, and have it on PATH or in CARDWATCH_ACTIONLINT"
)


@pytest.fixture
def actionlint(require: Callable[[object, str], None]) -> str:
    """Return the path of actionlint."""
    program = os.environ.get("CARDWATCH_ACTIONLINT") or shutil.which("actionlint")  # noqa: TID251 (about this run of tests)
    require(program, INSTALL)
    return str(program)


def test_there_are_workflows() -> None:
    assert FILES


def test_actionlint_finds_nothing(actionlint: str) -> None:
    linted = subprocess.run(
        [actionlint, "-no-color", *map(str, FILES)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.parametrize("step", [step for step in STEPS if "uses" in step], ids=lambda step: step["uses"])
def test_an_action_is_pinned_to_a_commit(step: dict[str, Any]) -> None:
    assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"])


def test_a_pinned_action_says_which_release_it_is() -> None:
    for path in FILES:
        for line in path.read_text(encoding="utf-8").splitlines():
            assert "uses:" not in line or re.search(r"@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


@pytest.mark.parametrize(("name", "job"), JOBS)
def test_a_job_may_only_read_and_ends(name: str, job: str) -> None:
    assert WORKFLOWS[name]["permissions"] == {"contents": "read"}
    assert "permissions" not in JOBS[name, job]
    assert JOBS[name, job]["timeout-minutes"] <= 60


def test_no_step_keeps_the_token_of_the_checkout() -> None:
    checkouts = [step for step in STEPS if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_every_target_that_is_called_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    called = {target for step in STEPS for target in re.findall(r"\bmake ([a-z-]+)", step.get("run", ""))}
    assert called
    assert called <= targets
