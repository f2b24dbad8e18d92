"""`cardwatch up`: start the embedded stack, and leave it running."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from adapters.runtime.logs import set_up_logging
from adapters.runtime.policy_file import read_policies
from adapters.runtime.settings import Settings, child_environment, read_settings
from cardwatch.errors import CardwatchError, Misconfigured
from cli.bootstrap import MIN_DAYS
from cli.stack.arrival import Arrival, Lookout, model_has_decided
from cli.stack.places import addresses
from infra.local_stack.running_stack import stand, why_not_ready
from infra.local_stack.stack_home import StackHome, Standing
from infra.local_stack.supervisor import keep_previous

ENDLESS: Final = Path(__file__).resolve().parents[2] / "examples" / "plans" / "endless.json"
HISTORY_DAYS: Final = 30
FOR_EVER_SECONDS: Final = 1e8
POLL_SECONDS: Final = 0.1


@click.command()
@click.option(
    "--plan",
    type=click.Path(path_type=Path),
    help="What the generator is to do.  [default: what it was doing here, else examples/plans/endless.json]",
)
@click.option("--no-traffic", is_flag=True, help="Without a generator: send transactions of your own.")
@click.option("--foreground", is_flag=True, help="Stay in this terminal until Ctrl-C.")
@click.option(
    "--wait-seconds",
    default=900.0,
    type=click.FloatRange(min=0.0),
    show_default=True,
    help="How long to wait until it is at work; it goes on starting after that.",
)
def up(plan: Path | None, wait_seconds: float, *, no_traffic: bool, foreground: bool) -> None:
    """Start the whole system on this machine, and come back when the model has made its first decision.

    It runs in the background until `cardwatch down`; what dies is started again. Data stay in CARDWATCH_HOME/stack, and
    the next `up` goes on with them. Kafka, the scoring service, MLflow and Prefect get their usual ports where these
    are free.
    """
    if plan is not None and no_traffic:
        raise Misconfigured("--plan says what the generator does, and --no-traffic that there is none: choose one")
    settings = read_settings()
    read_policies(settings)  # every process would end over a file that cannot be read
    home = StackHome(settings)
    chosen = None if no_traffic else plan or (home.plan if home.plan.exists() else ENDLESS)
    if foreground:
        _stand(home, settings, _jobs(home, chosen), with_traffic=not no_traffic)
        return
    with home.starting():
        if home.record() is not None:
            _tell_running(home, plan)
            return
        _jobs(home, chosen)  # refuses a plan here, and not in a log
        child = _start(home, settings, ["--no-traffic"] if no_traffic else ["--plan", str(home.plan)])
        while child.poll() is None and home.record() is None:
            time.sleep(POLL_SECONDS)
    _follow(home, child, wait_seconds)


def _jobs(home: StackHome, plan: Path | None) -> dict[str, Sequence[str]]:
    """What runs beside servers and services; a plan is checked, and copied to where the next `up` finds it."""
    if plan is None:
        history_days = HISTORY_DAYS
    else:
        shown = _shown(plan)
        if shown["history_days"] < MIN_DAYS:
            raise Misconfigured(f"plan {plan}: history_days={shown['history_days']}, a first model needs {MIN_DAYS}")
        _refuse_another_world(home, plan, shown)
        history_days = shown["history_days"]
        home.keep_plan(msgspec.json.format(msgspec.json.encode(shown)))
    command = ("cli.main", "bootstrap", "--history-days", str(history_days), "--wait-seconds", f"{FOR_EVER_SECONDS:g}")
    jobs: dict[str, Sequence[str]] = {"bootstrap": command}
    return jobs if plan is None else {**jobs, "generator": ("services.generator", str(home.plan))}


def _shown(plan: Path) -> dict[str, Any]:
    """The plan with all its defaults, as the generator itself reads it; `Misconfigured` with its words if it cannot."""
    answer = subprocess.run(
        [sys.executable, "-m", "services.generator", "--show", str(plan)],
        env=child_environment(read_settings()),
        capture_output=True,
        check=False,
    )
    if answer.returncode:
        raise Misconfigured(answer.stderr.decode(errors="replace").strip())
    return msgspec.json.decode(answer.stdout, type=dict[str, Any])


def _refuse_another_world(home: StackHome, plan: Path, shown: dict[str, Any]) -> None:
    if home.last() is None or not home.plan.exists():
        return
    kept = msgspec.json.decode(home.plan.read_bytes(), type=dict[str, Any])
    for field in ("world", "history_days"):
        if kept[field] != shown[field]:
            raise Misconfigured(
                f"{home.folder} holds another world than plan {plan} describes ({field}: {kept[field]}): go on with it "
                "without --plan, delete it with `cardwatch down --delete-data`, or choose another CARDWATCH_HOME"
            )


def _stand(home: StackHome, settings: Settings, jobs: dict[str, Sequence[str]], *, with_traffic: bool) -> None:
    set_up_logging(settings, "stack")
    lookout = Lookout(Arrival(why_not_ready, model_has_decided, click.echo, with_traffic=with_traffic))
    told = False

    def turn(standing: Standing) -> bool:
        nonlocal told
        arrived = lookout.turn(standing)
        if arrived and not told:
            told = True
            click.echo(addresses(home, standing))
        return arrived

    try:
        stand(home, settings, jobs, report=click.echo, each_turn=turn)
    except KeyboardInterrupt:
        click.echo("the stack has stopped; its data are kept")


def _start(home: StackHome, settings: Settings, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start this command once more, in the background: in a session of its own, and with its output in a log."""
    log = home.log("stack")
    keep_previous(log)
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "cli.main", "up", "--foreground", *arguments],
            env=child_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _follow(home: StackHome, child: subprocess.Popen[bytes], wait_seconds: float) -> None:
    """Show what the stack says until it has arrived; ends as it ends if it does so before."""
    deadline = time.monotonic() + wait_seconds
    try:
        with home.log("stack").open("rb") as said:
            while (status := child.poll()) is None and not _has_arrived(home, child.pid):
                _relay(said.read())
                if time.monotonic() > deadline:
                    raise CardwatchError(
                        f"the stack is not at work after {wait_seconds:g} s; it goes on starting (cardwatch ps, "
                        "cardwatch logs), and `cardwatch down` stops it"
                    )
                time.sleep(POLL_SECONDS)
            _relay(said.read())
    except KeyboardInterrupt:
        click.echo("\nthe stack goes on starting in the background; `cardwatch down` stops it", err=True)
        sys.exit(130)
    if status is not None:
        sys.exit(status or 1)


def _has_arrived(home: StackHome, pid: int) -> bool:
    standing = home.standing()
    return standing is not None and standing.owner.pid == pid and standing.arrived


def _relay(output: bytes) -> None:
    if output:
        click.echo(output.decode(errors="replace"), nl=False)


def _tell_running(home: StackHome, plan: Path | None) -> None:
    standing = home.standing()
    if standing is None:
        click.echo("it is being started already; `cardwatch logs stack -f` shows how far it is")
        return
    click.echo(f"it runs already (process {standing.owner.pid}){', with the plan that it has' if plan else ''}")
    click.echo(addresses(home, standing))
