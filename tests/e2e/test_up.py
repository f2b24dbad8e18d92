"""`cardwatch up`: started, used, its processes killed, stopped and continued."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import psutil
import pytest

from adapters.kafka.offsets import OffsetReader
from adapters.kafka.topics import end_offsets
from adapters.local_stack.process_tree import ProcessIdentity
from adapters.local_stack.readiness import is_responding, unready_reasons
from adapters.local_stack.stack_home import StackHome, StackStatus
from adapters.runtime.settings import Settings, child_environment, read_settings
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.topics import STREAM_GROUP, TRANSACTIONS
from cli.demo.topic_audit import TopicAudit, audit_topics

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

TIMEOUT_SECONDS = 240.0
PLAN = {
    "world": SimulationSettings(seed=5, cards=300, fraud_share=0.02),
    "history_days": 26,
    "history_in_step": True,
    "live_days": None,
    "live_rate_per_second": 40,
    "days_after_promotion": None,
}


def until(what: str, reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not reached():
        assert time.monotonic() < deadline, f"{what}: not within {TIMEOUT_SECONDS:g} s"
        time.sleep(0.1)


class User:
    """A shell with its own home folder."""

    def __init__(self, folder: Path) -> None:
        self._given = read_settings({}, home=folder)
        self.home = StackHome(self._given)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cli.main", *command],
            env=child_environment(self._given),
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )

    @property
    def status(self) -> StackStatus:
        status = self.home.status()
        assert status is not None
        return status

    @property
    def processes(self) -> dict[str, ProcessIdentity]:
        record = self.home.record()
        assert record is not None
        return {name: identity for name, identity in record.processes.items() if name not in self.status.finished}

    @property
    def settings(self) -> Settings:
        """The settings of a shell that has sourced the addresses."""
        return read_settings(self.status.environment)

    def await_ready(self) -> None:
        endpoints = {
            name: endpoint for name, endpoint in self.status.endpoints.items() if name not in self.status.finished
        }
        until("everything ready", lambda: not any(unready_reasons(endpoints).values()))

    def count(self) -> TopicAudit:
        """Wait until all transactions are decided, and count decisions; the traffic must have stopped."""
        address = self.settings.kafka
        ends = end_offsets(address, TRANSACTIONS)
        with closing(OffsetReader(address, STREAM_GROUP)) as inquiry:
            until(
                "everything decided",
                lambda: all(inquiry.committed(TRANSACTIONS, [p]).get(p, 0) >= end for p, end in ends.items()),
            )
        return audit_topics(self.settings, {})


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    folder = tmp_path_factory.mktemp("home")
    plan = folder / "my-plan.json"
    plan.write_bytes(msgspec.json.encode(PLAN))
    user = User(folder)
    try:
        ended = user.run("up", "--plan", str(plan))
        assert ended.returncode == 0, ended.stdout + ended.stderr
        yield user
    finally:
        user.run("down")


def remaining_processes(user: User) -> list[str]:
    """Command lines of the processes that belong to this user's stack."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if str(user.home.folder) in line:
            found.append(line)
    return found


def test_it_returns_when_the_model_decides_and_everything_is_ready(user: User) -> None:
    assert is_responding(f"{user.settings.scoring_url}/readyz")
    shown = user.run("ps").stdout.splitlines()
    assert [line.split()[0] for line in shown[1:]] == ["stack", *user.status.endpoints]
    assert {line.split()[-1] for line in shown[2:]} == {"ready", "done"}
    assert user.run("logs", "generator", "-n", "1").stdout.startswith("generator | ")


def test_a_first_request_names_a_card_of_the_stack_and_gets_a_score(user: User) -> None:
    assert "cardwatch example | sh" in user.run("up").stdout
    printed = user.run("example")
    assert printed.returncode == 0, printed.stderr
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CARDWATCH_")}  # noqa: TID251
    sent = subprocess.run(
        ["/bin/sh"], input=printed.stdout, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    answer = json.loads(sent.stdout)
    assert (answer["degraded"], answer["repeated"]) == (False, False)
    assert answer["sequence"] > 0
    assert answer["probability"] is not None


def test_a_second_up_shows_the_addresses_and_starts_nothing(user: User) -> None:
    before = user.processes
    again = user.run("up")
    assert again.returncode == 0
    assert "the stack runs already" in again.stdout
    assert user.settings.mlflow_url in again.stdout
    assert user.processes == before


def test_every_killed_process_is_restarted_and_becomes_ready(user: User) -> None:
    for name, victim in user.processes.items():
        os.kill(victim.pid, signal.SIGKILL)
        until(f"{name} again", lambda name=name, victim=victim: user.processes[name] != victim)
        user.await_ready()
    assert user.status.restarts == dict.fromkeys(user.processes, 1)


def test_after_kill_stop_and_restart_nothing_is_sent_or_decided_twice(user: User) -> None:
    owner = user.status.owner
    os.kill(owner.pid, signal.SIGKILL)
    until("its processes are gone", lambda: remaining_processes(user) == [])
    assert user.run("ps").returncode == 1
    again = user.run("up")
    assert again.returncode == 0, again.stdout + again.stderr
    assert user.run("down").returncode == 0
    assert remaining_processes(user) == []

    quiet = user.run("up", "--no-traffic")
    assert quiet.returncode == 0, quiet.stdout + quiet.stderr
    assert "generator" not in user.processes
    counts = user.count()
    assert counts.transactions > 26 * 300 * 1.5  # the history alone, with cards that pay twice a day
    assert (counts.lost, counts.repeats, counts.duplicates, counts.strays) == (0, 0, 0, 0)
    assert counts.decisions == counts.transactions


def test_down_stops_it_and_deletes_its_data_on_request(user: User) -> None:
    assert user.run("down").returncode == 0
    assert remaining_processes(user) == []
    assert user.home.folder.exists()
    again = user.run("down", "--delete-data")
    assert (again.returncode, user.home.folder.exists()) == (0, False)
    assert "no stack runs" in again.stdout
