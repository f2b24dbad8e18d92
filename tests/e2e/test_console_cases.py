"""Cases of a running stack: what an investigator decides reaches the archive's labels, also past a frozen broker."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, TypeVar

import httpx
import psutil
import pytest

from adapters.archive.reader import Archive
from adapters.local_stack.stack_home import StackHome, StackStatus
from adapters.runtime.addresses import plain
from adapters.runtime.settings import Settings, child_environment, read_settings
from adapters.scoring.api_keys import KeyScope, add_key
from cardwatch.events import EPOCH
from tests.deadlines import Deadline
from tests.e2e.console_page import Page, running_console

pytestmark = [pytest.mark.long, pytest.mark.timeout(1_200)]

T = TypeVar("T")


@pytest.fixture(scope="module")
def status(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackStatus]:
    with running_console(tmp_path_factory.mktemp("home")) as status:
        yield status


@pytest.fixture(scope="module")
def settings(status: StackStatus) -> Settings:
    return read_settings(status.environment)


@pytest.fixture
def page(status: StackStatus) -> Iterator[Page]:
    page = Page(status)
    with page.client:
        yield page


class CaseTool:
    """A program of a bank with the key of one investigator."""

    def __init__(self, page: Page, settings: Settings, name: str) -> None:
        scopes = (KeyScope.CASES_READ, KeyScope.CASES_WORK)
        key, _ = add_key(settings.keys_file, name=name, scopes=scopes, rate_per_second=None, created_at=EPOCH)
        self._client, self._headers = page.client, {"Authorization": f"Bearer {plain(key)}"}

    def get(self, path: str) -> Any:
        return self._client.get(path, headers=self._headers, timeout=60.0).raise_for_status().json()

    def post(self, path: str, version: int, body: object) -> httpx.Response:
        headers = {**self._headers, "If-Match": f'"{version}"'}
        return self._client.post(path, json=body, headers=headers, timeout=60.0)

    def first(self) -> tuple[str, dict[str, Any]]:
        """Return the first open case of the queue, once there is one, and its address."""
        cases = awaited("a case", lambda: self.get("/api/cases?state=open")["cases"] or None, 300.0)
        return f"/api/cases/{cases[0]['partition']}/{cases[0]['offset']}", cases[0]


def awaited(what: str, read: Callable[[], T | None], seconds: float) -> T:
    """Return what `read` gives once it is not None."""
    deadline = Deadline(seconds)
    while (found := read()) is None:
        assert not deadline.has_passed(), f"{what}: not within {deadline.elapsed_seconds:.0f} s"
        time.sleep(0.2)
    return found


def command(settings: Settings, *arguments: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "cli.main", "cases", *arguments],
        env=child_environment(settings), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def label_of_investigator(settings: Settings, transaction_id: str) -> dict[str, Any]:
    """Return the archived label of an investigator, once there is one; there must not be two that differ."""

    def archived() -> dict[str, Any] | None:
        rows = Archive(settings.archive, settings.index_url).all_labels().to_pylist()
        found = [
            {name: value for name, value in row.items() if name not in ("partition", "log_offset")}
            for row in rows
            if (row["transaction_id"], row["source"]) == (transaction_id, "investigator")
        ]
        assert all(each == found[0] for each in found)
        return found[0] if found else None

    return awaited("the label is archived", archived, 300.0)


def test_a_decided_case_becomes_a_label_of_the_archive(page: Page, settings: Settings) -> None:
    anna = CaseTool(page, settings, "anna")
    address, case = anna.first()
    assert anna.post(f"{address}/assign", 0, {}).json()["case"]["assignee"] == "anna"
    decided = anna.post(f"{address}/decision", 1, {"outcome": "fraud", "comment": "called"}).raise_for_status().json()
    assert (decided["case"]["state"], decided["case"]["decided_by"]) == ("decided", "anna")
    label = label_of_investigator(settings, case["transaction_id"])
    assert (label["is_fraud"], label["card_id"], label["merchant_id"]) == (True, case["card_id"], case["merchant_id"])
    assert label["effective_at"] == datetime.fromisoformat(case["opened_at"])
    assert label["observed_at"] == datetime.fromisoformat(decided["case"]["decided_at"])
    shown = awaited(
        "the label is shown in the case",
        lambda: found if (found := anna.get(address)["case"])["labels"] else None,
        60.0,
    )
    assert "investigator" in [each["source"] for each in shown["labels"]]


def test_the_command_does_what_the_api_does(page: Page, settings: Settings) -> None:
    ben = CaseTool(page, settings, "ben")
    address, case = ben.first()
    position = f"{case['partition']}:{case['offset']}"
    assert position in command(settings, "list", "--limit", "200")
    command(settings, "assign", position, "--to", "ben", "--as", "chief")
    assert ben.get(address)["case"]["assignee"] == "ben"
    assert "decided: genuine by ben" in command(settings, "decide", position, "--outcome", "genuine", "--as", "ben")
    assert ben.post(f"{address}/decision", 3, {"outcome": "fraud"}).status_code == 409
    assert label_of_investigator(settings, case["transaction_id"])["is_fraud"] is False


def test_a_decision_survives_a_frozen_broker_and_a_killed_console(page: Page, settings: Settings) -> None:
    carla = CaseTool(page, settings, "carla")
    address, case = carla.first()
    carla.post(f"{address}/assign", 0, {}).raise_for_status()
    page.act("kafka", "freeze").raise_for_status()
    try:
        away = carla.post(f"{address}/decision", 1, {"outcome": "fraud"})
        assert away.status_code == 503, away.text
        waiting = carla.get(address)["case"]
        assert (waiting["state"], waiting["is_label_pending"]) == ("assigned", True)
    finally:
        page.act("kafka", "resume").raise_for_status()
    record = StackHome(settings).record()
    assert record is not None
    psutil.Process(record.processes["console"].pid).kill()

    def finished() -> dict[str, Any] | None:
        try:
            found = carla.get(address)["case"]
        except httpx.HTTPError:  # it is being started again
            return None
        return found if found["state"] == "decided" else None

    assert awaited("the console finishes the decision", finished, 180.0)["outcome"] == "fraud"
    label = label_of_investigator(settings, case["transaction_id"])
    assert label["observed_at"] == datetime.fromisoformat(waiting["decided_at"])
