"""The stack of `cardwatch up`: its folder, readiness, logs and table of processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec import structs

from adapters.local_stack.process_record import StackRecord
from adapters.local_stack.process_tree import ProcessIdentity
from adapters.local_stack.stack_home import ProcessEndpoint, StackHome, StackStatus
from adapters.runtime.settings import Secret, read_settings
from cardwatch.errors import CardwatchError, Misconfigured
from cli.main import main
from cli.stack.logs import Tail, logs
from cli.stack.ps import process_rows
from cli.stack.readiness import REPORT_SECONDS, ReadinessMonitor, model_has_decided

KEY, MLFLOW = "it's secret", "http://127.0.0.1:5000"


@pytest.fixture
def home(tmp_path: Path) -> StackHome:
    return StackHome(read_settings({}, home=tmp_path))


def status(**more: object) -> StackStatus:
    described = StackStatus(
        owner=ProcessIdentity.of(os.getpid()),
        environment={
            "CARDWATCH_HOME": "/somewhere",
            "CARDWATCH_KAFKA_BOOTSTRAP": "broker.example:9092",
            "CARDWATCH_MLFLOW_URL": MLFLOW,
            "CARDWATCH_API_KEY": KEY,
        },
        own_variables=["CARDWATCH_MLFLOW_URL"],
        endpoints={},
    )
    return structs.replace(described, **more)


def test_addresses_can_be_sourced_and_are_read_by_their_owner_only(home: StackHome) -> None:
    home.write(status())
    assert home.addresses.stat().st_mode & 0o777 == 0o600
    shell = ["bash", "-c", '. "$0" && exec "$1" -c "import os; print(os.environ[\'CARDWATCH_API_KEY\'])"']
    completed = subprocess.run(
        [*shell, str(home.addresses), sys.executable], capture_output=True, text=True, check=True
    )
    assert completed.stdout == f"{KEY}\n"


def test_a_shell_that_has_sourced_them_finds_the_same_folder(home: StackHome) -> None:
    home.write(status())
    assert StackHome(read_settings({}, home=home.folder)).folder == home.folder


def test_addresses_of_an_earlier_stack_are_dropped_and_external_ones_are_kept(home: StackHome) -> None:
    home.write(status())
    sourced = read_settings(status().environment)
    settings = home.settings(sourced)
    assert (settings.mlflow_url, settings.kafka_bootstrap) == ("", "broker.example:9092")
    assert (settings.api_key, settings.home) == (KEY, home.folder)
    another = home.settings(structs.replace(sourced, mlflow_url="http://mlflow.example:80"))
    assert another.mlflow_url == "http://mlflow.example:80"


def test_the_key_is_kept_from_one_start_to_the_next_unless_another_is_given(home: StackHome) -> None:
    home.write(status())
    assert home.settings(read_settings({})).api_key == KEY
    given = home.settings(read_settings({"CARDWATCH_API_KEY": "given"})).api_key
    assert (given, type(given)) == ("given", Secret)


def test_a_status_is_valid_only_while_its_owner_lives(home: StackHome) -> None:
    assert (home.record(), home.status(), home.stop()) == (None, None, False)
    home.write(status())
    StackRecord(owner=ProcessIdentity.of(os.getpid())).write(home.folder / "stack.json")
    assert home.status() == status()
    StackRecord(owner=ProcessIdentity(os.getpid(), 1.0)).write(home.folder / "stack.json")
    assert (home.record(), home.status()) == (None, None)
    assert home.last_status() == status()


def test_stopping_ends_the_processes_of_a_dead_owner(home: StackHome) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True) as orphan:
        home.logs.mkdir(parents=True)
        stream = ProcessIdentity.of(orphan.pid)
        StackRecord(owner=ProcessIdentity(1, 1.0), processes={"stream": stream}).write(home.folder / "stack.json")
        assert stream.alive
        assert home.stop()
        assert not stream.alive
    assert not home.stop()


def test_a_setting_that_names_no_toxiproxy_is_refused_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CARDWATCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CARDWATCH_TOXIPROXY", "no-such-program")
    refused = CliRunner().invoke(main, ["up"])
    assert refused.exit_code == 2
    assert "CARDWATCH_TOXIPROXY='no-such-program' is not an executable file" in refused.output
    assert not (tmp_path / "home").exists()


def test_a_folder_that_cannot_be_made_is_a_clear_refusal(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    home = StackHome(read_settings({}, home=tmp_path / "file"))
    assert home.record() is None
    with pytest.raises(Misconfigured, match="file/stack cannot be written"), home.start_lock():
        pass


def test_only_the_owner_can_read_the_logs_which_have_the_token_of_the_console(tmp_path: Path) -> None:
    home = StackHome(read_settings({}, home=tmp_path))
    home.logs.mkdir(parents=True, mode=0o755)  # of an earlier stack
    with home.start_lock():
        assert home.logs.stat().st_mode & 0o777 == 0o700


class FakeStack:
    """Readiness of processes, a clock, and the reported messages."""

    def __init__(self, *, with_traffic: bool = True) -> None:
        self.now, self.decided = 100.0, False
        self.reasons: dict[str, str | None] = {}
        self.messages: list[str] = []
        self.monitor = ReadinessMonitor(
            self.unready_reasons,
            lambda _: self.decided,
            self.messages.append,
            with_traffic=with_traffic,
            now_seconds=lambda: self.now,
        )

    def unready_reasons(self, endpoints: Mapping[str, ProcessEndpoint]) -> dict[str, str | None]:
        return {name: self.reasons[name] for name in endpoints}

    def check(self, *, finished: tuple[str, ...] = (), **reasons: str | None) -> bool:
        self.reasons.update(reasons)
        endpoints = {name: ProcessEndpoint("", "") for name in self.reasons}
        return self.monitor.check(status(endpoints=endpoints, finished=list(finished)))


def test_the_stack_is_ready_when_all_processes_are_and_the_model_has_decided() -> None:
    stack = FakeStack()
    assert not stack.check(kafka=None, stream="no broker", generator=None)
    stack.now += 2.0
    assert not stack.check(stream=None)
    stack.decided = True
    assert stack.check()
    assert stack.messages == ["    0 s  kafka is ready", "    0 s  generator is ready", "    2 s  stream is ready"]


def test_the_process_that_the_others_depend_on_is_reported_as_the_reason_for_waiting() -> None:
    stack = FakeStack()
    waiting = {"stream": "no broker", "kafka": "it does not answer yet"}
    stack.check(**waiting)
    assert stack.messages == []
    for _ in range(3):
        stack.now += REPORT_SECONDS
        stack.check()
    assert stack.messages == ["    5 s  kafka waits: it does not answer yet"]
    stack.check(kafka=None)
    stack.now += REPORT_SECONDS
    stack.check()
    assert stack.messages[1:] == ["   15 s  kafka is ready", "   20 s  stream waits: no broker"]


def test_without_traffic_no_model_is_required() -> None:
    answers = {"kafka": None, "stream": None, "scoring": "no champion", "bootstrap": "0 of 30 days"}
    assert FakeStack(with_traffic=False).check(**answers)
    assert not FakeStack().check(**answers)


def test_a_finished_generator_is_not_waited_for() -> None:
    stack = FakeStack()
    assert not stack.check(stream=None, generator=None)
    assert stack.check(finished=("generator",))


def test_a_stream_worker_that_does_not_answer_has_decided_nothing() -> None:
    assert not model_has_decided(ProcessEndpoint("http://127.0.0.1:1", ""))


def test_the_table_has_a_row_for_each_process_in_any_state() -> None:
    me, dead = ProcessIdentity.of(os.getpid()), ProcessIdentity(1, 1.0)
    endpoints = {
        name: ProcessEndpoint(f"at-{name}", "http://127.0.0.1:1/readyz")
        for name in ("mlflow", "stream", "monitor", "job")
    }
    described = status(endpoints=endpoints, restarts={"stream": 2}, finished=["job"])
    shown = process_rows(StackRecord(owner=me, processes={"stream": me, "monitor": dead, "job": dead}), described)
    assert {row.name: row.state for row in shown} == {
        "stack": "supervises the others",
        "mlflow": "external",
        "stream": "waits: it does not answer yet (restarted 2 x)",
        "monitor": "has exited and will be restarted",
        "job": "done",
    }
    assert (shown[0].pid, int(shown[0].megabytes) > 10) == (str(me.pid), True)
    assert (shown[2].pid, shown[2].address) == (str(me.pid), "at-stream")
    assert (shown[3].pid, shown[3].megabytes) == ("", "")


def test_the_last_lines_of_a_log_are_shown_and_then_new_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "stream.log"
    file.write_text("one\ntwo\nthree\nhal")
    with closing(Tail(file, "stream | ")) as tail:
        tail.show_last(2)
        assert capsys.readouterr().out == "stream | two\nstream | three\n"
        with file.open("a") as log:
            log.write("f\nfive\n")
        tail.show_new()
    assert capsys.readouterr().out == "stream | half\nstream | five\n"


def test_a_rotated_log_is_followed_from_the_end_of_the_old_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "stream.log"
    with closing(Tail(file, "")) as tail:
        tail.show_last(5)
        tail.show_new()  # the log does not exist yet
        file.write_text("one\n")
        tail.show_new()
        with file.open("a") as log:
            log.write("two\n")
        file.rename(tmp_path / "stream.log.1")
        tail.show_new()
        file.write_text("three\n")
        tail.show_new()
    assert capsys.readouterr().out == "one\ntwo\nthree\n"


def test_logs_are_chosen_by_name(home: StackHome, tmp_path: Path) -> None:
    def show(*arguments: str) -> object:
        return CliRunner(env={"CARDWATCH_HOME": str(tmp_path)}).invoke(logs, arguments)

    nothing = show()
    assert isinstance(nothing.exception, CardwatchError)  # type: ignore[attr-defined]
    home.logs.mkdir(parents=True)
    home.log("stream").write_text("decided\n")
    home.log("kafka").write_text("started\n")
    assert show().output == "kafka  | started\nstream | decided\n"  # type: ignore[attr-defined]
    assert show("stream").output == "stream | decided\n"  # type: ignore[attr-defined]
    unknown = show("steam")
    assert str(unknown.exception) == "there is no log of 'steam', only of kafka, stream"  # type: ignore[attr-defined]
