"""The state machines, as they would be made: as graphs, and run by moto with scripts for jobs and functions."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Final

import boto3
import pytest
from botocore.validate import ParamValidator
from moto import mock_aws
from moto.stepfunctions.parser.api import HistoryEventType, TaskFailedEventDetails
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.state.exec.state_task import state_task_factory
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import ResourceCondition
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails

pytestmark = pytest.mark.proves(
    "moto", "the paths of the state machines: promotion, refusal, approval, rollback, each failure"
)

REGION: Final = "eu-central-1"
TIMEOUT_SECONDS: Final = 30.0
DRIFT: Final = {"day": "2025-01-31", "reasons": ["score drift"], "champion_version": "1"}
RETRAINING: Final = (
    *("Assemble", "Fit", "Judge", "Verdict"),
    *("Register", "AskApproval", "UpdateEndpoint", "AskEndpoint"),
)
MODEL: Final = "s3://bucket/models/run/job/output/model.tar.gz"

Answer = Callable[[str, dict[str, Any]], Any]


@pytest.fixture(scope="module")
def definitions(made: list[Any]) -> dict[str, dict[str, Any]]:
    """The definition of each state machine, by its name."""
    found = [resource.values for resource in made if resource.type == "aws_sfn_state_machine"]
    return {values["name"].rpartition("-")[2]: json.loads(values["definition"]) for values in found}


# --- As a graph -------------------------------------------------------------------------------------------------


def next_of(state: dict[str, Any]) -> set[str]:
    """Return the possible next states of a state."""
    ways = [state, *state.get("Choices", ()), *state.get("Catch", ())]
    return {way[key] for way in ways for key in ("Next", "Default") if key in way}


def test_every_state_that_is_named_exists_and_every_one_is_reached(definitions: dict[str, dict[str, Any]]) -> None:
    assert set(definitions) == {"daily", "retrain"}
    for definition in definitions.values():
        states, reached, ahead = definition["States"], set(), {definition["StartAt"]}
        while ahead:
            reached |= ahead
            ahead = set().union(*(next_of(states[name]) for name in ahead)) - reached
        assert reached == set(states)


def test_every_state_leads_on_or_is_an_end(definitions: dict[str, dict[str, Any]]) -> None:
    for definition in definitions.values():
        for name, state in definition["States"].items():
            assert bool(next_of(state)) is (state["Type"] not in ("Succeed", "Fail")), name


def test_whatever_fails_somebody_is_told(definitions: dict[str, dict[str, Any]]) -> None:
    for definition in definitions.values():
        for name, state in definition["States"].items():
            if state["Type"] == "Task" and name != "Tell":
                assert state["Catch"] == [{"ErrorEquals": ["States.ALL"], "Next": "Tell", "ResultPath": "$.error"}]
        assert definition["States"]["Tell"]["Next"] == "Failed"


def test_no_job_is_waited_for_longer_than_it_may_run_and_start(definitions: dict[str, dict[str, Any]]) -> None:
    for definition in definitions.values():
        for state in definition["States"].values():
            if state.get("Resource", "").endswith(".sync"):
                running = state["Parameters"]["StoppingCondition"]["MaxRuntimeInSeconds"]
                assert running < state["TimeoutSeconds"] <= running + 3600


# --- As they run ------------------------------------------------------------------------------------------------


class Scripted(StateTaskServiceCallback):
    """Every integration, answered by `answer`; what it was told is kept in `told`, by state."""

    answer: ClassVar[Answer]
    told: ClassVar[list[tuple[str, dict[str, Any]]]]

    def __init__(self) -> None:
        patterns: Any = {ResourceCondition.Sync, ResourceCondition.WaitForTaskToken}
        super().__init__(patterns)

    def _get_supported_parameters(self) -> set[str] | None:
        return None

    def _validate_service_integration_is_supported(self) -> None:
        """Whatever there is."""

    def _eval_service_task(
        self, env: Any, resource_runtime_part: Any, normalised_parameters: dict[str, Any], state_credentials: Any
    ) -> None:
        self.told.append((env.next_state_name, normalised_parameters))
        answer = type(self).answer(env.next_state_name, normalised_parameters)
        if isinstance(answer, str):
            raise FailureEventException(self._failure(env, answer))
        env.stack.append(answer)

    def _failure(self, env: Any, cause: str) -> FailureEvent:
        """A failure by the name that Step Functions has for one of a job."""
        name = StatesErrorName(StatesErrorNameType.StatesTaskFailed)
        told = TaskFailedEventDetails(resource="any", resourceType="any", error=name.error_name, cause=cause)
        return FailureEvent(
            env=env,
            error_name=name,
            event_type=HistoryEventType.TaskFailed,
            event_details=EventDetails(taskFailedEventDetails=told),
        )

    def _build_sync_resolver(
        self, env: Any, resource_runtime_part: Any, normalised_parameters: dict[str, Any], state_credentials: Any
    ) -> Callable[[], Any]:
        answer = env.stack.pop()
        return lambda: answer


class Run:
    """An execution that has ended: how, why if it failed, and which states called what with which parameters."""

    def __init__(self, ended: dict[str, Any], told: list[tuple[str, dict[str, Any]]]) -> None:
        self.status, self.cause, self.told = ended["status"], ended.get("cause"), told

    @property
    def called(self) -> list[str]:
        return [state for state, _ in self.told]

    def parameters(self, state: str) -> dict[str, Any]:
        return next(parameters for name, parameters in self.told if name == state)


@pytest.fixture
def run(definitions: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Run]]:
    """Runs a state machine to its end, without waits and retries."""
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        client = boto3.client("stepfunctions", region_name=REGION)
        numbers = itertools.count()

        def start(name: str, given: dict[str, Any], answer: Answer) -> Run:
            Scripted.answer, Scripted.told = staticmethod(answer), []  # type: ignore[assignment]
            monkeypatch.setattr(state_task_factory, "state_task_service_for", lambda service_name: Scripted())
            machine = client.create_state_machine(
                name=f"{name}-{next(numbers)}",
                definition=json.dumps(without_waits(definitions[name])),
                roleArn="arn:aws:iam::123456789012:role/any",
            )["stateMachineArn"]
            execution = client.start_execution(stateMachineArn=machine, name="run", input=json.dumps(given))
            deadline = time.monotonic() + TIMEOUT_SECONDS
            while (ended := client.describe_execution(executionArn=execution["executionArn"]))["status"] == "RUNNING":
                assert time.monotonic() < deadline, ended
                time.sleep(0.02)
            return Run(ended, Scripted.told)

        yield start


def without_waits(definition: dict[str, Any]) -> dict[str, Any]:
    """Return the definition without waits and retries."""
    timing = {"Seconds", "Retry"}
    states = {
        name: {key: value for key, value in state.items() if key not in timing}
        | ({"Seconds": 0} if state["Type"] == "Wait" else {})
        for name, state in definition["States"].items()
    }
    return {**definition, "States": states}


def script(**answers: Any) -> Answer:
    """Return the result of each state: that of a successful promotion unless `answers` overrides it.

    A list has the results of successive calls. A text is the reason for which a state fails.
    """
    usual = {
        "Fit": {"ModelArtifacts": {"S3ModelArtifacts": MODEL}},
        "Verdict": {"Payload": {"promoted": True, "reasons": []}},
        "Register": {"Payload": {"model_package_arn": "arn:package/1"}},
        "AskApproval": {"ModelApprovalStatus": "Approved"},
        "UpdateEndpoint": {"Payload": {"endpoint_config": "config-2"}},
        "AskEndpoint": {"Payload": {"status": "InService"}},
    }
    coming = {state: iter(answer) for state, answer in answers.items() if isinstance(answer, list)}

    def answer(state: str, _: dict[str, Any]) -> Any:
        return next(coming[state]) if state in coming else answers.get(state, usual.get(state, {"Status": "Completed"}))

    return answer


def test_the_day_of_the_schedule_is_archived_and_then_watched(run: Callable[..., Run]) -> None:
    ended = run("daily", {"scheduled_at": "2025-01-31T23:55:00Z"}, script())
    assert ended.status == "SUCCEEDED"
    assert ended.called == ["Archive", "Watch"]
    for state in ended.called:
        assert ended.parameters(state)["Environment"]["CARDWATCH_AS_OF_DAY"] == "2025-01-31"


def test_a_day_that_somebody_names_is_not_waited_for(run: Callable[..., Run]) -> None:
    ended = run("daily", {"day": "2025-01-07"}, script())
    assert ended.parameters("Archive")["Environment"]["CARDWATCH_AS_OF_DAY"] == "2025-01-07"


def test_a_day_that_cannot_be_archived_is_not_watched_and_told_of(run: Callable[..., Run]) -> None:
    ended = run("daily", {"day": "2025-01-07"}, script(Archive="no room"))
    assert ended.status == "FAILED"
    assert ended.called == ["Archive", "Tell"]
    assert "no room" in ended.parameters("Tell")["Message"]


def test_a_model_that_the_gate_lets_through_comes_to_answer(run: Callable[..., Run]) -> None:
    words = [{"Payload": {"status": word}} for word in ("Updating", "InService")]
    ended = run("retrain", DRIFT, script(AskEndpoint=words))
    assert ended.status == "SUCCEEDED"
    assert ended.called == [*RETRAINING, "AskEndpoint"]
    assert ended.parameters("Register")["Payload"] | {"image": ""} == {
        "action": "register",
        "execution": "run",
        "image": "",
        "manual_approval": True,
        "model_data_url": MODEL,
        "reasons": ["score drift"],
    }
    update = ended.parameters("UpdateEndpoint")["Payload"]
    assert (update["action"], update["model_package_arn"]) == ("update", "arn:package/1")
    assert ended.parameters("AskEndpoint")["Payload"] == {
        "action": "status",
        "endpoint_config": "config-2",
        "execution": "run",
    }


def test_a_model_that_the_gate_refuses_goes_no_further(run: Callable[..., Run]) -> None:
    refused = {"Payload": {"promoted": False, "reasons": ["it is no better"]}}
    ended = run("retrain", DRIFT, script(Verdict=refused))
    assert ended.status == "SUCCEEDED"
    assert ended.called == ["Assemble", "Fit", "Judge", "Verdict"]


def test_nothing_answers_before_a_person_has_approved_it(run: Callable[..., Run]) -> None:
    words = [{"ModelApprovalStatus": word} for word in ("PendingManualApproval", "PendingManualApproval", "Approved")]
    ended = run("retrain", DRIFT, script(AskApproval=words))
    assert ended.called[5:] == ["AskApproval", "AskApproval", "AskApproval", "UpdateEndpoint", "AskEndpoint"]


def test_what_a_person_rejects_never_answers(run: Callable[..., Run]) -> None:
    ended = run("retrain", DRIFT, script(AskApproval={"ModelApprovalStatus": "Rejected"}))
    assert ended.status == "SUCCEEDED"
    assert ended.called[-1] == "AskApproval"


@pytest.mark.parametrize("word", ["RolledBack", "Failed"])
def test_a_model_that_was_turned_out_again_is_told_of(run: Callable[..., Run], word: str) -> None:
    ended = run("retrain", DRIFT, script(AskEndpoint={"Payload": {"status": word}}))
    assert ended.status == "FAILED"
    assert ended.called[-2:] == ["AskEndpoint", "Tell"]
    assert f"config-2: {word}" in ended.parameters("Tell")["Message"]


@pytest.mark.parametrize("state", RETRAINING)
def test_a_step_that_fails_ends_the_retraining_and_is_told_of(run: Callable[..., Run], state: str) -> None:
    ended = run("retrain", DRIFT, script(**{state: "broken"}))
    assert ended.status == "FAILED"
    assert ended.called[-2:] == [state, "Tell"]
    assert "broken" in ended.parameters("Tell")["Message"]


def test_a_topic_that_cannot_be_told_does_not_hide_the_failure(run: Callable[..., Run]) -> None:
    ended = run("daily", {"day": "2025-01-07"}, script(Watch="broken", Tell="deaf"))
    assert (ended.status, ended.cause) == ("FAILED", "broken")


@pytest.mark.parametrize(
    ("machine", "state", "call"),
    [
        ("daily", "Archive", "CreateProcessingJob"),
        ("daily", "Watch", "CreateProcessingJob"),
        ("retrain", "Assemble", "CreateProcessingJob"),
        ("retrain", "Fit", "CreateTrainingJob"),
        ("retrain", "Judge", "CreateProcessingJob"),
        ("retrain", "AskApproval", "DescribeModelPackage"),
    ],
)
def test_what_sagemaker_is_told_is_what_it_takes(run: Callable[..., Run], machine: str, state: str, call: str) -> None:
    told = run(machine, DRIFT, script()).parameters(state)
    model = boto3.client("sagemaker", region_name=REGION).meta.service_model
    report = ParamValidator().validate(told, model.operation_model(call).input_shape)
    assert not report.has_errors(), report.generate_report()
    for name in ("ProcessingJobName", "TrainingJobName"):
        assert len(told.get(name, "")) <= 63


def test_two_jobs_never_have_one_name(run: Callable[..., Run]) -> None:
    names = {run("daily", DRIFT, script()).parameters("Archive")["ProcessingJobName"] for _ in range(2)}
    assert len(names) == 2
