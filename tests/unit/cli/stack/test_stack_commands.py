"""The stack that runs until it is stopped, from outside: its folder, its arrival, its logs, its table."""

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

from adapters.runtime.settings import Secret, read_settings
from cardwatch.errors import CardwatchError, Misconfigured
from cli.stack.arrival import SAY_AGAIN_SECONDS, Arrival, model_has_decided
from cli.stack.logs import Tail, logs
from cli.stack.ps import lines
from infra.local_stack.process_record import StackRecord
from infra.local_stack.process_tree import ProcessIdentity
from infra.local_stack.stack_home import Place, StackHome, Standing

KEY, MLFLOW = "it's secret", "http://127.0.0.1:5000"


@pytest.fixture
def home(tmp_path: Path) -> StackHome:
    return StackHome(read_settings({}, home=tmp_path))


def standing(**more: object) -> Standing:
    described = Standing(
        owner=ProcessIdentity.of(os.getpid()),
        environment={
            "CARDWATCH_HOME": "/somewhere",
            "CARDWATCH_KAFKA_BOOTSTRAP": "broker.example:9092",
            "CARDWATCH_MLFLOW_URL": MLFLOW,
            "CARDWATCH_API_KEY": KEY,
        },
        ours=["CARDWATCH_MLFLOW_URL"],
        places={},
    )
    return structs.replace(described, **more)


def test_addresses_can_be_sourced_and_are_read_by_their_owner_only(home: StackHome) -> None:
    home.write(standing())
    assert home.addresses.stat().st_mode & 0o777 == 0o600
    shell = ["bash", "-c", '. "$0" && exec "$1" -c "import os; print(os.environ[\'CARDWATCH_API_KEY\'])"']
    said = subprocess.run([*shell, str(home.addresses), sys.executable], capture_output=True, text=True, check=True)
    assert said.stdout == f"{KEY}\n"


def test_a_shell_that_has_sourced_them_finds_the_same_folder(home: StackHome) -> None:
    home.write(standing())
    assert StackHome(read_settings({}, home=home.folder)).folder == home.folder


def test_addresses_of_an_earlier_stack_are_forgotten_and_somebody_elses_are_kept(home: StackHome) -> None:
    home.write(standing())
    sourced = read_settings(standing().environment)
    settings = home.settings(sourced)
    assert (settings.mlflow_url, settings.kafka_bootstrap) == ("", "broker.example:9092")
    assert (settings.api_key, settings.home) == (KEY, home.folder)
    another = home.settings(structs.replace(sourced, mlflow_url="http://mlflow.example:80"))
    assert another.mlflow_url == "http://mlflow.example:80"


def test_the_key_is_kept_from_one_start_to_the_next_unless_another_is_given(home: StackHome) -> None:
    home.write(standing())
    assert home.settings(read_settings({})).api_key == KEY
    given = home.settings(read_settings({"CARDWATCH_API_KEY": "given"})).api_key
    assert (given, type(given)) == ("given", Secret)


def test_a_description_counts_only_while_its_owner_lives(home: StackHome) -> None:
    assert (home.record(), home.standing(), home.stop()) == (None, None, False)
    home.write(standing())
    StackRecord(owner=ProcessIdentity.of(os.getpid())).write(home.folder / "stack.json")
    assert home.standing() == standing()
    StackRecord(owner=ProcessIdentity(os.getpid(), 1.0)).write(home.folder / "stack.json")
    assert (home.record(), home.standing()) == (None, None)
    assert home.last() == standing()


def test_what_a_dead_owner_has_left_is_ended_by_stopping(home: StackHome) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True) as orphan:
        home.logs.mkdir(parents=True)
        stream = ProcessIdentity.of(orphan.pid)
        StackRecord(owner=ProcessIdentity(1, 1.0), processes={"stream": stream}).write(home.folder / "stack.json")
        assert stream.alive
        assert home.stop()
        assert not stream.alive
    assert not home.stop()


def test_a_folder_that_cannot_be_made_is_a_clear_refusal(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    home = StackHome(read_settings({}, home=tmp_path / "file"))
    assert home.record() is None
    with pytest.raises(Misconfigured, match="file/stack cannot be written"), home.starting():
        pass


class World:
    """Processes that are asked, a clock, and what is said."""

    def __init__(self, *, with_traffic: bool = True) -> None:
        self.now, self.decided = 100.0, False
        self.answers: dict[str, str | None] = {}
        self.said: list[str] = []
        self.arrival = Arrival(
            self.ask,
            lambda _: self.decided,
            self.said.append,
            with_traffic=with_traffic,
            now_seconds=lambda: self.now,
        )

    def ask(self, places: Mapping[str, Place]) -> dict[str, str | None]:
        return {name: self.answers[name] for name in places}

    def look(self, *, done: tuple[str, ...] = (), **answers: str | None) -> bool:
        self.answers.update(answers)
        places = {name: Place("", "") for name in self.answers}
        return self.arrival.look(standing(places=places, done=list(done)))


def test_the_stack_has_arrived_when_all_are_ready_and_the_model_has_decided() -> None:
    world = World()
    assert not world.look(kafka=None, stream="no broker", generator=None)
    world.now += 2.0
    assert not world.look(stream=None)
    world.decided = True
    assert world.look()
    assert world.said == ["    0 s  kafka is ready", "    0 s  generator is ready", "    2 s  stream is ready"]


def test_what_is_waited_for_is_said_now_and_then_by_the_one_who_keeps_the_others_waiting() -> None:
    world = World()
    waiting = {"stream": "no broker", "kafka": "it does not answer yet"}
    world.look(**waiting)
    assert world.said == []
    for _ in range(3):
        world.now += SAY_AGAIN_SECONDS
        world.look()
    assert world.said == ["    5 s  kafka waits: it does not answer yet"]
    world.look(kafka=None)
    world.now += SAY_AGAIN_SECONDS
    world.look()
    assert world.said[1:] == ["   15 s  kafka is ready", "   20 s  stream waits: no broker"]


def test_without_traffic_nobody_waits_for_a_model() -> None:
    answers = {"kafka": None, "stream": None, "scoring": "no champion", "bootstrap": "0 of 30 days"}
    assert World(with_traffic=False).look(**answers)
    assert not World().look(**answers)


def test_a_generator_whose_plan_is_done_keeps_nobody_waiting() -> None:
    world = World()
    assert not world.look(stream=None, generator=None)
    assert world.look(done=("generator",))


def test_a_stream_worker_that_does_not_answer_has_decided_nothing() -> None:
    assert not model_has_decided(Place("http://127.0.0.1:1", ""))


def test_the_table_has_a_line_for_each_process_whatever_has_become_of_it() -> None:
    me, dead = ProcessIdentity.of(os.getpid()), ProcessIdentity(1, 1.0)
    places = {name: Place(f"at-{name}", "http://127.0.0.1:1/readyz") for name in ("mlflow", "stream", "monitor", "job")}
    described = standing(places=places, revived={"stream": 2}, done=["job"])
    shown = lines(StackRecord(owner=me, processes={"stream": me, "monitor": dead, "job": dead}), described)
    assert {line.name: line.state for line in shown} == {
        "stack": "looks after the others",
        "mlflow": "is somebody else's",
        "stream": "waits: it does not answer yet (started again 2 x)",
        "monitor": "has died; it is started again in a moment",
        "job": "done",
    }
    assert (shown[0].pid, int(shown[0].megabytes) > 10) == (str(me.pid), True)
    assert (shown[2].pid, shown[2].address) == (str(me.pid), "at-stream")
    assert (shown[3].pid, shown[3].megabytes) == ("", "")


def test_the_last_lines_of_a_log_are_shown_and_then_what_comes(
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


def test_a_log_that_is_begun_anew_is_followed_from_the_end_of_the_old_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "stream.log"
    with closing(Tail(file, "")) as tail:
        tail.show_last(5)
        tail.show_new()  # there is none yet
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
