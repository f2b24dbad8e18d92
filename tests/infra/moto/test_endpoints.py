"""SageMaker endpoints with running model containers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

Client = Callable[[str], Any]
NewName = Callable[[str], str]
WaitUntil = Callable[..., Any]

pytestmark = pytest.mark.proves("ours", "models answer behind endpoints")


def test_an_endpoint_starts_its_model_and_passes_on_bytes_types_and_attributes(models: Any) -> None:
    endpoint = models.endpoint(models.config("first"))
    result = models.invoke_endpoint(endpoint, b"\xff\x00\x80", CustomAttributes="deadline-ms=250")
    assert result["model"] == "first" and result["sent"] == "ff0080" and result["arguments"] == ["serve"]
    assert result["type"] == "application/octet-stream"
    assert result["answer"]["InvokedProductionVariant"] == "first"
    assert result["answer"]["CustomAttributes"] == "echo=deadline-ms=250"


def test_an_error_of_a_model_is_a_model_error_with_its_status_and_body(models: Any) -> None:
    endpoint = models.endpoint(models.config("first"))
    with pytest.raises(ClientError) as refused:
        models.invoke_endpoint(endpoint, b"fail")
    assert refused.value.response["Error"]["Code"] == "ModelError"
    assert refused.value.response["OriginalStatusCode"] == 503
    assert refused.value.response["OriginalMessage"] == "no champion"


def test_an_unknown_endpoint_is_a_validation_error(models: Any) -> None:
    with pytest.raises(ClientError, match="ValidationError"):
        models.invoke_endpoint("unknown")


def test_variants_answer_by_turns_and_one_may_be_named(models: Any) -> None:
    endpoint = models.endpoint(models.config("one", "two"))
    assert sorted(models.invoke_endpoint(endpoint)["model"] for _ in range(4)) == ["one", "one", "two", "two"]
    assert models.invoke_endpoint(endpoint, TargetVariant="two")["model"] == "two"


def test_an_updated_endpoint_answers_with_the_new_model_without_a_gap(models: Any, wait_until: WaitUntil) -> None:
    endpoint, second = models.endpoint(models.config("first")), models.config("second")
    models.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=second)
    answers = [models.invoke_endpoint(endpoint)["model"]]
    wait_until(
        lambda: answers.append(models.invoke_endpoint(endpoint)["model"]) or models.status(endpoint) == "InService",
        "the endpoint is updated",
    )
    assert models.invoke_endpoint(endpoint)["model"] == "second"
    assert answers == sorted(answers) and set(answers) <= {"first", "second"}
    assert models.sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"] == second


def test_an_update_to_a_model_that_does_not_start_leaves_the_old_one_answering(models: Any) -> None:
    config = models.config("first")
    endpoint = models.endpoint(config)
    models.update(endpoint, models.config("broken"))
    result = models.sagemaker.describe_endpoint(EndpointName=endpoint)
    assert result["EndpointStatus"] == "InService" and result["EndpointConfigName"] == config
    assert "this model cannot be loaded" in result["FailureReason"]
    assert models.invoke_endpoint(endpoint)["model"] == "first"


def test_an_endpoint_whose_model_does_not_start_has_failed_with_its_last_output(models: Any) -> None:
    endpoint = models.endpoint(models.config("broken"), expected="Failed")
    result = models.sagemaker.describe_endpoint(EndpointName=endpoint)
    assert "this model cannot be loaded" in result["FailureReason"]


def test_an_alarm_while_an_update_is_watched_rolls_it_back(models: Any, client: Client, new_name: NewName) -> None:
    config, alarm = models.config("first"), new_name("alarm")
    client("cloudwatch").put_metric_alarm(
        AlarmName=alarm,
        MetricName="Invocation5XXErrors",
        Namespace="AWS/SageMaker",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    endpoint = models.endpoint(config)
    client("cloudwatch").set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="a test")
    deployment = {
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": alarm}]},
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0},
            "TerminationWaitInSeconds": 60,
        },
    }
    models.update(endpoint, models.config("second"), DeploymentConfig=deployment)
    result = models.sagemaker.describe_endpoint(EndpointName=endpoint)
    assert result["EndpointConfigName"] == config and alarm in result["FailureReason"]
    assert result["LastDeploymentConfig"]["AutoRollbackConfiguration"] == deployment["AutoRollbackConfiguration"]
    assert models.invoke_endpoint(endpoint)["model"] == "first"


def test_a_shadow_gets_a_copy_and_both_answers_are_captured(models: Any, wait_until: WaitUntil) -> None:
    endpoint = models.endpoint(models.config("champion", shadow="challenger", capture=True))
    assert models.invoke_endpoint(endpoint, b"\xff")["model"] == "champion"
    [shadow] = wait_until(lambda: models.captured(endpoint, "challenger"), "the shadow's answer is captured")
    [shown] = models.captured(endpoint, "champion")
    assert (
        shown["captureData"]["endpointInput"]["data"] == "/w=="
        and json.loads(shadow["captureData"]["endpointOutput"]["data"])["model"] == "challenger"
    )
    described = models.sagemaker.describe_endpoint(EndpointName=endpoint)
    assert [variant["VariantName"] for variant in described["ShadowProductionVariants"]] == ["challenger"]
