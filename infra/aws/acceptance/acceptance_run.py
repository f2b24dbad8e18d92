"""The acceptance run of `make aws-local`: `python -m infra.aws.acceptance.acceptance_run`, against a local AWS.

Steps: apply, an empty second plan, days of decisions, the daily job, a retraining, decisions of the new version,
destroy, and a check for remaining resources.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date, timedelta
from math import inf
from typing import Any, Final

from adapters.aws.account import Account
from adapters.aws.clients import aws_client
from adapters.aws.eventbridge import EventBus
from adapters.aws.s3 import Bucket
from adapters.aws.s3_progress import ProgressPart, S3ProgressLog
from adapters.aws.sagemaker_registry import SageMakerRegistry
from adapters.runtime.process import exit_on_error
from adapters.runtime.retry import poll
from adapters.runtime.settings import Settings, read_settings
from cardwatch.errors import CardwatchError
from cardwatch.events import encode
from cardwatch.progress import DayMonitored, RetrainingStarted
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from infra.aws.acceptance.first_champion import delete_training_resources, train_first_champion
from infra.aws.acceptance.history import store_archive, store_states, write_history
from infra.aws.acceptance.leak_check import remaining_resources
from infra.aws.acceptance.live_days import DayRunner
from infra.aws.acceptance.smoke import unsent_transaction
from infra.aws.deploy.champion import MODEL_KEY, register_first_champion
from infra.aws.deploy.cleanup import delete_model_packages, delete_models
from infra.aws.deploy.deployment import Deployment
from infra.aws.deploy.executions import StateMachine

WORLD: Final = SimulationSettings(seed=7, cards=300, fraud_share=0.02, change_day=32)
HISTORY_DAYS: Final = 45
CHAMPION_DAYS: Final = 37
"""Days known to the first champion. They end soon after the change of the world, so that a challenger can win."""

LIVE_DAYS: Final = 2
RATE_PER_SECOND: Final = 80.0
TIMEOUT_SECONDS: Final = 180.0
POLL_SECONDS: Final = 0.5


class AcceptanceRun:
    """All steps, reported on standard output with their durations."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._began = settings, time.monotonic()
        self._deployment = Deployment(settings, self._detail)
        self._region = self._deployment.environment.region
        self._world = Simulation(WORLD)

    def run(self) -> None:
        """Run all steps; raises `CardwatchError` at the first one that fails."""
        with ThreadPoolExecutor(1) as pool:
            bootstrap = pool.submit(self._deployment.apply_bootstrap)
            packed = self._train_champion()
            with self._step("terraform apply: bootstrap, begun at the same time"):
                self._await_buckets(bootstrap)
                self._detail("the buckets exist; Terraform continues with their settings in the background")
            outputs = self._apply(packed)
            bootstrap.result()
        self._load_history(packed, outputs)
        self._run_days_and_retrain(outputs)
        self._destroy(outputs)
        self._print("done")

    def _train_champion(self) -> bytes:
        with self._step("history: simulated days without decisions, and a champion trained on them"):
            days = [self._world.day(number) for number in range(HISTORY_DAYS)]
            self._last_transaction = days[-1].transactions[-1]
            folder = self._settings.home / "past"
            folder.mkdir()
            self._history = write_history(days, folder)
            self._detail(f"{self._history.transactions:,} transactions of {HISTORY_DAYS} days")
            as_of = _day(CHAMPION_DAYS - 1)
            packed = train_first_champion(
                self._settings,
                self._history,
                as_of=str(as_of),
                image=self._deployment.scoring_image,
                region=self._region,
            )
            delete_training_resources(self._region)
            self._detail(f"trained on what was known on {as_of}, {len(packed):,} bytes")
        return packed

    def _await_buckets(self, bootstrap: Future[None]) -> None:
        """Return when the buckets that the system's root needs exist, or the bootstrap has ended."""
        account = Account(self._region)
        poll(
            lambda: bootstrap.done() or all(account.has_bucket(bucket) for bucket in self._deployment.buckets),
            timeout_seconds=inf,
            poll_seconds=POLL_SECONDS,
        )

    def _apply(self, packed: bytes) -> dict[str, Any]:
        Bucket(self._deployment.releases).put(MODEL_KEY, packed)
        with self._step("terraform apply: the system"):
            outputs = self._deployment.apply()
            self._detail(f"{self._deployment.changed_resources} resources")
        with self._step("terraform plan, again"):
            if changes := self._deployment.planned_changes():
                raise CardwatchError("a second plan has changes:\n  " + "\n  ".join(changes))
            self._detail("no changes")
        return outputs

    def _load_history(self, packed: bytes, outputs: dict[str, Any]) -> None:
        with self._step("load the history: archive, tables, card states, registration of the champion"):
            store_archive(self._history, Bucket(outputs["data_bucket"]))
            store_states(self._history, f"dynamodb://{outputs['cards_table']}?region={self._region}")
            version = register_first_champion(
                packed,
                group=outputs["model_package_group"],
                bucket=outputs["data_bucket"],
                image=outputs["scoring_image"],
                region=self._region,
            )
            self._detail(f"{len(self._history.cards):,} cards; version {version} is champion")

    def _run_days_and_retrain(self, outputs: dict[str, Any]) -> None:
        runner = DayRunner(
            self._world,
            transactions=outputs["transactions_stream"],
            decisions=outputs["decisions_stream"],
            bucket=outputs["data_bucket"],
        )
        daily = StateMachine(outputs["daily_state_machine_arn"], self._detail, region=self._region)
        for number in range(HISTORY_DAYS, HISTORY_DAYS + LIVE_DAYS):
            self._run_day(runner, number, expected_version="1")
            with self._step(f"state machine daily: {_day(number)} is archived and monitored"):
                day = _day(number)
                daily.run(f"daily-{day}", {"day": str(day)}, timeout_seconds=TIMEOUT_SECONDS)
                self._detail(_monitor_summary(S3ProgressLog(Bucket(outputs["data_bucket"])), day))
        with self._step("one call of the score function"):
            self._score(outputs)
        with self._step("the event DriftDetected, sent by this run: days of loss would take longer"):
            started = RetrainingStarted(
                day=_day(HISTORY_DAYS + LIVE_DAYS - 1), champion_version="1", reasons=["sent by the acceptance run"]
            )
            EventBus(outputs["event_bus"]).request_retraining(started)
            retrain = StateMachine(outputs["retrain_state_machine_arn"], self._detail, region=self._region)
            execution = retrain.await_execution(timeout_seconds=TIMEOUT_SECONDS)
            self._detail("the rule has started the state machine retrain")
        with self._step("state machine retrain"):
            retrain.follow(execution, timeout_seconds=TIMEOUT_SECONDS)
            champion = SageMakerRegistry(outputs["model_package_group"]).champion()
            precision = float(champion.tags["average_precision"])
            self._detail(f"version {champion.version} is champion, average precision {precision:.3f}")
        self._run_day(runner, HISTORY_DAYS + LIVE_DAYS, expected_version=champion.version)

    def _run_day(self, runner: DayRunner, number: int, *, expected_version: str) -> None:
        with self._step(f"{_day(number)}: transactions through Kinesis, Lambda, DynamoDB and the endpoint"):
            day = runner.run(number, rate_per_second=RATE_PER_SECOND)
            self._detail(str(day))
            if day.decided != day.sent or day.versions.get(expected_version, 0) + day.degraded < day.sent:
                raise CardwatchError(
                    f"not every transaction was decided, by version {expected_version} or by the rules"
                )
            if day.degraded > day.sent // 10:
                raise CardwatchError(f"{day.degraded:,} decisions are degraded: the endpoint is hardly used")

    def _score(self, outputs: dict[str, Any]) -> None:
        request = encode(unsent_transaction(self._last_transaction, "local")).decode()
        function = aws_client("lambda", region=self._region, read_seconds=60)
        answer = function.invoke(
            FunctionName=outputs["score_function"], Payload=json.dumps({"body": request, "isBase64Encoded": False})
        )
        response = json.loads(answer["Payload"].read())
        if response.get("statusCode") != 200:
            raise CardwatchError(f"the score function answered {response}")
        self._detail(response["body"][:160])

    def _destroy(self, outputs: dict[str, Any]) -> None:
        prefix = self._deployment.environment.prefix
        with self._step("terraform destroy"):
            packages = delete_model_packages(outputs["model_package_group"], region=self._region)
            self._detail(f"{packages} model packages are deleted first")
            self._deployment.destroy()
            delete_models(prefix, region=self._region)
            self._detail(f"{self._deployment.changed_resources} resources")
        with self._step("remaining resources"):
            if remaining := remaining_resources(prefix, region=self._region):
                raise CardwatchError("not deleted by terraform destroy:\n  " + "\n  ".join(remaining))
            self._detail("none")

    @contextmanager
    def _step(self, title: str) -> Iterator[None]:
        begin = time.monotonic()
        self._print(title)
        yield
        self._detail(f"{time.monotonic() - begin:.1f} s")

    def _print(self, title: str) -> None:
        sys.stdout.write(f"[{time.monotonic() - self._began:5.0f} s] {title}\n")
        sys.stdout.flush()

    def _detail(self, text: str) -> None:
        sys.stdout.write(f"          {text}\n")
        sys.stdout.flush()


def _day(number: int) -> date:
    return WORLD.first_day + timedelta(days=number)


def _monitor_summary(progress: S3ProgressLog, day: date) -> str:
    """Return the result of the monitoring job for a day. Raises `CardwatchError` if it has recorded none."""
    for record in progress.of_day(day, ProgressPart.MONITOR):
        if isinstance(record, DayMonitored):
            drifted = f"{len(record.drifted_features)} features have drifted ({record.drift_share:.0%})"
            return f"version {record.champion_version} is {record.state}; {drifted}"
    raise CardwatchError(f"the monitoring job has recorded nothing about {day}")


def main() -> None:
    """Run; on failure print one line and exit with status 1."""
    with exit_on_error():
        AcceptanceRun(read_settings()).run()


if __name__ == "__main__":
    main()
