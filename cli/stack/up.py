"""`cardwatch up`: start the embedded stack in the background."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from adapters.local_stack.readiness import unready_reasons
from adapters.local_stack.stack_home import StackHome, StackStatus
from adapters.runtime.files import write_atomically
from adapters.runtime.logs import set_up_logging
from adapters.runtime.policy_file import read_control, read_policies
from adapters.runtime.retry import poll
from adapters.runtime.settings import Settings, child_environment, read_settings
from cardwatch.errors import CardwatchError, Misconfigured
from cli.bootstrap import MIN_DAYS
from cli.console_page import build_console_page
from cli.finite_range import FiniteRange
from cli.stack.addresses import addresses
from cli.stack.readiness import ReadinessMonitor, ReadinessThread, model_has_decided
from infra.local_stack.running_stack import run_stack
from infra.local_stack.stream_proxies import find_toxiproxy
from infra.local_stack.supervisor import rotate_log

DEFAULT_PLAN: Final = Path(__file__).resolve().parents[2] / "examples" / "plans" / "endless.json"
HISTORY_DAYS: Final = 30
UNLIMITED_SECONDS: Final = 1e8
"""Timeout of `cardwatch bootstrap` in the stack: three years, because transactions may begin at any time."""


@click.command()
@click.option(
    "--plan",
    type=click.Path(path_type=Path),
    help="Plan of the generator.  [default: the plan of the last start, else examples/plans/endless.json]",
)
@click.option("--no-traffic", is_flag=True, help="Start no generator: you send transactions yourself.")
@click.option("--foreground", is_flag=True, help="Stay in this terminal until Ctrl-C.")
@click.option(
    "--wait-seconds",
    default=900.0,
    type=FiniteRange(min=0.0),
    help="How long to wait until the stack is ready. The stack continues to start after that.",
)
def up(plan: Path | None, wait_seconds: float, *, no_traffic: bool, foreground: bool) -> None:
    """Start the system on this machine and return when the model has made its first decision.

    The stack runs in the background until `cardwatch down`, and processes that exit are restarted. Data are kept in
    CARDWATCH_HOME/stack, and the next `up` continues with them. Kafka, the scoring service, MLflow and Prefect use
    their usual ports where these are free.
    """
    if plan is not None and no_traffic:
        raise Misconfigured("--plan configures the generator, and --no-traffic starts none: use one of them")
    settings = read_settings()
    read_control(settings, read_policies(settings).decision)  # fails here rather than in every process
    if settings.toxiproxy:
        find_toxiproxy(settings.toxiproxy)
    home = StackHome(settings)
    if problem := build_console_page(click.echo):
        click.echo(f"the console has no page, and the stack runs without it: {problem}", err=True)
    selected = None if no_traffic else plan or (home.plan if home.plan.exists() else DEFAULT_PLAN)
    if foreground:
        _run_in_foreground(home, settings, _jobs(home, selected), with_traffic=not no_traffic)
        return
    with home.start_lock():
        if home.record() is not None:
            _print_running(home, plan)
            return
        _jobs(home, selected)  # reports an invalid plan here rather than in a log
        child = _start_in_background(home, settings, ["--no-traffic"] if no_traffic else ["--plan", str(home.plan)])
        poll(lambda: child.poll() is not None or home.record() is not None, timeout_seconds=inf)
    _await_ready(home, child, wait_seconds)


def _jobs(home: StackHome, plan: Path | None) -> dict[str, Sequence[str]]:
    """Return the jobs beside servers and services. A plan is checked and copied for the next `up`."""
    jobs: dict[str, Sequence[str]] = {}
    history_days = HISTORY_DAYS
    if plan is not None:
        resolved = _resolve_plan(plan)
        history_days = resolved["history_days"]
        if history_days < MIN_DAYS:
            raise Misconfigured(f"plan {plan}: history_days={history_days}, a first model needs {MIN_DAYS}")
        _require_same_world(home, plan, resolved)
        write_atomically(home.plan, msgspec.json.format(msgspec.json.encode(resolved)))
        jobs["generator"] = ("services.generator", str(home.plan))
    options = ("--history-days", str(history_days), "--wait-seconds", f"{UNLIMITED_SECONDS:g}")
    return {"bootstrap": ("cli.main", "bootstrap", *options), **jobs}


def _resolve_plan(plan: Path) -> dict[str, Any]:
    """Return the plan with all defaults as the generator reads it; raises `Misconfigured` with its error."""
    completed = subprocess.run(
        [sys.executable, "-m", "services.generator", "--show", str(plan)],
        env=child_environment(read_settings()),
        capture_output=True,
        check=False,
    )
    if completed.returncode:
        raise Misconfigured(completed.stderr.decode(errors="replace").strip())
    return msgspec.json.decode(completed.stdout, type=dict[str, Any])


def _require_same_world(home: StackHome, plan: Path, resolved: dict[str, Any]) -> None:
    if home.last_status() is None or not home.plan.exists():
        return
    kept = msgspec.json.decode(home.plan.read_bytes(), type=dict[str, Any])
    for field in ("world", "history_days"):
        if kept[field] != resolved[field]:
            raise Misconfigured(
                f"{home.folder} has data of another world than plan {plan} describes ({field}: {kept[field]}): "
                "continue without --plan, delete the data with `cardwatch down --delete-data`, or choose another "
                "CARDWATCH_HOME"
            )


def _run_in_foreground(
    home: StackHome, settings: Settings, jobs: dict[str, Sequence[str]], *, with_traffic: bool
) -> None:
    set_up_logging(settings, "stack")
    monitor = ReadinessMonitor(
        partial(unready_reasons, kafka=settings.kafka), model_has_decided, click.echo, with_traffic=with_traffic
    )
    thread = ReadinessThread(monitor)

    def is_ready(status: StackStatus) -> bool:
        ready = thread.update(status)
        if ready:
            click.echo(addresses(home, status))
        return ready

    try:
        run_stack(home, settings, jobs, report=click.echo, is_ready=is_ready)
    except KeyboardInterrupt:
        click.echo("the stack has stopped; its data are kept")


def _start_in_background(home: StackHome, settings: Settings, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start `cardwatch up --foreground` in its own session, with its output in a log."""
    log = home.log("stack")
    rotate_log(log)
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "cli.main", "up", "--foreground", *arguments],
            env=child_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _await_ready(home: StackHome, child: subprocess.Popen[bytes], wait_seconds: float) -> None:
    """Show the stack's log until the stack is ready; exit with its status if it ends before."""
    try:
        with home.log("stack").open("rb") as log:

            def is_over() -> bool:
                over = child.poll() is not None or _is_ready(home, child.pid)
                if output := log.read():
                    click.echo(output.decode(errors="replace"), nl=False)
                return over

            over = poll(is_over, timeout_seconds=wait_seconds)
    except KeyboardInterrupt:
        click.echo("\nthe stack continues to start in the background; `cardwatch down` stops it", err=True)
        sys.exit(130)
    if not over:
        raise CardwatchError(
            f"the stack is not ready after {wait_seconds:g} s; it continues to start (cardwatch ps, cardwatch logs), "
            "and `cardwatch down` stops it"
        )
    if (exit_status := child.poll()) is not None:
        sys.exit(exit_status or 1)


def _is_ready(home: StackHome, pid: int) -> bool:
    status = home.status()
    return status is not None and status.owner.pid == pid and status.ready


def _print_running(home: StackHome, plan: Path | None) -> None:
    status = home.status()
    if status is None:
        click.echo("the stack is being started already; `cardwatch logs stack -f` shows its progress")
        return
    kept_plan = "; --plan is ignored" if plan else ""
    click.echo(f"the stack runs already (process {status.owner.pid}){kept_plan}")
    click.echo(addresses(home, status))
