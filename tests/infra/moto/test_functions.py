"""Lambda functions of images run as processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Client = Callable[[str], Any]

pytestmark = pytest.mark.proves("ours", "functions of images run")


def test_a_function_is_run_and_stays_warm(functions: Any) -> None:
    name = functions.create(
        """
        import os
        calls = 0
        def handle(event, context):
            global calls
            calls += 1
            return {"calls": calls, "pid": os.getpid(), "got": event, "name": context.function_name}
        """
    )
    first, _ = functions.invoke(name, {"a": 1})
    second, _ = functions.invoke(name, {"a": 2})
    assert first["got"] == {"a": 1} and first["name"] == name and first["calls"] == 1
    assert second["calls"] == 2 and second["pid"] == first["pid"]


def test_a_function_gets_aws_its_environment_and_disk_but_none_of_our_settings(
    functions: Any, local_aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = functions.create(
        """
        import boto3, os
        def handle(event, context):
            boto3.client("s3").create_bucket(
                Bucket="made-by-a-function", CreateBucketConfiguration={"LocationConstraint": os.environ["AWS_REGION"]}
            )
            return dict(os.environ)
        """,
        CARDWATCH_ENDPOINT="the-endpoint",
    )
    found, error = functions.invoke(name)
    assert error is None
    assert found["AWS_ENDPOINT_URL"] == local_aws
    assert sorted(key for key in found if key.startswith("CARDWATCH_")) == ["CARDWATCH_ENDPOINT", "CARDWATCH_HOME"]


def test_an_exception_is_a_function_error_with_its_type_and_message(functions: Any) -> None:
    name = functions.create("def handle(event, context): raise KeyError('unknown')")
    result, error = functions.invoke(name)
    assert error and result["errorType"] == "KeyError" and result["errorMessage"] == "'unknown'"


def test_a_module_that_cannot_be_imported_is_a_function_error(functions: Any) -> None:
    result, error = functions.invoke(functions.create("import nothing_of_this_name"))
    assert error and result["errorType"] == "ModuleNotFoundError"


def test_a_function_that_takes_too_long_is_ended_and_the_next_call_starts_a_new_one(functions: Any) -> None:
    name = functions.create(
        """
        import os, time
        def handle(event, context):
            if event == "sleep":
                time.sleep(60)
            return os.getpid(), context.get_remaining_time_in_millis()
        """,
        timeout=1,
    )
    (before, left_ms), _ = functions.invoke(name)
    result, error = functions.invoke(name, "sleep")
    (after, _), _ = functions.invoke(name)
    assert error and result["errorMessage"] == "Task timed out after 1.00 seconds"
    assert 0 < left_ms <= 1_000 and after != before


def test_a_function_that_exits_is_a_function_error(functions: Any) -> None:
    name = functions.create(
        """
        import os
        def handle(event, context):
            print("last words", flush=True)
            os._exit(3)
        """
    )
    result, error = functions.invoke(name)
    assert error and result["errorType"] == "Runtime.ExitError" and "last words" in result["errorMessage"]


def test_what_a_function_prints_is_in_its_log_group(functions: Any, client: Client) -> None:
    name = functions.create("def handle(event, context): print('hello from inside')")
    functions.invoke(name)
    events = client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    assert "hello from inside" in [event["message"] for event in events]


def test_a_changed_configuration_makes_a_new_container(functions: Any, client: Client) -> None:
    name = functions.create("import os\ndef handle(event, context): return os.environ.get('WHICH')")
    variables = client("lambda").get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    assert functions.invoke(name)[0] is None
    client("lambda").update_function_configuration(
        FunctionName=name, Environment={"Variables": {**variables, "WHICH": "the new one"}}
    )
    assert functions.invoke(name)[0] == "the new one"
