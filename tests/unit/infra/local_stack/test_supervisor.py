"""Processes are started, supervised and ended with their descendants; no orphan remains after any kill."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from adapters.runtime.ports import LOOPBACK, choose_ports, free_ports, require_free
from adapters.runtime.settings import Settings, child_environment
from cardwatch.errors import Misconfigured, PortInUse, ProcessDied, Unavailable
from infra.local_stack.signals import defer_signals
from infra.local_stack.supervisor import ProcessSpec, Supervisor

SLEEPER = "import time\nprint('up', flush=True)\ntime.sleep(600)"
# A process that ignores SIGTERM, with a child that outlives it; it writes the child's id.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1], "w").write(str(child.pid))
time.sleep(600)
"""
# A supervisor in its own process; it creates a file when its two processes run.
OWNER = """
import sys, time
from pathlib import Path
from adapters.runtime.settings import Settings, child_environment
from infra.local_stack.supervisor import ProcessSpec, Supervisor
home = Path(sys.argv[1])
parent = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
sleeper = [sys.executable, "-c", parent]
with Supervisor(home) as supervisor:
    for name in ("one", "two"):
        supervisor.start(ProcessSpec(name=name, command=sleeper, environment=child_environment(Settings(home=home))))
    (home / "running").touch()
    time.sleep(600)
"""


def part(
    name: str, program: str, *arguments: str, ready: Callable[[], bool] = lambda: True, **more: object
) -> ProcessSpec:
    command = [sys.executable, "-c", program, *arguments]
    return ProcessSpec(name=name, command=command, environment=child_environment(Settings()), ready=ready, **more)  # type: ignore[arg-type]


def eventually(condition: Callable[[], bool], *, within_seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + within_seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return met


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def start_owner(home: Path) -> subprocess.Popen[bytes]:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(home)])
    assert eventually((home / "running").exists)
    return owner


def recorded(home: Path) -> list[int]:
    return [process["pid"] for process in json.loads((home / "stack.json").read_bytes())["processes"].values()]


def descendants(pids: list[int]) -> list[int]:
    return [child.pid for pid in pids for child in psutil.Process(pid).children(recursive=True)]


def test_a_process_is_started_when_it_is_ready_and_gone_after_leaving(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        log = supervisor.log("sleeper")
        supervisor.start(part("sleeper", SLEEPER, ready=lambda: log.read_text() == "up\n"))
        pid = supervisor.pid("sleeper")
        assert runs(pid)
    assert not runs(pid)
    assert not (tmp_path / "stack.json").exists()


def test_leaving_by_an_exception_ends_a_process_that_ignores_sigterm_and_its_child(tmp_path: Path) -> None:
    note = tmp_path / "child"
    with pytest.raises(KeyboardInterrupt), Supervisor(tmp_path, grace_seconds=0.2) as supervisor:
        supervisor.start(part("stubborn", STUBBORN, str(note), ready=lambda: note.exists() and note.read_text() != ""))
        pids = [supervisor.pid("stubborn"), int(note.read_text())]
        assert all(map(runs, pids))
        raise KeyboardInterrupt
    assert not any(map(runs, pids))


def test_a_process_that_ends_before_it_is_ready_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    program = "for n in range(100): print('line', n)\nraise SystemExit(3)"
    with (
        Supervisor(tmp_path) as supervisor,
        pytest.raises(ProcessDied, match=r"(?s)dying exited with status 3.*line 85\n.*line 99") as death,
    ):
        supervisor.start(part("dying", program, ready=lambda: False))
    assert "line 84" not in str(death.value)


def test_a_process_killed_later_is_noticed_by_the_next_check(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(part("victim", SLEEPER), part("other", SLEEPER))
        supervisor.check()
        os.kill(supervisor.pid("victim"), signal.SIGKILL)

        def noticed() -> bool:
            try:
                supervisor.check()
            except ProcessDied as death:
                return str(death).startswith("victim was killed by signal 9")
            return False

        assert eventually(noticed)


def test_a_process_that_is_never_ready_is_unavailable_at_its_deadline(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor, pytest.raises(Unavailable, match=r"slow was not ready within 0\.2 s"):
        supervisor.start(part("slow", SLEEPER, ready=lambda: False, ready_within_seconds=0.2))


def test_a_process_killed_by_the_supervisor_is_no_failure_and_may_start_again(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(part("worker", SLEEPER))
        first = supervisor.pid("worker")
        supervisor.kill("worker")
        supervisor.check()
        assert not runs(first)
        supervisor.start(part("worker", SLEEPER))
        assert supervisor.pid("worker") != first


def test_a_dead_process_is_restarted_after_a_pause_and_its_orphans_are_ended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    note = tmp_path / "child"
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(part("other", SLEEPER))
        supervisor.start(part("victim", STUBBORN, str(note), ready=lambda: note.exists() and note.read_text() != ""))
        first, orphan, other = supervisor.pid("victim"), int(note.read_text()), supervisor.pid("other")
        assert supervisor.restart_exited() == []
        os.kill(first, signal.SIGKILL)
        died_at = time.monotonic()
        assert eventually(lambda: supervisor.restart_exited() == ["victim"])
        assert time.monotonic() - died_at >= 1.0
        assert not runs(orphan)
        again = supervisor.pid("victim")
        assert (again != first, runs(again), supervisor.pid("other")) == (True, True, other)
        assert sorted(recorded(tmp_path)) == sorted([again, other])  # so the cleanup ends both
        assert caplog.messages == ["victim was killed by signal 9; it is restarted in 1 s"]
    assert not runs(again)


def test_a_restart_is_logged_with_the_last_line_of_the_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Supervisor(tmp_path) as supervisor:
        supervisor.spawn([part("refusing", "raise SystemExit('no such file\\n')", may_end=True)])
        assert eventually(lambda: supervisor.restart_exited() == ["refusing"])
        assert caplog.messages[0] == "refusing exited with status 1 (no such file); it is restarted in 1 s"


def test_a_process_that_may_end_is_not_restarted(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(part("job", "print('done')", may_end=True), part("service", SLEEPER, may_end=True))
        assert eventually(lambda: supervisor.finished == ["job"])
        assert supervisor.restart_exited() == []


def test_the_log_of_the_run_before_is_kept(tmp_path: Path) -> None:
    for output in ("first", "second"):
        with Supervisor(tmp_path) as supervisor:
            supervisor.start(part("job", f"print({output!r})", may_end=True))
            supervisor.wait("job")
            assert supervisor.log("job").read_text() == f"{output}\n"
    assert (tmp_path / "logs" / "job.log.1").read_text() == "first\n"


def test_a_stopped_process_is_ended_without_waiting_for_its_grace(tmp_path: Path) -> None:
    with Supervisor(tmp_path, grace_seconds=300.0) as supervisor:
        supervisor.start(part("stopped", SLEEPER))
        pid = supervisor.pid("stopped")
        os.kill(pid, signal.SIGSTOP)
    assert not runs(pid)


def test_a_process_that_may_end_is_waited_for(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(part("job", "print('done')", may_end=True))
        supervisor.wait("job")
        assert supervisor.log("job").read_text() == "done\n"


def test_a_job_that_fails_is_an_error(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor, pytest.raises(ProcessDied, match="job exited with status 1"):
        supervisor.start(part("job", "raise SystemExit('no')", may_end=True))
        supervisor.wait("job")


def test_nothing_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    owner = start_owner(tmp_path)
    pids = recorded(tmp_path)
    pids += descendants(pids)
    owner.kill()
    owner.wait()
    assert len(pids) >= 2
    assert eventually(lambda: not any(map(runs, pids)))


def test_orphans_of_a_killed_supervisor_and_cleanup_process_are_ended_by_the_next_start(tmp_path: Path) -> None:
    owner = start_owner(tmp_path)
    pids = recorded(tmp_path)
    [cleanup] = [child for child in psutil.Process(owner.pid).children() if child.pid not in pids]
    cleanup.kill()
    owner.kill()
    owner.wait()
    assert all(map(runs, pids))
    with Supervisor(tmp_path):
        assert not any(map(runs, pids))


def test_a_home_with_a_living_owner_is_refused(tmp_path: Path) -> None:
    with (
        Supervisor(tmp_path),
        pytest.raises(Misconfigured, match=f"in use by process {os.getpid()}"),
        Supervisor(tmp_path),
    ):
        pass


def test_of_two_concurrent_owners_of_a_home_one_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "stderr").open("wb") as stderr:
        owners = [subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stderr=stderr) for _ in range(2)]
    try:
        assert eventually(lambda: any(owner.poll() is not None for owner in owners))
        [other] = [owner for owner in owners if owner.poll() is None]
        assert f"in use by process {other.pid}" in (tmp_path / "stderr").read_text()
    finally:
        for owner in owners:
            owner.kill()
            owner.wait()


def test_a_reused_process_id_in_a_record_ends_no_process(tmp_path: Path) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        long_ago = {"pid": bystander.pid, "created": 1.0}
        record = {"owner": {"pid": 1, "created": 1.0}, "processes": {"kafka": long_ago}}
        (tmp_path / "stack.json").write_text(json.dumps(record))
        with Supervisor(tmp_path):
            assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_home_that_cannot_be_made_is_a_clear_refusal(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match=r"CARDWATCH_HOME=.*cannot be written"), Supervisor(tmp_path / "file"):
        pass


def test_a_taken_port_is_refused_by_its_number() -> None:
    [port] = free_ports(1)
    assert require_free(port, "a test") == port
    with subprocess.Popen(
        [sys.executable, "-m", "http.server", "--bind", LOOPBACK, str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        assert eventually(lambda: _taken(port))
        server.kill()


def test_preferred_ports_are_chosen_where_they_are_free() -> None:
    free, taken = free_ports(2)
    with socket.socket() as listener:
        listener.bind((LOOPBACK, taken))
        listener.listen()
        chosen = choose_ports({"one": free, "other": taken, "any": 0})
    assert chosen["one"] == free
    assert chosen["other"] != taken
    assert len({*chosen.values()}) == 3
    assert choose_ports({}) == {}


def _taken(port: int) -> bool:
    try:
        require_free(port, "a test")
    except PortInUse as error:
        return f"port {port} on {LOOPBACK}, asked for by a test, is in use" in str(error)
    return False


def test_an_interruption_is_deferred_until_the_block_ends() -> None:
    done = False
    with pytest.raises(KeyboardInterrupt), defer_signals():
        signal.raise_signal(signal.SIGINT)
        done = True
    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
