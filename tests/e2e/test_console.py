"""The console of a running stack: what it shows, what it does to processes, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from adapters.local_stack.stack_home import StackStatus
from adapters.runtime.settings import read_settings
from cli.demo.topic_audit import audit_topics
from tests.e2e.console_page import Page, is_ready, running_console, state_of

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

DOWN_WITHIN_SECONDS = 1.0
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


def test_the_page_shows_every_box_and_the_traffic(page: Page) -> None:
    frame = page.until("traffic", lambda frame: frame["traffic"]["by_model_per_second"] > 0, 60.0)
    assert {box["name"]: box["state"] for box in frame["boxes"]} == dict.fromkeys(
        ("generator", "kafka", "stream", "store", "scoring", "archive", "monitor", "pipelines", "mlflow"), "ready"
    )
    assert [lane["partition"] for lane in frame["lanes"]] == [0, 1, 2, 3]
    # Positions are asked for one after the other, so that in one frame an older one may lie behind a newer one.
    page.until(
        "positions are in order",
        lambda frame: all(lane["applied"] <= lane["committed"] <= lane["log_end"] for lane in frame["lanes"]),
        10.0,
    )


def test_an_explanation_adds_up_to_the_margin_of_its_decision(page: Page) -> None:
    with closing(page.frames()) as frames:
        line = next(
            line for frame in frames if frame["type"] == "decisions" for line in frame["lines"] if not line["degraded"]
        )
    found = page.client.get(f"/api/decisions/{line['partition']}/{line['offset']}").raise_for_status().json()
    assert found["decision"]["transaction"]["transaction_id"] == line["transaction_id"]
    explanation = found["explanation"]
    total = explanation["expected_margin"] + sum(each["contribution"] for each in explanation["contributions"])
    assert total == pytest.approx(found["decision"]["margin"], abs=1e-5)
    assert set(found["costs"]) == {"approve", "challenge", "decline"}


@pytest.mark.parametrize("name", ["scoring", "stream", "kafka"])
def test_a_killed_process_turns_red_within_a_second_and_recovers(page: Page, name: str) -> None:
    page.until(f"{name} is ready", is_ready(name), 120.0)
    assert page.act(name, "kill").status_code == 204
    page.until(f"{name} is down", lambda frame: state_of(frame, name) in ("down", "starting"), DOWN_WITHIN_SECONDS)
    page.until(f"{name} is ready again", is_ready(name), READY_WITHIN_SECONDS)
    page.until("decisions go on", lambda frame: frame["traffic"]["by_model_per_second"] > 0, 60.0)


def test_a_frozen_process_is_resumed(page: Page) -> None:
    page.until("the monitor is ready", is_ready("monitor"), 120.0)
    assert page.act("monitor", "freeze").status_code == 204
    page.until("it is frozen", lambda frame: state_of(frame, "monitor") == "frozen", DOWN_WITHIN_SECONDS)
    assert page.act("monitor", "resume").status_code == 204
    page.until("it is ready", is_ready("monitor"), READY_WITHIN_SECONDS)


@pytest.mark.parametrize("name", ["console", "bootstrap", "1", "..%2F..%2Fetc", "stream-7"])
def test_what_the_stack_has_not_started_is_not_touched(page: Page, name: str) -> None:
    answer = page.act(name, "kill")
    assert answer.status_code in (404, 409)
    assert answer.json()["error"]


def test_nobody_changes_anything_without_the_token_or_from_another_page(page: Page) -> None:
    assert page.client.post("/api/processes/monitor/kill").status_code == 401
    assert page.act("monitor", "kill", Origin="http://evil.example").status_code == 403
    assert page.act("monitor", "kill", Host="evil.example").status_code == 421
    assert page.act("monitor", "explode").status_code == 409


def test_the_page_may_load_nothing_from_anywhere(page: Page) -> None:
    headers = page.client.get("/").headers
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert page.token not in page.client.get("/").text


def test_after_all_kills_nothing_is_lost_or_decided_twice(status: StackStatus, page: Page) -> None:
    page.until("the stream is ready", is_ready("stream"), 120.0)
    page.act("generator", "freeze")
    page.await_all_decided()
    audit = audit_topics(read_settings(status.environment), {})
    assert audit.transactions > 0
    assert (audit.lost, audit.duplicates) == (0, 0)
