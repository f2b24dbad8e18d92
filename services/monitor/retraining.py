"""One retraining from the monitor's side: ask Prefect for the flow, read the verdict, wait until it is served."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping
from functools import partial
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from adapters.prefect import RunState
from cardwatch.drift.policy import DriftPolicy
from cardwatch.errors import ScoringUnavailable
from cardwatch.progress import RetrainingStarted
from cardwatch.registry import CHALLENGER, ModelRegistry, ModelVersion
from services.monitor.retry import Patience

log = logging.getLogger(__name__)

DEPLOYMENT: Final = "retrain/local"
MAX_RUNS: Final = 3
POLL_SECONDS: Final = 0.25
SERVING_DEADLINE_SECONDS: Final = 60.0


class Deployments(Protocol):
    """What is needed of `adapters.prefect.PrefectDeployments`."""

    def run(self, name: str, parameters: Mapping[str, object], *, key: str) -> str:
        """Ask for a run, or for the one that was asked for with this key before; gives its id."""
        ...

    def state(self, run_id: str) -> RunState:
        """Where a run stands."""
        ...


class Served(Protocol):
    """What is needed of `adapters.scoring.client.ServedVersionClient`."""

    def version(self) -> str | None:
        """The version that is served."""
        ...


class RetrainingResult(Struct, frozen=True, kw_only=True):
    """How a retraining ended. Without a challenger the flow itself failed, and `reasons` say how."""

    challenger_version: str | None
    promoted: bool
    reasons: list[str]


class Retrainer:
    """Runs retrainings, one at a time, each to its end."""

    def __init__(
        self,
        deployments: Deployments,
        registry: ModelRegistry,
        served: Served,
        *,
        policy: DriftPolicy,
        patience: Patience,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._deployments, self._registry, self._served = deployments, registry, served
        self._policy, self._patience, self._poll_seconds = policy, patience, poll_seconds

    def retrain(self, started: RetrainingStarted) -> RetrainingResult:
        """Have a challenger trained on what was known at the end of that day and judged against the worn-out champion.

        Started again after an interruption it does what is left: another champion is one that has been promoted.
        """
        worn_out = started.champion_version
        failure = self._run_until_completed(started)
        champion = self._champion()
        if champion.version != worn_out:
            self._wait_until_served(champion.version)
            return RetrainingResult(
                challenger_version=champion.version, promoted=True, reasons=verdict_reasons(champion)
            )
        if failure is not None:
            return RetrainingResult(challenger_version=None, promoted=False, reasons=[failure])
        challenger = self._patience.insist("asking for the challenger", lambda: self._registry.alias(CHALLENGER))
        return RetrainingResult(
            challenger_version=challenger.version if challenger else None,
            promoted=False,
            reasons=verdict_reasons(challenger) if challenger else ["the flow registered no challenger"],
        )

    def _champion(self) -> ModelVersion:
        return self._patience.insist("asking for the champion", self._registry.champion)

    def _run_until_completed(self, started: RetrainingStarted) -> str | None:
        """Run the flow until it completes, a few times at most; gives the reason if it never did.

        A monitor that was started again meanwhile asks for the same runs, and so finds the one that is under way. A run
        that has promoted its challenger has done its work, even if it could not tell the Prefect server.
        """
        parameters = {
            "as_of_day": started.day.isoformat(),
            "reasons": started.reasons,
            "maturity_days": self._policy.maturity_days,
            "judge_days": self._policy.judge_days,
        }
        failure = None
        for attempt in range(1, MAX_RUNS + 1):
            if self._champion().version != started.champion_version:
                return None
            ask = partial(self._deployments.run, DEPLOYMENT, parameters, key=run_key(started, attempt))
            run_id = self._patience.insist("starting the retraining", ask)
            log.info("%s: run %s has been asked for", DEPLOYMENT, run_id)
            state = self._until_ended(run_id)
            if state.kind == "COMPLETED":
                return None
            failure = f"run {run_id} of {DEPLOYMENT} ended as {state.name}: {state.message or 'no message'}"
            log.error("%s (attempt %d of %d)", failure, attempt, MAX_RUNS)
        return failure

    def _until_ended(self, run_id: str) -> RunState:
        said = ""
        while True:
            state = self._patience.insist("watching the retraining", lambda: self._deployments.state(run_id))
            if state.name != said:
                log.info("run %s is %s", run_id, state.name)
                said = state.name
            if state.ended:
                return state
            self._patience.pause(self._poll_seconds)

    def _wait_until_served(self, version: str) -> None:
        self._patience.insist(f"waiting for version {version} to be served", lambda: self._poll_served(version))

    def _poll_served(self, version: str) -> None:
        deadline = time.monotonic() + SERVING_DEADLINE_SECONDS
        while (served := self._served.version()) != version:
            if time.monotonic() > deadline:
                raise ScoringUnavailable(
                    f"the scoring service still serves version {served}, {SERVING_DEADLINE_SECONDS:g} s after "
                    f"version {version} became champion"
                )
            self._patience.pause(self._poll_seconds)


def run_key(started: RetrainingStarted, attempt: int) -> str:
    """The same for the same record of the topic `progress` and attempt, and for nothing else."""
    digest = hashlib.sha256(msgspec.json.encode(started)).hexdigest()
    return f"retrain-{started.day}-{digest[:16]}-{attempt}"


def verdict_reasons(version: ModelVersion) -> list[str]:
    """The reasons that the gate gave, from the version's tags."""
    try:
        return msgspec.json.decode(version.tags["verdict_reasons"], type=list[str])
    except (KeyError, msgspec.DecodeError):
        return [f"version {version.version} carries no reasons of its verdict"]
