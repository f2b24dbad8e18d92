"""The console of a running stack in Chromium: a sent payment, kills from the diagram, and every view."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from adapters.local_stack.stack_home import StackStatus
from adapters.runtime.settings import read_settings
from cli.demo.topic_audit import audit_topics
from tests.conftest import Require
from tests.deadlines import load_factor
from tests.e2e.console_page import Page, in_chromium, is_ready, running_console

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

SHOWN_WITHIN_SECONDS = 2.0
RED_WITHIN_SECONDS = 1.0
READY_WITHIN_SECONDS = 20.0


@pytest.fixture(scope="module")
def status(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackStatus]:
    with running_console(tmp_path_factory.mktemp("home")) as status:
        yield status


@pytest.fixture
def page(status: StackStatus) -> Iterator[Page]:
    page = Page(status)
    with page.client:
        yield page


@pytest.fixture(scope="module")
def seen(status: StackStatus, require: Require) -> dict[str, Any]:
    """What Chromium saw and how long it took, and the load of the machine meanwhile, by which times are allowed."""
    page = Page(status)
    with page.client:
        page.until("the model decides", lambda frame: frame["traffic"]["by_model_per_second"] > 0, 120.0)
    before = load_factor()
    return in_chromium(require, "kills", status) | {"load": max(before, load_factor())}


def test_a_sent_payment_is_in_the_list_of_decisions_within_two_seconds(seen: dict[str, Any]) -> None:
    assert seen["decisionSeconds"] <= SHOWN_WITHIN_SECONDS * seen["load"]


@pytest.mark.parametrize("name", ["scoring", "stream", "kafka"])
def test_a_box_killed_from_the_diagram_turns_red_within_a_second_and_recovers(seen: dict[str, Any], name: str) -> None:
    killed = seen["killed"][name]
    assert killed["redSeconds"] <= RED_WITHIN_SECONDS * seen["load"]
    assert killed["readySeconds"] <= READY_WITHIN_SECONDS * seen["load"]


def test_while_the_scoring_service_is_away_the_share_decided_by_rules_rises(seen: dict[str, Any]) -> None:
    assert seen["killed"]["scoring"]["rulesPercent"] > 0


@pytest.mark.usefixtures("seen")
def test_every_view_of_the_running_system_is_accessible_and_fits_a_narrow_screen(
    status: StackStatus, require: Require
) -> None:
    found = in_chromium(require, "views", status)
    assert {view: problems for view, problems in found.items() if problems} == {}
    assert len(found) >= 12


@pytest.mark.usefixtures("seen")
def test_after_all_kills_nothing_is_lost_or_decided_twice(status: StackStatus, page: Page) -> None:
    page.until("the stream is ready", is_ready("stream"), 120.0)
    page.act("generator", "freeze")
    page.await_all_decided()
    audit = audit_topics(read_settings(status.environment), {})
    assert audit.transactions > 0
    assert (audit.lost, audit.duplicates) == (0, 0)
