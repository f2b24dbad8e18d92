"""What `cardwatch up` does, and writes about a stack, before it starts the processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import pytest
from msgspec import structs

from adapters.local_stack.stack_home import StackHome
from adapters.runtime.settings import HttpUrl, Secret, Settings
from adapters.runtime.step_hold import StepHold
from infra.local_stack import running_stack
from infra.local_stack.running_stack import initial_status
from infra.local_stack.stack import SERVERS, SERVICES, LocalStack


@pytest.mark.parametrize(
    "given",
    [
        Settings(),
        Settings(
            kafka_bootstrap="broker:9092",
            mlflow_url=HttpUrl("http://user:secret@models:5000"),
            prefect_url=HttpUrl("http://flows:4200/"),
            scoring_url=HttpUrl("http://scoring:3000"),
            api_key=Secret("key"),
        ),
    ],
    ids=["own servers", "servers of others"],
)
def test_the_status_of_a_stack_can_be_written_and_read_before_anything_runs(tmp_path: Path, given: Settings) -> None:
    home = StackHome(structs.replace(given, home=tmp_path))
    with LocalStack(home.settings(given)) as stack:
        status = initial_status(stack)
        home.write(status)
    assert home.last_status() == status
    assert set(status.endpoints) == {*SERVERS, *SERVICES}
    assert status.endpoints["scoring"].readiness_url == f"{stack.settings.scoring_url}/readyz"


class EndedError(Exception):
    """The stack was to be started."""


def test_a_step_that_an_earlier_stack_was_asked_to_hold_is_not_held_in_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path)
    home = StackHome(settings)
    hold = StepHold(home.folder / "run")
    hold.ask("commit")

    def start(*_: Any, **__: Any) -> NoReturn:
        raise EndedError

    monkeypatch.setattr(running_stack, "LocalStack", start)
    with pytest.raises(EndedError):
        running_stack.run_stack(home, settings, {}, report=lambda _: None, is_ready=lambda _: True)
    assert hold.asked() is None
