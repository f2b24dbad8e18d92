"""Training of the first model of a new feature schema, by the flow that retrains."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from datetime import date
from itertools import count
from math import inf
from typing import Final

import msgspec

from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.prefect import PrefectDeployments
from adapters.runtime.policy_file import read_policies
from adapters.runtime.retry import poll
from cardwatch.errors import ModelRefused, Unavailable
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.registry import CHALLENGER, ModelVersion
from infra.local_stack.stack import LocalStack

DEPLOYMENT: Final = "retrain/local"
JUDGE_DAYS: Final = 7
"""Length of the evaluation window in days, as for a first champion: one week, so that it contains every weekday."""
POLL_SECONDS: Final = 0.25


def train(stack: LocalStack, former: ModelVersion, last_day: date) -> ModelVersion:
    """Train a model on the data known at the end of `last_day`, and return it when it is champion.

    `former` is the champion that needs other features. A run that an interruption has left is continued. Raises
    `ModelRefused` with the reasons if the model does not pass the gate, and `CardwatchError` if the flow fails.
    """
    settings = stack.settings
    own_runner = not stack.is_external("prefect")
    stack.start("prefect", *(["pipelines"] if own_runner else []))
    parameters = {
        "as_of_day": last_day.isoformat(),
        "reasons": [f"version {former.version} needs the features of schema {former.schema_hash or 'unknown'}"],
        "maturity_days": read_policies(settings).drift.maturity_days,
        "judge_days": JUDGE_DAYS,
    }
    with (
        closing(PrefectDeployments(settings.prefect_url)) as flows,
        closing(MlflowRegistry(settings.mlflow_url)) as registry,
    ):
        if not own_runner and not flows.exists(DEPLOYMENT):
            raise Unavailable(
                f"the Prefect server at CARDWATCH_PREFECT_URL has no deployment {DEPLOYMENT}: start the runner of the "
                "flows (python -m pipelines)"
            )
        run_id = _open_run(flows, parameters, f"upgrade-{SCHEMA_HASH}-{last_day}")

        def has_ended() -> bool:
            stack.supervisor.check()
            return flows.state(run_id).ended

        poll(has_ended, timeout_seconds=inf, poll_seconds=POLL_SECONDS)
        flows.wait(run_id, timeout_seconds=1.0)  # it has ended: raises if it failed
        champion = registry.champion()
        if champion.schema_hash != SCHEMA_HASH:
            raise ModelRefused(
                f"the model that was trained is not good enough to be champion: {_reasons(registry)}; the rules decide "
                "until a model passes the gate. Run `cardwatch upgrade` again when more labels are known"
            )
        return champion


def _open_run(flows: PrefectDeployments, parameters: Mapping[str, object], key: str) -> str:
    """Return the run of the last attempt if it has not ended, else that of a new attempt."""
    attempts = (flows.run(DEPLOYMENT, parameters, key=f"{key}-{attempt}") for attempt in count(1))
    return next(run_id for run_id in attempts if not flows.state(run_id).ended)


def _reasons(registry: MlflowRegistry) -> str:
    """Return the gate's reasons for the newest challenger, from its tags."""
    challenger = registry.alias(CHALLENGER)
    tag = challenger.tags.get("verdict_reasons", "[]") if challenger else "[]"
    try:
        return "; ".join(msgspec.json.decode(tag, type=list[str])) or "no reasons were recorded"
    except msgspec.DecodeError:
        return "its reasons cannot be read"
