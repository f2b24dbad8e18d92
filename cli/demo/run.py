"""A demo from start to end: the order of its steps, and the conditions between them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec
from msgspec import structs
from rich.console import Console

from adapters.kafka.offsets import OffsetReader
from adapters.kafka.progress import ProgressReader
from adapters.kafka.topics import end_offsets
from adapters.local_stack.readiness import is_responding
from adapters.local_stack.stack_home import StackHome
from adapters.prefect import PrefectDeployments
from adapters.runtime.settings import Settings
from cardwatch.errors import CardwatchError, Misconfigured, Unavailable
from cardwatch.live.frames import EventKind
from cardwatch.progress import DayArchived
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.topics import STREAM_GROUP, TRANSACTIONS
from cli.console_page import build_console_page
from cli.demo.final_screen import closing as closing_screen
from cli.demo.observer import Positions, TopicObserver, live_positions
from cli.demo.plan import DemoPlan
from cli.demo.recorder import Recorder
from cli.demo.results import DemoResults
from cli.demo.summary import DemoSummary
from cli.demo.topic_audit import audit_topics
from cli.demo.view import open_view
from cli.stack.addresses import relative
from infra.local_stack.running_stack import initial_status
from infra.local_stack.stack import SERVERS, LocalStack

TIMEOUT_SECONDS: Final = 300.0
PICTURE_COLUMNS: Final = 100
PICTURE_LINES: Final = 32
MADE_BY_A_RUN: Final = (
    "archive", "bentoml", "kafka", "logs", "mlflow", "prefect", "prefect-runner", "reports", "run", "store", "tables",
)  # fmt: skip


class DemoRun:
    """A demo in its own home, `settings.home/demo`, which is deleted and created for each run."""

    def __init__(
        self,
        settings: Settings,
        plan: DemoPlan,
        simulation: SimulationSettings,
        *,
        days_after: int,
        rate_seconds: float,
        keep: bool,
        output: Path | None,
    ) -> None:
        self._settings = structs.replace(settings, home=settings.home.absolute() / "demo")
        self._plan, self._simulation = plan, simulation
        self._days_after, self._rate_seconds, self._keep = days_after, rate_seconds, keep
        self._output = output
        self._console = Console()
        self._recorder = Recorder(plan)

    def run(self) -> bool:
        """Run all steps; return whether the loop closed. Raises what the stack raises, when every process has ended."""
        self._prepare_console()
        stack = LocalStack(self._settings, report=self._recorder.stage)
        with stack:
            self._make_home_empty()
            with open_view(self._recorder.snapshot, self._console):
                start = self._prepare(stack)
                with TopicObserver(stack.settings, self._recorder, start=start) as observer:
                    self._go_live(stack)
                    stack.supervisor.wait("generator")
                    self._publish_status(stack)
                    self._recorder.stage("counting")
                    self._wait(stack, "the stream to decide everything", lambda: _all_decided(stack.settings))
                    if not observer.wait_until_caught_up(TIMEOUT_SECONDS):
                        raise Unavailable("the topics could not be read to their ends")
                self._recorder.stage("computing the results")
                folder = self._output or self._settings.reports
                results = DemoResults(stack.settings, self._simulation, self._recorder, folder)
                summary = results.summarise(audit_topics(stack.settings, start))
                self._recorder.stage("done")
                page, replay = results.write_report(summary), self._write_replay(results, summary)
            self._console.print(closing_screen(summary))
            self._say(f"\nReport: {relative(page)}")
            if replay is not None:
                megabytes = replay.stat().st_size / 1e6
                self._say(f"Replay: {relative(replay)}, {megabytes:.1f} MB; a browser opens it offline")
            if self._keep:
                self._leave_running(stack)
        return summary.facts.closed

    def _prepare_console(self) -> None:
        """Build the page if npm can be reached; without it the demo runs without console and replay, and says so."""
        problem = build_console_page(self._say)
        self._has_console = problem is None
        if problem is None:
            recording = self._settings.home / "run" / "recording.jsonl"
            self._settings = structs.replace(self._settings, console_recording=str(recording))
        else:
            self._say(f"The demo runs without the console and its replay: {problem}")

    def _publish_status(self, stack: LocalStack) -> None:
        """Tell the console what runs here, and what has ended as it should."""
        if self._has_console:
            status = structs.replace(initial_status(stack), finished=stack.supervisor.finished)
            StackHome.in_folder(stack.settings.home).write(status)

    def _write_replay(self, results: DemoResults, summary: DemoSummary) -> Path | None:
        """Write the replay if the console runs. What keeps it from being written changes nothing about the result."""
        if not self._has_console:
            return None
        try:
            return results.write_replay(summary)
        except CardwatchError as error:
            self._say(f"There is no replay: {error}")
            return None

    def _say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, highlight=False)

    def _make_home_empty(self) -> None:
        """Remove what an earlier demo left; the stack has made sure that none is running here."""
        for name in MADE_BY_A_RUN:
            shutil.rmtree(self._settings.home / name, ignore_errors=True)
        (self._settings.home / "logs").mkdir()

    def _prepare(self, stack: LocalStack) -> Positions:
        """Servers, history, and the first champion. Returns where live traffic begins."""
        self._recorder.stage("starting Kafka")
        stack.start("kafka")
        _refuse_used_topics(stack.settings)
        stack.start("archive")
        self._recorder.stage("simulating history, starting MLflow and Prefect")
        stack.run("generator", "services.generator", str(self._write_plan()))
        stack.start("mlflow", "prefect")
        self._recorder.note(
            EventKind.STACK,
            "Kafka, MLflow and Prefect answer",
            [f"their logs are in {relative(self._settings.home / 'logs')}"],
        )
        last = self._plan.first_live_day - timedelta(days=1)
        with closing(ProgressReader(stack.settings.kafka)) as progress:

            def is_archived() -> bool:
                told = progress.poll(0.2)
                return isinstance(told, DayArchived) and told.day == last

            self._wait(stack, "history to be archived", is_archived)
        proxies = set(stack.servers) - set(SERVERS)
        stack.start("pipelines", "scoring", "monitor", *proxies)
        if self._has_console:
            self._publish_status(stack)
            stack.start("console")
            self._say(f"Console: {stack.settings.console_url}/ shows this run in a browser")
        self._recorder.stage("training the first champion")
        return live_positions(stack.settings)

    def _go_live(self, stack: LocalStack) -> None:
        with closing(PrefectDeployments(stack.settings.prefect_url)) as deployments:
            run_id = deployments.run("bootstrap/local", {"maturity_days": self._plan.maturity_days})
            self._wait(stack, "the first champion", lambda: deployments.state(run_id).ended)
            deployments.wait(run_id, timeout_seconds=1.0)  # it has ended: raises if it failed
        ready = f"{stack.settings.scoring_url}/readyz"
        self._wait(stack, "the scoring service to serve the champion", lambda: is_responding(ready))
        stack.start("stream")

    def _write_plan(self) -> Path:
        path = self._settings.home / "plan.json"
        plan = {
            "world": self._simulation,
            "history_days": self._plan.history_days,
            "live_days": self._plan.live_days,
            "days_after_promotion": self._days_after,
            "rate_per_second": self._plan.offered_rate,
            "rate_seconds": self._rate_seconds,
            "wait_timeout_seconds": TIMEOUT_SECONDS,
        }
        path.write_bytes(msgspec.json.encode(plan))
        return path

    def _leave_running(self, stack: LocalStack) -> None:
        for name in ("kafka_bootstrap", "mlflow_url", "prefect_url", "scoring_url"):
            self._say(f"CARDWATCH_{name.upper()}={getattr(stack.settings, name)}")
        self._say(f"CARDWATCH_API_KEY={str.__str__(stack.settings.api_key)}")
        self._say("The stack runs until Ctrl-C.")
        while True:
            stack.supervisor.check()
            time.sleep(0.5)

    def _wait(self, stack: LocalStack, what: str, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not reached():
            stack.supervisor.check()
            if time.monotonic() > deadline:
                raise Unavailable(f"waited {TIMEOUT_SECONDS:g} s for {what}, in vain; see {self._settings.home}/logs")
            time.sleep(0.1)


def _refuse_used_topics(settings: Settings) -> None:
    if any(end_offsets(settings.kafka, TRANSACTIONS).values()):
        raise Misconfigured(
            f"the topic {TRANSACTIONS} at {settings.kafka} holds records already; a demo needs topics of its "
            "own: unset CARDWATCH_KAFKA_BOOTSTRAP, or give it an empty cluster"
        )


def _all_decided(settings: Settings) -> bool:
    ends = end_offsets(settings.kafka, TRANSACTIONS)
    with closing(OffsetReader(settings.kafka, STREAM_GROUP)) as inquiry:
        committed = inquiry.committed(TRANSACTIONS, sorted(ends))
    return all(committed.get(partition, 0) >= end for partition, end in ends.items())
