"""`GET /v1/example`: a transaction of the stack that its model can score now, shown to callers with a key only."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec import structs

from adapters.archive.example_transaction import ExampleTransactionFile
from adapters.scoring.api_keys import KeyScope
from cardwatch.errors import StoreUnavailable
from cardwatch.events import Transaction
from cardwatch.features.columns import encode
from cardwatch.features.hashing import identity_hashes
from cardwatch.features.reference_builder import ReferenceBuilder
from cardwatch.features.reference_table import WINDOW_DAYS, ReferenceTable
from services.scoring.api.card_states import CardStateReader
from services.scoring.api.example import NOON_WITHOUT_TABLES
from tests.unit.services.scoring.worker import HISTORY, NOON, Service

LATEST = HISTORY[-1]
DAY_AFTER = LATEST.occurred_at.date() + timedelta(days=1)


def table_of(day: date) -> ReferenceTable:
    """A table with one merchant, valid from `day`."""
    builder = ReferenceBuilder()
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC) - timedelta(days=1)
    builder.add_transactions(encode([structs.replace(LATEST, occurred_at=noon)]), identity_hashes([LATEST.card_id]))
    return builder.build(day)


def archive(service: Service, transaction: Transaction) -> None:
    ExampleTransactionFile(service.tables.folder).write(transaction)


def example(service: Service, key: str | None = None) -> Any:
    reply = service.request("GET", "/v1/example", key=key or service.keys[KeyScope.SCORE])
    assert reply.status == 200, reply
    return reply.json


def sent(service: Service, transaction: Any) -> Any:
    """The answer to an example that is sent as it was received."""
    reply = service.request("POST", "/v1/score", msgspec.json.encode(transaction))
    assert reply.status == 200, reply
    return reply.json


def test_it_is_the_next_payment_of_a_card_of_the_stack_and_gets_a_score(service: Service) -> None:
    service.tables.put(table_of(DAY_AFTER))
    archive(service, LATEST)
    shown = example(service)["transaction"]
    assert (shown["card_id"], shown["merchant_id"]) == (LATEST.card_id, LATEST.merchant_id)
    assert datetime.fromisoformat(shown["occurred_at"]) == LATEST.occurred_at + timedelta(minutes=1)
    answer = sent(service, shown)
    assert (answer["degraded"], answer["repeated"]) == (False, False)
    assert answer["probability"] is not None
    assert answer["sequence"] == sum(transaction.card_id == LATEST.card_id for transaction in HISTORY)


def test_it_follows_the_card_when_its_state_is_newer_than_the_archive(service: Service) -> None:
    first = HISTORY[0]
    newest = max(one.occurred_at for one in HISTORY if one.card_id == first.card_id)
    assert newest > first.occurred_at
    archive(service, first)
    assert datetime.fromisoformat(example(service)["transaction"]["occurred_at"]) == newest + timedelta(minutes=1)


def test_without_the_store_it_follows_the_archived_transaction(service: Service) -> None:
    def hang() -> None:
        raise StoreUnavailable("the store does not answer")

    service.use_states(CardStateReader(hang, None, time.monotonic))  # type: ignore[arg-type]
    archive(service, LATEST)
    shown = example(service)["transaction"]
    assert datetime.fromisoformat(shown["occurred_at"]) == LATEST.occurred_at + timedelta(minutes=1)


def test_if_every_table_is_too_old_for_the_card_it_is_dated_by_the_newest_table(service: Service) -> None:
    old = LATEST.occurred_at.date() - timedelta(days=WINDOW_DAYS)
    service.tables.put(table_of(old))
    archive(service, LATEST)
    shown = example(service)
    assert datetime.fromisoformat(shown["transaction"]["occurred_at"]) == datetime(
        old.year, old.month, old.day, 12, tzinfo=UTC
    )
    assert "too old" in shown["about"]
    assert sent(service, shown["transaction"])["degraded"] is False


@pytest.mark.parametrize("stored", [None, b"{", b"{}", b'{"card_id": "4111 1111 1111 1111"}'])
def test_without_a_readable_archived_transaction_it_is_the_first_payment_of_a_new_card(
    service: Service, stored: bytes | None
) -> None:
    service.tables.put(table_of(date(2026, 5, 1)))
    if stored is not None:
        (service.tables.folder / "example.json").write_bytes(stored)
    shown = example(service)
    assert shown["transaction"]["occurred_at"] == "2026-05-01T12:00:00Z"
    assert "unknown to this service" in shown["about"]
    answer = sent(service, shown["transaction"])
    assert (answer["degraded"], answer["sequence"]) == (False, 0)


def test_without_any_table_and_transaction_the_example_is_scored_too(service: Service) -> None:
    shown = example(service)["transaction"]
    assert datetime.fromisoformat(shown["occurred_at"]) == NOON_WITHOUT_TABLES
    assert sent(service, shown)["degraded"] is False


def test_a_transaction_at_the_end_of_the_calendar_gives_an_example_that_is_accepted(service: Service) -> None:
    service.tables.put(table_of(DAY_AFTER))
    archive(service, msgspec.structs.replace(LATEST, occurred_at=datetime(9998, 12, 31, 23, 59, 59, tzinfo=UTC)))
    assert sent(service, example(service)["transaction"])["degraded"] is False


def test_a_damaged_table_does_not_hide_the_example(service: Service) -> None:
    service.tables.put(table_of(DAY_AFTER))
    [path] = service.tables.folder.iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    assert example(service)["transaction"]["card_id"] == "example-card-1"


def test_the_document_and_the_page_show_no_card_without_a_key(service: Service) -> None:
    service.tables.put(table_of(DAY_AFTER))
    archive(service, LATEST)
    for path in ("/docs.json", "/"):
        shown = service.request("GET", path, key=None)
        assert shown.status == 200
        for token in (LATEST.card_id, LATEST.merchant_id, LATEST.transaction_id):
            assert f'"{token}"'.encode() not in shown.body
    assert service.request("GET", "/v1/example", key=None).status == 401


def test_the_examples_of_the_document_follow_table_and_champion(service: Service) -> None:
    def shown() -> tuple[str, str, bool]:
        operation = service.request("GET", "/docs.json", key=None).json["paths"]["/v1/score"]["post"]
        [asked, _] = operation["requestBody"]["content"]["application/json"]["examples"].values()
        answer = operation["responses"]["200"]["content"]["application/json"]["examples"]["online"]["value"]
        assert sent(service, asked["value"]) == answer
        return asked["value"]["occurred_at"], answer["model_version"], answer["degraded"]

    first = service.manager.served.champion
    assert first is not None
    assert shown() == (f"{NOON_WITHOUT_TABLES:%Y-%m-%dT%H:%M:%SZ}", first.version.version, False)
    service.tables.put(table_of(date(2026, 4, 1)))
    assert shown() == ("2026-04-01T12:00:00Z", first.version.version, False)
    service.tables.put(table_of(NOON.date() + timedelta(days=100)))
    assert shown()[0] == f"{NOON.date() + timedelta(days=100)}T12:00:00Z"
