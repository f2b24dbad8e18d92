"""What a demo leaves: summary, report, the picture of the screen, and the replay."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from msgspec import structs
from rich.console import Group
from rich.text import Text

from adapters.archive.reader import Archive
from adapters.kafka.progress import log_skipped
from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.runtime.policy_file import read_policies
from adapters.runtime.retry import poll
from adapters.runtime.settings import Settings
from cardwatch.detector.detector import Detector
from cardwatch.errors import InvalidRecord, Unavailable
from cardwatch.live.frames import Frame
from cardwatch.progress import Progress, decode_progress
from cardwatch.records import Record
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.topics import DECISIONS, PROGRESS
from cli.demo.decided_records import decisions_at
from cli.demo.final_screen import closing as closing_screen
from cli.demo.outcomes import true_frauds
from cli.demo.recorded_decisions import explain_decisions
from cli.demo.recorder import Recorder
from cli.demo.replay import (
    FORMAT,
    REPLAY_NAME,
    Recording,
    embed,
    for_replay,
    last_state,
    read_frames,
    recorded_positions,
    result_table,
)
from cli.demo.report import write_report
from cli.demo.savings import money_saved
from cli.demo.screen import render
from cli.demo.summary import DemoSummary, measure, summarise
from cli.demo.topic_audit import TopicAudit, committed_records
from cli.demo.view import save_picture
from infra.console_page import PAGE

PICTURE_COLUMNS: Final = 100
PICTURE_LINES: Final = 32
RECORDED_SECONDS: Final = 30.0
"""Time within which the console has recorded the last decision, seconds behind at most."""


class DemoResults:
    """Computes and writes the results of a demo, whose stack still runs, into `folder`."""

    def __init__(self, settings: Settings, simulation: SimulationSettings, recorder: Recorder, folder: Path) -> None:
        self._settings, self._simulation, self._recorder, self._folder = settings, simulation, recorder, folder
        self._policy = read_policies(settings).decision
        self._archive = Archive(settings.archive, settings.index_url)

    def summarise(self, counts: TopicAudit) -> DemoSummary:
        """Return the summary. Raises `Unavailable` if the registry does not answer or has lost a version."""
        snapshot = self._recorder.snapshot()
        progress = list(_valid_progress(committed_records(self._settings, PROGRESS, {})))
        frauds = true_frauds(self._simulation, snapshot.plan.history_days + snapshot.plan.live_days)
        timings = measure(self._recorder.measured(), snapshot, counts)
        summary = summarise(snapshot, self._archive, progress, timings, frauds)
        facts = summary.facts
        with closing(MlflowRegistry(self._settings.mlflow_url)) as registry:
            savings = money_saved(
                self._archive,
                facts.phases,
                self._policy,
                facts.currency,
                frauds=frauds,
                former_version=facts.detection.version if facts.detection else None,
                detector_of=lambda version: _detector(registry, version),
            )
        return structs.replace(summary, facts=structs.replace(facts, savings=savings))

    def write_report(self, summary: DemoSummary) -> Path:
        """Write report, summary and the picture of the screen; return the path of the report."""
        snapshot = self._recorder.snapshot()
        drift_report = next(iter(sorted(self._settings.reports.glob("drift-*.html"))), None)
        page = write_report(summary, self._folder, events=snapshot.events, drift_report=drift_report)
        whole_screen = Group(render(snapshot, PICTURE_COLUMNS, PICTURE_LINES), Text(), closing_screen(summary))
        save_picture(whole_screen, self._folder / "screen.svg", width=PICTURE_COLUMNS)
        return page

    def write_replay(self, summary: DemoSummary) -> Path:
        """Write the replay of what the console has recorded, and return its path.

        Raises `Unavailable` if the recording does not reach the last decision.
        """
        facts, plan = summary.facts, summary.facts.plan
        frames = for_replay(self._recorded(summary.timings.counts.decisions), plan.change_day)
        # From the topic: the archive holds the decisions of an open day back, such as those at the fixed rate.
        records = committed_records(self._settings, DECISIONS, {})
        decisions = decisions_at(records, set(recorded_positions(frames)))
        with closing(MlflowRegistry(self._settings.mlflow_url)) as registry:
            explained = explain_decisions(
                decisions,
                self._policy,
                facts.currency,
                lambda version: _detector(registry, version),
            )
        recording = Recording(
            format=FORMAT,
            title=f"Cardwatch demo, seed {plan.seed}",
            frames=frames,
            decisions=explained,
            result=result_table(summary),
            summary=summary,
        )
        file = self._folder / REPLAY_NAME
        page, tour = PAGE / "dist" / "index.html", PAGE / "dist" / "tour.json"
        file.write_bytes(embed(page.read_bytes(), recording, tour.read_bytes() if tour.exists() else None))
        return file

    def _recorded(self, decisions: int) -> Sequence[Frame]:
        file = Path(self._settings.console_recording)
        frames: list[Frame] = []

        def is_complete() -> bool:
            frames[:] = read_frames(file)
            state = last_state(frames)
            return state is not None and state.totals.decisions >= decisions

        if not poll(is_complete, timeout_seconds=RECORDED_SECONDS, poll_seconds=0.5):
            raise Unavailable(f"the console has not recorded all {decisions:,} decisions within {RECORDED_SECONDS:g} s")
        return frames


def _detector(registry: MlflowRegistry, version: str) -> Detector:
    registered = registry.version(version)
    if registered is None:
        raise Unavailable(f"the registry has no version {version} any more")
    return Detector.from_files(registry.files(registered))


def _valid_progress(records: Iterable[Record]) -> Iterator[Progress]:
    for record in records:
        try:
            yield decode_progress(record.value)
        except InvalidRecord as error:
            log_skipped(record, error)
