"""What `make aws-local` shows, told line by line: `python -m infra.aws.acceptance.acceptance_run`, in an environment
that is a stand-in's.

Apply, an empty second plan, a day decided, days archived and watched, a retraining, a new version that decides,
everything destroyed, nothing left.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any, Final

from adapters.aws.account import Account
from adapters.aws.clients import aws_client
from adapters.aws.eventbridge import EventBus
from adapters.aws.s3 import Bucket
from adapters.aws.s3_progress import ProgressPart, S3ProgressLog
from adapters.aws.sagemaker_registry import SageMakerRegistry
from adapters.runtime.process import one_line_errors
from adapters.runtime.settings import Settings, read_settings
from cardwatch.errors import CardwatchError
from cardwatch.events import encode
from cardwatch.progress import DayMonitored, RetrainingStarted
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from infra.aws.acceptance.history import store_archive, store_states, write_history
from infra.aws.acceptance.leak_check import remaining_resources
from infra.aws.acceptance.live_days import DayRunner
from infra.aws.acceptance.smoke import unsent_transaction
from infra.aws.deploy.champion import (
    MODEL_KEY,
    delete_training_resources,
    register_first_champion,
    train_first_champion,
)
from infra.aws.deploy.cleanup import delete_model_packages, delete_models
from infra.aws.deploy.deployment import Deployment
from infra.aws.deploy.executions import StateMachine

WORLD: Final = SimulationSettings(seed=7, cards=300, fraud_share=0.02, change_day=32)
HISTORY_DAYS: Final = 45
CHAMPION_KNOWS_DAYS: Final = 37
"""The first champion is of the time before the world changed: it has something to be beaten in."""

LIVE_DAYS: Final = 2
RATE_PER_SECOND: Final = 80.0
TIMEOUT_SECONDS: Final = 180.0


class AcceptanceRun:
    """All of it, step by step."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._began = settings, time.monotonic()
        self._deployment = Deployment(settings, self._detail)
        self._region = self._deployment.environment.region
        self._world = Simulation(WORLD)

    def tell(self) -> None:
        """From nothing to nothing."""
        with ThreadPoolExecutor(1) as beside:
            first = beside.submit(self._deployment.apply_bootstrap)
            packed = self._bring_a_past()
            with self._step("terraform apply: what must exist before, begun at the same time"):
                self._await_buckets(first)
                self._detail("the buckets are there; Terraform waits for their settings beside what follows")
            outputs = self._deploy(packed)
            first.result()
        self._move_in(packed, outputs)
        self._live_and_retrain(outputs)
        self._destroy(outputs)
        self._say("done")

    def _bring_a_past(self) -> bytes:
        with self._step("a past: simulated days without decisions, and a champion trained on them"):
            days = [self._world.day(number) for number in range(HISTORY_DAYS)]
            self._known = days[-1].transactions[-1]
            folder = self._settings.home / "past"
            folder.mkdir()
            self._history = write_history(days, folder)
            self._detail(f"{self._history.transactions:,} transactions of {HISTORY_DAYS} days")
            packed = train_first_champion(
                self._settings,
                self._history,
                as_of=str(self._day(CHAMPION_KNOWS_DAYS - 1)),
                image=self._deployment.scoring_image,
                region=self._region,
            )
            delete_training_resources(self._region)
            self._detail(f"trained by what was known on {self._day(CHAMPION_KNOWS_DAYS - 1)}, {len(packed):,} bytes")
        return packed

    def _deploy(self, packed: bytes) -> dict[str, Any]:
        Bucket(self._deployment.releases).put(MODEL_KEY, packed)
        with self._step("terraform apply: everything"):
            outputs = self._deployment.apply()
            self._detail(f"{self._deployment.made} resources")
        with self._step("terraform plan, again"):
            if wanted := self._deployment.unsettled():
                raise CardwatchError("a second plan wants more:\n  " + "\n  ".join(wanted))
            self._detail("nothing to do")
        return outputs

    def _move_in(self, packed: bytes, outputs: dict[str, Any]) -> None:
        with self._step("the past moves in: archive, tables, card states, the champion's registration"):
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

    def _await_buckets(self, first: Future[None]) -> None:
        """Return when what the next root needs of the first one is there, or the first one has ended."""
        account = Account(self._region)
        while not (first.done() or all(account.has_bucket(bucket) for bucket in self._deployment.buckets)):
            time.sleep(0.5)

    def _live_and_retrain(self, outputs: dict[str, Any]) -> None:
        live = DayRunner(
            self._world,
            transactions=outputs["transactions_stream"],
            decisions=outputs["decisions_stream"],
            bucket=outputs["data_bucket"],
        )
        daily = StateMachine(outputs["daily_state_machine_arn"], self._detail, region=self._region)
        for number in range(HISTORY_DAYS, HISTORY_DAYS + LIVE_DAYS):
            self._live(live, number, expected="1")
            with self._step(f"state machine daily: {self._day(number)} is archived and watched"):
                name = f"daily-{self._day(number)}"
                daily.run(name, {"day": str(self._day(number))}, patience_seconds=TIMEOUT_SECONDS)
                self._detail(_in_words(S3ProgressLog(Bucket(outputs["data_bucket"])), self._day(number)))
        with self._step("a unsent_transaction about one more transaction"):
            self._ask(outputs)
        with self._step("the event DriftDetected, put by hand: days of loss would take longer than this"):
            day = self._day(HISTORY_DAYS + LIVE_DAYS - 1)
            reasons = ["put by hand for a demonstration"]
            EventBus(outputs["event_bus"]).ask_for_retraining(
                RetrainingStarted(day=day, champion_version="1", reasons=reasons)
            )
            retrain = StateMachine(outputs["retrain_state_machine_arn"], self._detail, region=self._region)
            execution = retrain.newest(patience_seconds=TIMEOUT_SECONDS)
            self._detail("the rule has started the state machine retrain")
        with self._step("state machine retrain"):
            retrain.follow(execution, patience_seconds=TIMEOUT_SECONDS)
            champion = SageMakerRegistry(outputs["model_package_group"]).champion()
            precision = float(champion.tags["average_precision"])
            self._detail(f"version {champion.version} is champion, average precision {precision:.3f}")
        self._live(live, HISTORY_DAYS + LIVE_DAYS, expected=champion.version)

    def _live(self, live: DayRunner, number: int, *, expected: str) -> None:
        with self._step(f"{self._day(number)}: transactions through Kinesis, Lambda, DynamoDB and the endpoint"):
            lived = live.live(number, rate_per_second=RATE_PER_SECOND)
            self._detail(str(lived))
            if lived.decided != lived.sent or lived.versions.get(expected, 0) + lived.degraded < lived.sent:
                raise CardwatchError(f"not every transaction was decided, by version {expected} or by the rules")
            if lived.degraded > lived.sent // 10:
                raise CardwatchError(f"{lived.degraded:,} decisions are degraded: the endpoint is hardly used")

    def _ask(self, outputs: dict[str, Any]) -> None:
        event = {"body": encode(unsent_transaction(self._known, "local")).decode(), "isBase64Encoded": False}
        function = aws_client("lambda", region=self._region, read_seconds=60)
        answer = function.invoke(FunctionName=outputs["score_function"], Payload=json.dumps(event))
        said = json.loads(answer["Payload"].read())
        if said.get("statusCode") != 200:
            raise CardwatchError(f"the function that answers questions said {said}")
        self._detail(said["body"][:160])

    def _destroy(self, outputs: dict[str, Any]) -> None:
        prefix = self._deployment.environment.prefix
        with self._step("terraform destroy"):
            packages = delete_model_packages(outputs["model_package_group"], region=self._region)
            self._detail(f"{packages} model packages of the pipeline's are deleted first")
            self._deployment.destroy()
            delete_models(prefix, region=self._region)
            self._detail(f"{self._deployment.made} resources")
        with self._step("what is left"):
            if left := remaining_resources(prefix, region=self._region):
                raise CardwatchError("left after terraform destroy:\n  " + "\n  ".join(left))
            self._detail("nothing")

    def _day(self, number: int) -> date:
        return WORLD.first_day + timedelta(days=number)

    @contextmanager
    def _step(self, what: str) -> Iterator[None]:
        begin = time.monotonic()
        self._say(what)
        yield
        self._detail(f"{time.monotonic() - begin:.1f} s")

    def _say(self, what: str) -> None:
        sys.stdout.write(f"[{time.monotonic() - self._began:5.0f} s] {what}\n")
        sys.stdout.flush()

    def _detail(self, what: str) -> None:
        sys.stdout.write(f"          {what}\n")
        sys.stdout.flush()


def _in_words(progress: S3ProgressLog, day: date) -> str:
    """What the job `Watch` has seen of a day. Raises `CardwatchError` if it has said nothing."""
    for record in progress.of_day(day, ProgressPart.MONITOR):
        if isinstance(record, DayMonitored):
            drifted = f"{len(record.drifted_features)} features have drifted ({record.drift_share:.0%})"
            return f"version {record.champion_version} is {record.state}; {drifted}"
    raise CardwatchError(f"the job Watch has said nothing of {day}")


def main() -> None:
    """Tell it; exit status 1 and one line of why if it does not end well."""
    with one_line_errors():
        AcceptanceRun(read_settings()).tell()


if __name__ == "__main__":
    main()
