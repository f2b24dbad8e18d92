"""A demo from start to end: the order of its steps, and the conditions between them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec
from msgspec import structs
from rich.console import Console, Group
from rich.text import Text

from adapters.archive.reader import Archive
from adapters.kafka.offsets import OffsetReader
from adapters.kafka.progress import ProgressReader, log_skipped
from adapters.kafka.topics import end_offsets
from adapters.local_stack.readiness import is_responding
from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.prefect import PrefectDeployments
from adapters.runtime.policy_file import read_policies
from adapters.runtime.settings import Settings
from cardwatch.detector.detector import Detector
from cardwatch.errors import InvalidRecord, Misconfigured, Unavailable
from cardwatch.live.frames import EventKind
from cardwatch.progress import DayArchived, Progress, decode_progress
from cardwatch.records import Record
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.topics import PROGRESS, STREAM_GROUP, TRANSACTIONS
from cli.demo.final_screen import closing as closing_screen
from cli.demo.observer import Positions, TopicObserver, live_positions
from cli.demo.outcomes import true_frauds
from cli.demo.plan import DemoPlan
from cli.demo.recorder import Recorder
from cli.demo.report import write_report
from cli.demo.savings import money_saved
from cli.demo.screen import render
from cli.demo.summary import DemoSummary, measure, summarise
from cli.demo.topic_audit import TopicAudit, audit_topics, committed_records
from cli.demo.view import open_view, save_picture
from cli.stack.addresses import relative
from infra.local_stack.stack import LocalStack

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
        stack = LocalStack(self._settings, report=self._recorder.stage)
        with stack:
            self._make_home_empty()
            with open_view(self._recorder.snapshot, self._console):
                start = self._prepare(stack)
                with TopicObserver(stack.settings, self._recorder, start=start) as observer:
                    self._go_live(stack)
                    stack.supervisor.wait("generator")
                    self._recorder.stage("counting")
                    self._wait(stack, "the stream to decide everything", lambda: _all_decided(stack.settings))
                    if not observer.wait_until_caught_up(TIMEOUT_SECONDS):
                        raise Unavailable("the topics could not be read to their ends")
                summary = self._summarise(stack, audit_topics(stack.settings, start))
                self._recorder.stage("done")
                page = self._report(summary)
            self._console.print(closing_screen(summary))
            self._console.print(f"\nReport: {relative(page)}", soft_wrap=True, highlight=False)
            if self._keep:
                self._leave_running(stack)
        return summary.facts.closed

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
        stack.start("pipelines", "scoring", "monitor")
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

    def _summarise(self, stack: LocalStack, counts: TopicAudit) -> DemoSummary:
        snapshot = self._recorder.snapshot()
        archive = Archive(stack.settings.archive, stack.settings.index_url)
        progress = list(_valid_progress(committed_records(stack.settings, PROGRESS, {})))
        frauds = true_frauds(self._simulation, self._plan.history_days + self._plan.live_days)
        timings = measure(self._recorder.measured(), snapshot, counts)
        return self._with_savings(summarise(snapshot, archive, progress, timings, frauds), stack, archive, frauds)

    def _with_savings(self, summary: DemoSummary, stack: LocalStack, archive: Archive, frauds: Set[str]) -> DemoSummary:
        facts, policy = summary.facts, read_policies(self._settings).decision
        with closing(MlflowRegistry(stack.settings.mlflow_url)) as registry:
            savings = money_saved(
                archive,
                facts.phases,
                policy,
                facts.currency,
                frauds=frauds,
                former_version=facts.detection.version if facts.detection else None,
                detector_of=lambda version: _detector(registry, version),
            )
        return structs.replace(summary, facts=structs.replace(facts, savings=savings))

    def _report(self, summary: DemoSummary) -> Path:
        folder = self._output or self._settings.reports
        drift_report = next(iter(sorted(self._settings.reports.glob("drift-*.html"))), None)
        snapshot = self._recorder.snapshot()
        page = write_report(summary, folder, events=snapshot.events, drift_report=drift_report)
        whole_screen = Group(render(snapshot, PICTURE_COLUMNS, PICTURE_LINES), Text(), closing_screen(summary))
        save_picture(whole_screen, folder / "screen.svg", width=PICTURE_COLUMNS)
        return page

    def _leave_running(self, stack: LocalStack) -> None:
        for name in ("kafka_bootstrap", "mlflow_url", "prefect_url", "scoring_url"):
            self._console.print(f"CARDWATCH_{name.upper()}={getattr(stack.settings, name)}", highlight=False)
        self._console.print(f"CARDWATCH_API_KEY={str.__str__(stack.settings.api_key)}", highlight=False)
        self._console.print("The stack runs until Ctrl-C.")
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


def _detector(registry: MlflowRegistry, version: str) -> Detector:
    registered = registry.version(version)
    if registered is None:
        raise Unavailable(f"the registry has no version {version} any more")
    return Detector.from_files(registry.files(registered))


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


def _valid_progress(records: Iterable[Record]) -> Iterator[Progress]:
    for record in records:
        try:
            yield decode_progress(record.value)
        except InvalidRecord as error:
            log_skipped(record, error)
