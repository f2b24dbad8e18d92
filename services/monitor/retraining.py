"""A retraining as the monitor runs it: start the Prefect flow, read the verdict, wait until the champion is served."""

from __future__ import annotations

import hashlib
import logging
from functools import partial
from typing import Final, Protocol

import msgspec

from adapters.prefect import PrefectDeployments, RunState
from adapters.runtime.retry import StoppableRetry, poll
from adapters.scoring.client import ServedVersionClient
from cardwatch.drift.policy import DriftPolicy
from cardwatch.errors import ScoringUnavailable
from cardwatch.progress import RetrainingEnded, RetrainingStarted
from cardwatch.registry import AS_OF, CHALLENGER, ModelRegistry, ModelVersion

log = logging.getLogger(__name__)

DEPLOYMENT: Final = "retrain/local"
MAX_RUNS: Final = 3
"""Maximum number of runs of the flow for one retraining. After that the retraining has failed."""
POLL_SECONDS: Final = 0.25
SERVING_TIMEOUT_SECONDS: Final = 60.0
"""Time after a promotion until a warning says that the scoring service still serves another version."""


class RunsRetraining(Protocol):
    """Whatever trains and judges a challenger when the monitor asks for it."""

    def retrain(self, started: RetrainingStarted, /) -> RetrainingEnded:
        """Train a challenger on the data known at the end of that day, have it judged, and return how it ended."""


class Retrainer:
    """Runs one retraining at a time until it has ended."""

    def __init__(
        self,
        deployments: PrefectDeployments,
        registry: ModelRegistry,
        served_version: ServedVersionClient,
        *,
        policy: DriftPolicy,
        retry: StoppableRetry,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._deployments, self._registry, self._served_version = deployments, registry, served_version
        self._policy, self._retry, self._poll_seconds = policy, retry, poll_seconds

    def retrain(self, started: RetrainingStarted) -> RetrainingEnded:
        """Train a challenger on the data known at the end of that day, and have it judged against the champion.

        After an interruption the call continues with the same runs. A challenger that was trained on that day, or a
        champion other than the one in `started`, comes from this retraining. Without one the flow has failed, and the
        reasons say how.
        """

        def ended(challenger: ModelVersion | None, reasons: list[str], *, promoted: bool = False) -> RetrainingEnded:
            version = challenger.version if challenger else None
            return RetrainingEnded(day=started.day, challenger_version=version, promoted=promoted, reasons=reasons)

        failure = self._run_until_completed(started)
        champion = self._champion()
        if champion.version != started.champion_version:
            self._wait_until_served(champion.version)
            return ended(champion, verdict_reasons(champion), promoted=True)
        if failure is not None:
            return ended(None, [failure])
        challenger = self._challenger()
        if challenger is None:
            return ended(None, ["the flow registered no challenger"])
        promoted = challenger.tags.get("verdict") == "promoted"
        return ended(challenger, verdict_reasons(challenger), promoted=promoted)

    def _challenger(self) -> ModelVersion | None:
        return self._retry.call(lambda: self._registry.alias(CHALLENGER), doing="reading the challenger")

    def _has_ended(self, started: RetrainingStarted) -> bool:
        """Whether a run of this retraining has registered its model, even if the Prefect server does not know it."""
        challenger = self._challenger()
        if challenger is not None and challenger.tags.get(AS_OF) == str(started.day):
            return True
        return self._champion().version != started.champion_version

    def _champion(self) -> ModelVersion:
        return self._retry.call(self._registry.champion, doing="reading the champion")

    def _run_until_completed(self, started: RetrainingStarted) -> str | None:
        """Run the flow until it completes, `MAX_RUNS` times at most; return the reason if it never did.

        A restarted monitor creates runs with the same keys, and so continues with the run in progress. A run that
        promoted its challenger is complete, even if the Prefect server does not know it.
        """
        parameters = {
            "as_of_day": started.day.isoformat(),
            "reasons": started.reasons,
            "maturity_days": self._policy.maturity_days,
            "judge_days": self._policy.judge_days,
            "excluded_days": [day.isoformat() for day in started.excluded_days],
        }
        failure = None
        for attempt in range(1, MAX_RUNS + 1):
            if self._has_ended(started):
                return None
            create = partial(self._deployments.run, DEPLOYMENT, parameters, key=run_key(started, attempt))
            run_id = self._retry.call(create, doing="starting the retraining")
            log.info("%s: run %s was requested", DEPLOYMENT, run_id)
            state = self._wait_until_ended(run_id)
            if state.kind == "COMPLETED":
                return None
            failure = f"run {run_id} of {DEPLOYMENT} ended as {state.name}: {state.message or 'no message'}"
            log.error("%s (attempt %d of %d)", failure, attempt, MAX_RUNS)
        return failure

    def _wait_until_ended(self, run_id: str) -> RunState:
        logged = ""
        while True:
            state = self._retry.call(lambda: self._deployments.state(run_id), doing="polling the retraining")
            if state.name != logged:
                log.info("run %s is %s", run_id, state.name)
                logged = state.name
            if state.ended:
                return state
            self._retry.wait(self._poll_seconds)

    def _wait_until_served(self, version: str) -> None:
        self._retry.call(lambda: self._poll_served(version), doing=f"waiting for version {version} to be served")

    def _poll_served(self, version: str) -> None:
        served = poll(
            self._served_version.version,
            until=lambda served: served == version,
            timeout_seconds=SERVING_TIMEOUT_SECONDS,
            poll_seconds=self._poll_seconds,
            sleep=self._retry.wait,
        )
        if served != version:
            raise ScoringUnavailable(
                f"the scoring service still serves version {served}, {SERVING_TIMEOUT_SECONDS:g} s after "
                f"version {version} became champion"
            )


def run_key(started: RetrainingStarted, attempt: int) -> str:
    """Return the idempotency key of a run: equal for the same record and attempt, and different otherwise."""
    digest = hashlib.sha256(msgspec.json.encode(started)).hexdigest()
    return f"retrain-{started.day}-{digest[:16]}-{attempt}"


def verdict_reasons(version: ModelVersion) -> list[str]:
    """Return the reasons of the promotion gate, from the version's tags."""
    try:
        return msgspec.json.decode(version.tags["verdict_reasons"], type=list[str])
    except (KeyError, msgspec.DecodeError):
        return [f"version {version.version} carries no reasons of its verdict"]
