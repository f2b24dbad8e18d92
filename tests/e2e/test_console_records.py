"""Sending, labelling and dead letters from the console of a running stack."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import httpx
import pytest
from confluent_kafka import Producer

from adapters.archive.reference_tables import ReferenceTableStore
from adapters.local_stack.stack_home import StackStatus
from adapters.runtime.settings import Settings, child_environment, read_settings
from cardwatch.events import utc_day
from cardwatch.features.hashing import identity_hash
from cardwatch.features.reference_table import MERCHANT_SECTION
from cardwatch.simulation.presets import presets
from cardwatch.topics import TRANSACTIONS
from cli.demo.topic_audit import audit_topics
from tests.deadlines import Deadline
from tests.e2e.console_page import Page, running_console

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

NAMES = [preset.name for preset in presets()]
DAYS_UNTIL_TABLE = 3

T = TypeVar("T")


@pytest.fixture(scope="module")
def status(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackStatus]:
    with running_console(tmp_path_factory.mktemp("home")) as status:
        yield status


@pytest.fixture(scope="module")
def settings(status: StackStatus) -> Settings:
    return read_settings(status.environment)


@pytest.fixture
def page(status: StackStatus) -> Iterator[Page]:
    page = Page(status)
    with page.client:
        yield page


def post(page: Page, path: str, body: object = None) -> httpx.Response:
    return page.client.post(path, json=body, headers={"X-Cardwatch-Token": page.token}, timeout=60.0)


def offered_card(page: Page) -> str:
    return str(page.client.get("/api/send").raise_for_status().json()["cards"][0]["card_id"])


def built(page: Page, name: str, card: str) -> list[dict[str, Any]]:
    return page.client.get(f"/api/presets/{name}", params={"card": card}).raise_for_status().json()  # type: ignore[no-any-return]


def hops(page: Page, payments: list[dict[str, Any]]) -> list[dict[str, Any]]:
    answer = post(page, "/api/transactions", payments).raise_for_status()
    return [json.loads(line) for line in answer.text.splitlines()]


def command(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        env=child_environment(settings), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def awaited(what: str, read: Callable[[], T | None], seconds: float) -> T:
    """Return what `read` gives once it is not None."""
    deadline = Deadline(seconds)
    while (found := read()) is None:
        assert not deadline.has_passed(), f"{what}: not within {deadline.elapsed_seconds:.0f} s"
        time.sleep(0.2)
    return found


def decision(page: Page, hop: dict[str, Any]) -> dict[str, Any]:
    """Return the decision that a hop names, once the console has followed the topic to it."""
    address = f"/api/decisions/{hop['partition']}/{hop['offset']}"
    return awaited(  # type: ignore[no-any-return]
        "the console has read the decision",
        lambda: answer.json() if (answer := page.client.get(address, timeout=60.0)).is_success else None,
        10.0,
    )


@pytest.mark.parametrize("name", NAMES)
def test_each_preset_gets_one_decision_per_transaction_whose_contributions_add_up_to_the_margin(
    page: Page, name: str
) -> None:
    payments = built(page, name, offered_card(page))
    reached = hops(page, payments)
    assert reached[0]["hop"] == "acknowledged"
    assert reached[0]["records"] == len(payments)
    decided = [hop for hop in reached if hop["hop"] == "decided"]
    assert sorted(hop["transaction_id"] for hop in decided) == sorted(each["transaction_id"] for each in payments)
    assert all(hop["after_ms"] >= reached[0]["after_ms"] > 0 for hop in decided)
    for hop in decided:
        found = decision(page, hop)
        assert found["decision"]["transaction"]["transaction_id"] == hop["transaction_id"]
        assert "unexplained" not in found
        explained = found["explanation"]
        total = explained["expected_margin"] + sum(each["contribution"] for each in explained["contributions"])
        assert total == pytest.approx(found["decision"]["margin"], abs=1e-5)


def test_to_ask_writes_nothing(page: Page) -> None:
    [payment] = built(page, "genuine", offered_card(page))
    for _ in range(2):
        [preview] = post(page, "/api/previews", [payment]).raise_for_status().json()
        assert preview["transaction_id"] == payment["transaction_id"]
        assert preview["action"] in ("approve", "challenge", "decline")
        assert not preview["repeated"]  # as it would be if the first question had been sent


def test_the_command_does_what_the_page_does(page: Page, settings: Settings) -> None:
    card = offered_card(page)
    sent = command(settings, "send", "--preset", "account-takeover", "--card-id", card, "--hops", "--json")
    assert sent.returncode == 0, sent.stderr
    of_command = [json.loads(line)["transaction"] for line in sent.stdout.splitlines()]
    of_page = built(page, "account-takeover", card)
    same = ("card_id", "channel", "currency")
    assert [[each[name] for name in same] for each in of_command] == [[each[name] for name in same] for each in of_page]
    asked = command(settings, "send", "--preset", "account-takeover", "--card-id", card, "--ask-only")
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.startswith("transaction")


def test_a_transaction_that_breaks_the_contract_is_refused_with_the_field(page: Page) -> None:
    [payment] = built(page, "genuine", offered_card(page))
    answer = post(page, "/api/transactions", [{**payment, "country": "Germany"}])
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("$[0].country: ")
    assert page.client.post("/api/transactions", json=[payment]).status_code == 401


def test_a_label_set_on_the_page_reaches_the_next_reference_table(page: Page, settings: Settings) -> None:
    merchant = "m-labelled-on-the-page"
    [payment] = built(page, "genuine", offered_card(page))
    [hop] = [each for each in hops(page, [{**payment, "merchant_id": merchant}]) if each["hop"] == "decided"]
    decision(page, hop)
    place = {"partition": hop["partition"], "offset": hop["offset"]}
    label = post(page, "/api/labels", {**place, "is_fraud": True}).raise_for_status().json()
    assert (label["merchant_id"], label["is_fraud"], label["source"]) == (merchant, True, "investigator")
    observed = utc_day(datetime.fromisoformat(label["observed_at"]))
    tables = ReferenceTableStore(settings.tables)

    def known_frauds() -> list[float | None] | None:
        """Return cards with a known fraud at the merchant in the tables of the days after the label, oldest first."""
        days = [observed + timedelta(days=later) for later in range(1, DAYS_UNTIL_TABLE + 1)]
        of_days = [table for day in days if (table := tables.of_day(day)) is not None]
        found = [table.value(MERCHANT_SECTION, identity_hash(merchant), "fraud_cards") for table in of_days]
        return found if 1.0 in found or len(found) == DAYS_UNTIL_TABLE else None

    found = awaited("a table has the label", known_frauds, 240.0)
    assert found[-1] == 1.0
    assert len(found) <= 2, "the table after the day of the label, or the next one if that day was closing already"


def test_the_command_labels_what_the_page_no_longer_keeps(page: Page, settings: Settings) -> None:
    refused = post(page, "/api/labels", {"partition": 0, "offset": 1, "is_fraud": False})
    assert refused.status_code == 409
    assert "`cardwatch label 0:1 --genuine`" in refused.json()["error"]
    said = command(settings, "label", "0:1", "--genuine")
    assert said.returncode == 0, said.stderr
    assert " is labelled genuine, observed 2025-" in said.stdout


def test_dead_letters_are_shown_as_text_and_sent_again_if_they_are_valid(page: Page, settings: Settings) -> None:
    [payment] = built(page, "genuine", offered_card(page))
    script = {**payment, "merchant_id": "<script>alert(1)</script>", "country": "Germany"}
    misplaced = {**payment, "transaction_id": "misplaced", "occurred_at": datetime(2025, 1, 7, tzinfo=UTC).isoformat()}
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap})
    for record in (script, misplaced):
        producer.produce(TRANSACTIONS, json.dumps(record).encode(), b"a wrong key", 0)
    assert producer.flush(30) == 0

    def both() -> list[dict[str, Any]] | None:
        letters = page.client.get("/api/dead-letters", timeout=30.0).raise_for_status().json()["letters"]
        return letters if len(letters) >= 2 else None

    newest, before = awaited("both are rejected", both, 60.0)[:2]
    assert "<script>alert(1)</script>" in before["value"]
    assert before["obstacle"].startswith("it is still invalid")
    assert newest["obstacle"] is None
    place = "{partition}/{offset}"
    assert post(page, f"/api/dead-letters/{place.format(**before)}").status_code == 409
    assert post(page, f"/api/dead-letters/{place.format(**newest)}").status_code == 204
    shown = awaited(
        "the record is decided",
        lambda: found.stdout if not (found := command(settings, "decisions", "show", "misplaced")).returncode else None,
        60.0,
    )
    assert "misplaced" in shown


def test_after_all_that_nothing_is_lost_or_decided_twice(page: Page, settings: Settings) -> None:
    page.act("generator", "freeze")
    page.await_all_decided()
    audit = audit_topics(settings, {})
    assert (audit.lost, audit.duplicates) == (0, 0)
