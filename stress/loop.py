"""The loop around one simulated world, in one process: decisions, monitoring, retraining, promotion, day after day.

Monitor, observer and pipelines are those of the running system. What differs: the archive and the registry lie in
memory, a retraining runs at once instead of in Prefect, and a promoted model decides from the next day on.
"""

from __future__ import annotations

from datetime import date
from threading import Event
from typing import Final

from prometheus_client import CollectorRegistry

from adapters.runtime.health import Health
from adapters.runtime.policy_file import Policies
from adapters.runtime.retry import StoppableRetry
from cardwatch.detector.detector import Detector
from cardwatch.drift.progress_state import quarantine_after
from cardwatch.progress import DayArchived, DayEmitted, Progress, RetrainingEnded, RetrainingStarted
from cardwatch.promotion.split import NotEnoughHistory
from cardwatch.simulation.settings import SimulationSettings
from pipelines.steps.registration import require_first_champion
from pipelines.steps.training_set import HOLDOUT_DAYS
from services.monitor.metrics import MonitorMetrics
from services.monitor.monitor import Monitor
from services.monitor.observation import Observer
from stress.memory_registry import MemoryRegistry
from stress.training import train_and_register
from stress.world import ServedModel, StressWorld

FIRST_VERSION: Final = "1"
"""The version of the first champion."""


class MonitoredLoop:
    """One world and its loop. `progress` are all records that the running system would have published, in order."""

    def __init__(self, settings: SimulationSettings, policies: Policies) -> None:
        self._begin(
            StressWorld(settings, policies.decision, policies.drift.maturity_days), MemoryRegistry(), policies, []
        )

    def _begin(
        self, world: StressWorld, registry: MemoryRegistry, policies: Policies, progress: list[Progress]
    ) -> None:
        self.world, self.registry, self.policies = world, registry, policies
        self.progress: list[Progress] = []
        self._served: ServedModel | None = None
        self._monitor = Monitor(
            Observer(world.archive, registry, policies.drift, policies.decision),
            registry,
            self,
            self.progress.append,
            policy=policies.drift,
            reports=None,
            retry=StoppableRetry(Event(), Health()),
            metrics=MonitorMetrics(CollectorRegistry()),
        )
        for record in progress:
            self.progress.append(record)
            self._monitor.add(record)

    def branch(self, settings: SimulationSettings) -> MonitoredLoop:
        """Return an independent copy whose world goes on with other settings, see `Simulation.branch`."""
        twin = MonitoredLoop.__new__(MonitoredLoop)
        twin._begin(self.world.branch(settings), self.registry.branch(), self.policies, self.progress)
        return twin

    def train_first_champion(self, history_days: int) -> None:
        """Simulate history, and train the first champion on it. Raises `ModelRefused` if the gate refuses it."""
        for _ in range(history_days):
            day = self.world.run_day(None)
        _, verdict = train_and_register(
            self.world,
            self.registry,
            self.policies,
            day,
            evaluation_days=HOLDOUT_DAYS,
            because=["there is no champion yet"],
        )
        require_first_champion(verdict)

    def run_live_day(self) -> date:
        """Decide the next day with the champion, monitor it, and run what follows."""
        day = self.world.run_day(self._champion())
        for record in (
            DayEmitted(day=day, transaction_ends={}, label_ends={}, decided=True),
            DayArchived(day=day, transactions=0, decisions=0, labels=0, table_id=self.world.archive.closed_days()[day]),
        ):
            self.progress.append(record)
            self._monitor.add(record)
        self._monitor.work()
        return day

    def retrain(self, started: RetrainingStarted) -> RetrainingEnded:
        """Train a challenger and have it judged; the monitor calls this."""
        try:
            version, verdict = train_and_register(
                self.world,
                self.registry,
                self.policies,
                started.day,
                evaluation_days=self.policies.drift.judge_days,
                because=started.reasons,
                excluded_days=frozenset(started.excluded_days),
                half_life_days=self.policies.training.half_life_days,
            )
        except NotEnoughHistory as error:
            return RetrainingEnded(day=started.day, challenger_version=None, promoted=False, reasons=[str(error)])
        return RetrainingEnded(
            day=started.day,
            challenger_version=version.version,
            promoted=verdict.promoted,
            reasons=verdict.reasons,
        )

    def detector(self, version: str) -> Detector:
        """Return the detector of a registered version. Raises `KeyError` if there is none of that number."""
        return Detector.from_files(self.registry.files_of(version))

    @property
    def excluded_days(self) -> frozenset[date]:
        """The days that are quarantined now."""
        return quarantine_after(self.progress).excluded_days

    def served_on(self, day: date) -> str:
        """Return the version that decided `day`, a live one."""
        promoted = [
            record.challenger_version
            for record in self.progress
            if isinstance(record, RetrainingEnded) and record.promoted and record.day < day
        ]
        return promoted[-1] or FIRST_VERSION if promoted else FIRST_VERSION

    def _champion(self) -> ServedModel:
        champion = self.registry.champion()
        if self._served is None or self._served.version != champion.version:
            self._served = ServedModel(
                version=champion.version, digest=champion.digest, detector=self.detector(champion.version)
            )
        return self._served
