"""A worker that is held before a step of the commit order, and killed there: what it repeats, and what it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from adapters.local_stack.stack_home import StackStatus
from adapters.runtime.settings import read_settings
from adapters.runtime.step_hold import HELD_STEPS
from cli.demo.topic_audit import audit_topics
from tests.e2e.console_page import PLAN, Page, is_ready, stack_with_console

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

BEFORE_THE_COMMIT = ("fold", "score", "policy", "commit")


@pytest.fixture(scope="module")
def status(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackStatus]:
    with stack_with_console(tmp_path_factory.mktemp("home"), PLAN, CARDWATCH_HOLD_STEPS="true") as (status, _):
        yield status


@pytest.fixture
def page(status: StackStatus) -> Iterator[Page]:
    page = Page(status)
    with page.client:
        yield page
        page.steps("release")


def is_held(step: str) -> Callable[[dict[str, Any]], bool]:
    return lambda frame: frame["step"]["held"] == step


def refolded(frame: dict[str, Any]) -> int:
    return sum(lane["refolded"] or 0 for lane in frame["lanes"])


def kill_at(page: Page, step: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Hold the worker before `step` and kill it there; returns the frame before the kill, and one after the restart."""
    page.until("the worker decides", lambda frame: frame["traffic"]["by_model_per_second"] > 0, 120.0)
    assert page.steps(f"{step}/hold").status_code == 204
    held = page.until(f"it stands still before {step}", is_held(step), 30.0)
    assert page.act("stream", "kill").status_code == 204
    killed = page.until("nobody stands still", lambda frame: frame["step"]["held"] is None, 10.0)
    assert killed["step"]["asked"] == step
    assert page.steps("release").status_code == 204
    after = page.until(
        "another worker decides",
        lambda frame: is_ready("stream")(frame) and frame["totals"]["decisions"] > held["totals"]["decisions"] + 200,
        120.0,
    )
    return held, after


def test_a_held_worker_decides_nothing_and_goes_on_when_it_is_released(page: Page) -> None:
    for step in HELD_STEPS:
        page.until("the worker decides", lambda frame: frame["traffic"]["by_model_per_second"] > 0, 60.0)
        assert page.steps(f"{step}/hold").status_code == 204
        held = page.until(f"it stands still before {step}", is_held(step), 30.0)
        waiting = page.until(
            "the log grows",
            lambda frame, held=held: frame["traffic"]["waiting"] > held["traffic"]["waiting"] + 80,
            30.0,
        )
        assert is_held(step)(waiting)
        # The positions are asked for once a second, so the frame of the hold may be older than the last commit.
        later = page.until(
            "the log grows again",
            lambda frame, waiting=waiting: frame["traffic"]["waiting"] > waiting["traffic"]["waiting"] + 80,
            30.0,
        )
        assert [lane["committed"] for lane in later["lanes"]] == [lane["committed"] for lane in waiting["lanes"]]
        assert page.steps("release").status_code == 204
        page.until("it goes on", lambda frame: frame["step"]["held"] is None, 10.0)


@pytest.mark.parametrize("step", BEFORE_THE_COMMIT)
def test_what_was_not_committed_is_decided_by_the_next_worker(page: Page, step: str) -> None:
    _, after = kill_at(page, step)
    assert refolded(after) == 0


def test_what_was_committed_and_not_applied_is_folded_again_and_not_decided_again(page: Page) -> None:
    kill_at(page, "apply")
    # The metrics of the new worker are asked for once a second.
    page.until("records are folded again", lambda frame: refolded(frame) > 0, 30.0)


def test_afterwards_nothing_is_lost_or_decided_twice(status: StackStatus, page: Page) -> None:
    page.act("generator", "freeze")
    page.await_all_decided()
    audit = audit_topics(read_settings(status.environment), {})
    assert audit.transactions > 0
    assert (audit.lost, audit.duplicates) == (0, 0)
