"""What the page is offered for sending, what it may ask, and what it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.types import Message

from adapters.runtime.settings import read_settings
from adapters.scoring.wire_format import ShownPreview
from cardwatch.errors import BrokerUnavailable, Misconfigured
from cardwatch.events import Action, Transaction
from cardwatch.live.frames import DecisionLine
from cardwatch.live.topic_state import TopicState
from cardwatch.simulation.settings import SimulationSettings
from services.console import sending
from services.console.answers import MAX_BODY_BYTES, GuardedEndpoint
from services.console.broadcast import Broadcaster
from services.console.feed import Feed
from services.console.guard import Guard
from services.console.labels import Labeller, LabelRequest
from services.console.letters import Letters
from services.console.page_file import Page
from services.console.record_routes import RecordRoutes
from services.console.routes import ConsoleRoutes
from services.console.sending import MAX_AT_ONCE, Hop, Sender

TOKEN = "the-token-of-this-test"  # noqa: S105
WORLD = SimulationSettings(seed=3, cards=200, merchants=300)
SETTINGS = read_settings({})
AT = datetime(2025, 3, 8, 14, tzinfo=UTC)


class Asked:
    """A scoring service that would decline everything."""

    def previews(self, transactions: list[Transaction]) -> list[ShownPreview]:
        return [
            ShownPreview(transaction_id=each.transaction_id, sequence=0, model_version="1", action=Action.DECLINE)
            for each in transactions
        ]  # fmt: skip


def seen(number: int, card: str) -> DecisionLine:
    return DecisionLine(
        partition=0, offset=number, transaction_id=f"t-{number}", card_id=card, occurred_at="2025-03-08T14:00:00Z",
        amount_minor=1, currency="EUR", channel="atm", action="approve", probability=None, degraded=False,
        latency_ms=1.0, reasons=[],
    )  # fmt: skip


@pytest.fixture
def state() -> TopicState:
    state = TopicState({}, 0.0)
    state.lines.extend([seen(1, "card-000001"), seen(2, "card-000002"), seen(3, "card-000002")])
    return state


class OpenedWriter:
    """A writer that is connected to nothing."""

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[OpenedWriter]:
    """The writers that were opened."""
    writers: list[OpenedWriter] = []

    def open_writer(*_: object) -> OpenedWriter:
        writers.append(OpenedWriter())
        return writers[-1]

    monkeypatch.setattr(sending, "delivery_writer", open_writer)
    return writers


@pytest.fixture
def sender(state: TopicState, opened: list[OpenedWriter]) -> Iterator[Sender]:
    with closing(Sender(SETTINGS, state, Asked(), WORLD)) as sender:  # type: ignore[arg-type]
        yield sender


@pytest.fixture
def application(state: TopicState, sender: Sender) -> Starlette:
    records = RecordRoutes(sender, Labeller(SETTINGS, state), Letters(SETTINGS))
    feed = Feed(None, state, Broadcaster())  # type: ignore[arg-type]
    guard = Guard({"console:80"}, TOKEN)
    routes = ConsoleRoutes(guard, Page(b"", ""), Broadcaster(), feed, None, None, records.endpoints())  # type: ignore[arg-type]
    return routes.application()


def ask(application: Starlette, method: str, path: str, body: bytes = b"", token: str = TOKEN) -> tuple[int, Any]:
    """Return status and JSON of an answer."""
    path, _, query = path.partition("?")
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode(),
        "headers": [(b"host", b"console:80"), (b"x-cardwatch-token", token.encode())],
    }  # fmt: skip
    sent: list[Message] = []

    async def run() -> None:
        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        await application(scope, receive, send)

    asyncio.run(run())
    content = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], json.loads(content) if content else None


def test_cards_that_were_seen_lately_are_offered_with_the_event_time(application: Starlette) -> None:
    status, offers = ask(application, "GET", "/api/send")
    assert status == 200
    assert offers["cards"] == [
        {"card_id": "card-000002", "decisions": 2},
        {"card_id": "card-000001", "decisions": 1},
    ]
    assert offers["at"] == "2025-03-08T14:00:00Z"
    assert len(offers["presets"]) == 12


def test_a_preset_happens_at_the_event_time_with_new_ids_each_time(application: Starlette) -> None:
    status, [payment] = ask(application, "GET", "/api/presets/genuine?card=card-000001")
    _, [again] = ask(application, "GET", "/api/presets/genuine?card=card-000001")
    assert (status, payment["card_id"], payment["occurred_at"]) == (200, "card-000001", "2025-03-08T14:00:00Z")
    assert payment.pop("transaction_id") != again.pop("transaction_id")
    assert payment == again


def test_the_writer_is_opened_once_when_a_preset_is_looked_at(
    application: Starlette, opened: list[OpenedWriter]
) -> None:
    for _ in range(2):
        assert ask(application, "GET", "/api/presets/genuine?card=card-000002")[0] == 200
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/api/presets/robbery?card=c", 409, "there is no preset 'robbery'"),
        ("/api/presets/genuine", 409, "a preset needs a card"),
        ("/api/presets/genuine?card=c&at=noon", 422, "'noon' is no time with an offset"),
        ("/api/presets/genuine?card=c&at=1500-01-01T00:00:00Z", 422, "lies outside of 1970"),
        ("/api/presets/genuine?card=c&seed=-1", 422, "'-1' is no number"),
    ],
)
def test_a_preset_that_cannot_be_built_says_why(application: Starlette, path: str, status: int, said: str) -> None:
    found, answer = ask(application, "GET", path)
    assert found == status
    assert said in answer["error"]


def test_a_question_is_answered_without_sending_anything(application: Starlette) -> None:
    _, payments = ask(application, "GET", "/api/presets/card-testing?card=card-000001")
    status, answers = ask(application, "POST", "/api/previews", json.dumps(payments).encode())
    assert status == 200
    assert [each["transaction_id"] for each in answers] == [each["transaction_id"] for each in payments]


@pytest.mark.parametrize("path", ["/api/previews", "/api/transactions", "/api/labels", "/api/dead-letters/0/1"])
def test_nothing_is_taken_without_the_token(application: Starlette, path: str) -> None:
    assert ask(application, "POST", path, b"[]", token="wrong")[0] == 401  # noqa: S106


@pytest.mark.parametrize("path", ["/api/previews", "/api/transactions"])
@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b"nonsense", b'[{"transaction_id":"t"}]', b" " * (MAX_BODY_BYTES + 1)]
)
def test_what_is_no_list_of_transactions_is_refused(application: Starlette, path: str, body: bytes) -> None:
    status, answer = ask(application, "POST", path, body)
    assert status == 422
    assert answer["error"]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"partition":0,"offset":1,"is_fraud":"yes"}'])
def test_what_is_no_label_is_refused(application: Starlette, body: bytes) -> None:
    assert ask(application, "POST", "/api/labels", body)[0] == 422


def test_a_label_of_an_older_decision_names_the_command(state: TopicState) -> None:
    with pytest.raises(Misconfigured, match="type `cardwatch label 2:17 --fraud`"):
        Labeller(SETTINGS, state).label(LabelRequest(partition=2, offset=17, is_fraud=True))


def test_a_broker_that_is_away_ends_the_hops_with_the_reason(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_arguments: object) -> None:
        raise BrokerUnavailable("no broker answers")

    monkeypatch.setattr(sending, "Delivery", away)
    [payment] = sender.preset("genuine", "card-000001", AT, 0)
    for _ in range(MAX_AT_ONCE + 1):  # a delivery that has ended makes room for another one
        [line] = sender.send([payment])
        assert json.loads(line) == {"hop": "failed", "reason": "no broker answers"}


def test_only_a_few_deliveries_are_watched_at_a_time(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sender, "_hops", lambda *_arguments: iter([Hop(hop="acknowledged"), Hop(hop="unanswered")]))
    [payment] = sender.preset("genuine", "card-000001", AT, 0)
    watched = [sender.send([payment]) for _ in range(MAX_AT_ONCE)]
    assert [json.loads(next(each))["hop"] for each in watched] == ["acknowledged"] * MAX_AT_ONCE
    [refusal] = sender.send([payment])
    assert "4 deliveries are being watched already" in json.loads(refusal)["reason"]
    watched.pop()  # its page was closed
    assert json.loads(next(sender.send([payment])))["hop"] == "acknowledged"


def test_a_hop_leaves_out_what_it_has_not() -> None:
    assert json.loads(msgspec.json.encode(Hop(hop="acknowledged", after_ms=3.1, records=2))) == {
        "hop": "acknowledged", "after_ms": 3.1, "records": 2,
    }  # fmt: skip


def test_every_endpoint_of_records_has_a_method_of_its_own(sender: Sender, state: TopicState) -> None:
    endpoints = RecordRoutes(sender, Labeller(SETTINGS, state), Letters(SETTINGS)).endpoints()
    assert len({(each.path, each.method) for each in endpoints}) == len(endpoints) == 7
    assert all(isinstance(each, GuardedEndpoint) for each in endpoints)
