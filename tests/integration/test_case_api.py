"""The case queue over real HTTP: what programs and the page can do, and requests that nobody should send."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, cast

import httpx
import pytest
import requests
import schemathesis
import uvicorn
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from prometheus_client import CollectorRegistry
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from adapters.archive.case_store import CaseStore
from adapters.archive.writer import ArchiveWriter, decision_row, transaction_row
from adapters.cases.desk import CaseDesk
from adapters.runtime.addresses import plain
from adapters.runtime.ports import LOOPBACK, free_ports
from adapters.scoring.api_keys import KeyRing, KeyScope, add_key, revoke_key
from cardwatch.cases.policy import CasePolicy
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.errors import BrokerUnavailable
from cardwatch.events import Action, Channel, Decision, Label, Transaction
from cardwatch.topics import DECISIONS, TRANSACTIONS
from services.console.broadcast import Broadcaster
from services.console.case_metrics import CaseKeeper, CaseMetrics
from services.console.case_routes import CaseRoutes
from services.console.guard import INVESTIGATOR_HEADER, TOKEN_HEADER, Guard
from services.console.page_file import Page
from services.console.routes import ConsoleRoutes
from tests.deadlines import until

NOON = datetime(2025, 1, 6, 12, tzinfo=UTC)
TOKEN = "the-token-of-this-test"  # noqa: S105
READ, WORK, SUPERVISE = KeyScope.CASES_READ, KeyScope.CASES_WORK, KeyScope.CASES_SUPERVISE
CASES = 40

documented = schemathesis.pytest.from_fixture("document")


class Api(NamedTuple):
    """A running console with nothing but cases, the labels that it has written, and its file of keys."""

    address: str
    written: list[Label]
    broker: list[str]
    keys: Path

    def call(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        """Ask with the token unless a key is given. `If_Match` and such are headers."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if not {"Authorization", TOKEN_HEADER} & given.keys():
            given[TOKEN_HEADER] = TOKEN
        return httpx.request(
            method, self.address + path, content=body if isinstance(body, bytes) else json.dumps(body).encode(),
            headers=given, trust_env=False, timeout=30,
        )  # fmt: skip

    def key(self, name: str, *scopes: KeyScope) -> str:
        """Return what a new key sends in `Authorization`."""
        secret, _ = add_key(self.keys, name=name, scopes=scopes, rate_per_second=None, created_at=NOON)
        return f"Bearer {plain(secret)}"


def decision(offset: int) -> Decision:
    paid = Transaction(
        transaction_id=f"t-{offset}", card_id="c", merchant_id="m", occurred_at=NOON, amount_minor=1_000 + offset,
        currency="EUR", merchant_category="5732", channel=Channel.ECOMMERCE, country="DE",
    )  # fmt: skip
    return Decision(
        transaction=paid, partition=0, offset=offset, sequence=1, features=[], feature_schema="s", table_id="t",
        model_version="1", policy_version="p", probability=0.5, action=Action.CHALLENGE, reasons=["DEVICE_IS_NEW"],
        decided_at=NOON, latency_ms=1.0,
    )  # fmt: skip


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    folder = tmp_path / "archive"
    writer = ArchiveWriter(folder)
    decided = [decision(offset) for offset in range(CASES)]
    writer.write(
        {
            TRANSACTIONS: [transaction_row(each.transaction, 0, each.offset) for each in decided],
            DECISIONS: [decision_row(each) for each in decided],
        },
        {},
    )
    writer.close()
    written, broker = list[Label](), list[str]()

    def write(label: Label) -> None:
        if broker:
            raise BrokerUnavailable(broker[0])
        written.append(label)

    desk = CaseDesk(
        CaseStore(folder), DecisionPolicy(), CasePolicy(capacity_per_day=10), write,
        lambda: NOON + timedelta(hours=1),
    )  # fmt: skip
    [port] = free_ports(1)
    absent, keys = cast("Any", None), tmp_path / "keys.json"
    guard = Guard({f"{LOOPBACK}:{port}"}, TOKEN, KeyRing("", keys))
    routes = ConsoleRoutes(
        guard, Page(b"<p>", "default-src 'none'"), Broadcaster(), absent, absent, absent, CaseRoutes(desk).endpoints()
    )
    config = uvicorn.Config(
        routes.application(), host=LOOPBACK, port=port, log_level="warning", lifespan="off", loop="asyncio"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    until("the server listens", lambda: server.started, 30.0)
    yield Api(f"http://{LOOPBACK}:{port}", written, broker, keys)
    server.should_exit = True
    thread.join(30)


def test_a_case_goes_from_the_queue_to_its_label(api: Api) -> None:
    page = api.call("GET", "/api/cases?limit=2").raise_for_status().json()
    assert [case["transaction_id"] for case in page["cases"]] == ["t-39", "t-38"]
    assert (page["total"], page["capacity_per_day"], page["counts"]["by_state"]["open"]) == (CASES, 10, CASES)
    anna = {INVESTIGATOR_HEADER: "%C3%84nna"}
    shown = api.call("GET", "/api/cases/0/39")
    assert shown.headers["etag"] == '"0"'
    taken = api.call("POST", "/api/cases/0/39/assign", {}, If_Match=shown.headers["etag"], **anna)
    assert (taken.json()["case"]["assignee"], taken.headers["etag"]) == ("\u00c4nna", '"1"')
    noted = api.call("POST", "/api/cases/0/39/notes", {"text": "no answer yet"}, If_Match='"1"', **anna)
    body = {"outcome": "fraud", "comment": "called"}
    decided = api.call("POST", "/api/cases/0/39/decision", body, If_Match=noted.headers["etag"], **anna)
    assert decided.status_code == 200
    assert (decided.json()["case"]["state"], decided.json()["case"]["outcome"]) == ("decided", "fraud")
    assert [action["kind"] for action in decided.json()["actions"]] == ["assign", "note", "decide", "confirm"]
    [label] = api.written
    assert (label.transaction_id, label.is_fraud, label.source.value) == ("t-39", True, "investigator")
    assert (label.effective_at, label.observed_at) == (NOON, NOON + timedelta(hours=1))
    again = api.call("POST", "/api/cases/0/39/decision", body, If_Match=noted.headers["etag"], **anna)
    assert (again.status_code, again.json(), len(api.written)) == (200, decided.json(), 1)
    assert api.call("GET", "/api/cases").json()["total"] == CASES - 1
    assert api.call("GET", "/api/cases?transaction=t-39").json()["cases"][0]["state"] == "decided"


def test_pages_are_the_whole_queue_once(api: Api) -> None:
    pages = [api.call("GET", f"/api/cases?limit=15&after={after}").json()["cases"] for after in (0, 15, 30, 45)]
    assert [len(page) for page in pages] == [15, 15, 10, 0]
    assert [case["offset"] for page in pages for case in page] == list(range(CASES - 1, -1, -1))
    beyond = api.call("GET", "/api/cases?capacity=beyond&limit=200").json()
    assert [case["offset"] for case in beyond["cases"]] == list(range(CASES - 11, -1, -1))


def test_two_people_who_saw_the_same_version_are_told_apart(api: Api) -> None:
    anna, ben = api.key("anna", READ, WORK), api.key("ben", READ, WORK)
    assert api.call("POST", "/api/cases/0/0/assign", {}, If_Match='"0"', Authorization=anna).status_code == 200
    lost = api.call("POST", "/api/cases/0/0/assign", {}, If_Match='"0"', Authorization=ben)
    assert (lost.status_code, "'anna' has acted on it" in lost.json()["error"]) == (412, True)
    newer = api.call("POST", "/api/cases/0/0/assign", {}, If_Match='"1"', Authorization=ben)
    assert (newer.status_code, "cases:supervise" in newer.json()["error"]) == (403, True)


@pytest.mark.parametrize(
    ("scopes", "listed", "taken", "given_away"),
    [
        ((), 403, 403, 403),
        ((READ,), 200, 403, 403),
        ((WORK,), 403, 200, 403),
        ((READ, WORK), 200, 200, 403),
        ((READ, WORK, SUPERVISE), 200, 200, 200),
        ((SUPERVISE,), 403, 403, 403),
    ],
    ids=str,
)
def test_a_key_may_do_what_its_scopes_say(
    api: Api, scopes: tuple[KeyScope, ...], listed: int, taken: int, given_away: int
) -> None:
    key = api.key("anna", KeyScope.SCORE, *scopes)
    assert api.call("GET", "/api/cases", Authorization=key).status_code == listed
    assert api.call("POST", "/api/cases/0/0/assign", {}, If_Match='"0"', Authorization=key).status_code == taken
    answer = api.call("POST", "/api/cases/0/1/assign", {"to": "ben"}, If_Match='"0"', Authorization=key)
    assert answer.status_code == given_away


def test_without_key_or_token_nothing_is_shown_and_a_revoked_key_ends(api: Api) -> None:
    for headers in ({TOKEN_HEADER: "wrong"}, {"Authorization": "Bearer wrong"}, {"Authorization": "\u00e4"}):
        answer = httpx.get(
            api.address + "/api/cases",
            headers=[(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
            trust_env=False,
        )
        assert answer.status_code == 401
    key = api.key("anna", READ)
    assert api.call("GET", "/api/cases", Authorization=key).status_code == 200
    revoke_key(api.keys, "anna")
    assert api.call("GET", "/api/cases", Authorization=key).status_code == 401
    assert httpx.get(api.address + "/api/cases.json", trust_env=False).status_code == 200


def test_pages_of_others_are_refused_even_with_a_key(api: Api) -> None:
    key = api.key("anna", READ)
    assert api.call("GET", "/api/cases", Authorization=key, Origin="http://evil.example").status_code == 403
    assert api.call("GET", "/api/cases", Authorization=key, Host="evil.example").status_code == 421


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/cases/0/99", 404),
        ("/api/cases/7/0", 404),
        ("/api/cases/0/" + "9" * 18, 404),
        ("/api/cases/0/" + "9" * 19, 404),
        ("/api/cases/-1/0", 404),
        ("/api/cases/0/0%00", 404),
        ("/api/cases/0/0/assign", 405),
        ("/api/cases?state=closed", 422),
        ("/api/cases?state=open&state=", 422),
        ("/api/cases?day=yesterday", 422),
        ("/api/cases?day=9999-99-99", 422),
        ("/api/cases?day=0001-01-01", 200),
        ("/api/cases?day=9999-12-31", 200),
        ("/api/cases?limit=0", 422),
        ("/api/cases?limit=201", 422),
        ("/api/cases?limit=" + "9" * 5_000, 422),
        ("/api/cases?after=-1", 422),
        ("/api/cases?after=\u0663", 422),
        ("/api/cases?after=999999999", 200),
        ("/api/cases?capacity=all", 422),
        ("/api/cases?overdue=maybe", 422),
        ("/api/cases?assigned=anna", 422),
        ("/api/cases?assignee=nobody", 200),
        ("/api/cases?transaction=%00", 422),
        ("/api/cases?transaction=%1b%5b2J", 422),
        ("/api/cases?transaction=" + "x" * 65, 422),
        ("/api/cases?transaction=%27%3B--", 200),
        ("/api/cases?transaction=%ff", 200),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_question_that_nobody_should_ask_is_answered(api: Api, path: str, status: int) -> None:
    answer = api.call("GET", path)
    assert answer.status_code == status, answer.text
    assert status == 200 or "error" in answer.json()


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("assign", b""),
        ("assign", b"[]"),
        ("assign", b'{"to": 5}'),
        ("assign", b'{"to": "a\\u0000b"}'),
        ("assign", b'{"to": "\\ud800"}'),
        ("assign", b'{"to": ""}'),
        ("assign", json.dumps({"to": "x" * 65}).encode()),
        ("assign", b'{"from": "anna"}'),
        ("release", b"null"),
        ("release", b'{"why": 1}'),
        ("notes", b"{}"),
        ("notes", b'{"text": ""}'),
        ("notes", b'{"text": "\\u001b[2J"}'),
        ("notes", b'{"text": "a\\u0000"}'),
        ("notes", json.dumps({"text": "x" * 2_001}).encode()),
        ("notes", b'{"text": "' + b"x" * 70_000 + b'"}'),
        ("notes", b"\xff"),
        ("notes", b"[" * 60_000),
        ("decision", b"{}"),
        ("decision", b'{"outcome": "maybe"}'),
        ("decision", b'{"outcome": true}'),
        ("decision", b'{"outcome": "fraud", "comment": null}'),
        ("decision", b'{"outcome": "fraud", "is_fraud": true}'),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_body_that_is_none_changes_nothing(api: Api, action: str, body: bytes) -> None:
    answer = api.call("POST", f"/api/cases/0/0/{action}", body, If_Match='"0"')
    assert answer.status_code == 422, answer.text
    assert api.call("GET", "/api/cases/0/0").json()["case"]["version"] == 0


@pytest.mark.parametrize(
    ("version", "status"),
    [("", 422), ("*", 422), ('"-1"', 422), ('W/"0"', 422), ('"' + "9" * 400 + '"', 422), ('"1"', 412), ("0", 200)],
)
def test_a_version_is_the_one_of_the_case(api: Api, version: str, status: int) -> None:
    assert api.call("POST", "/api/cases/0/0/assign", {}, If_Match=version).status_code == status


def test_a_change_without_a_version_is_refused(api: Api) -> None:
    assert api.call("POST", "/api/cases/0/0/assign", {}).status_code == 428


def test_states_that_forbid_a_change_are_told(api: Api) -> None:
    anna = api.key("anna", READ, WORK)
    undecided = api.call("POST", "/api/cases/0/0/decision", {"outcome": "fraud"}, If_Match='"0"', Authorization=anna)
    assert (undecided.status_code, api.written) == (409, [])
    assert api.call("POST", "/api/cases/0/0/release", {}, If_Match='"0"').status_code == 409


def test_a_name_that_nobody_can_have_is_refused(api: Api) -> None:
    for name in ("%00", "%0a", "", "x" * 65):
        assert api.call("GET", "/api/cases", **{INVESTIGATOR_HEADER: name}).status_code == 422


def test_a_broker_that_is_away_is_told_and_the_label_follows_when_it_is_back(api: Api) -> None:
    api.broker.append("nobody answers at broker:9092")
    body = {"outcome": "genuine"}
    away = api.call("POST", "/api/cases/0/0/decision", body, If_Match='"0"')
    assert (away.status_code, api.written) == (503, [])
    case = api.call("GET", "/api/cases/0/0").json()["case"]
    assert (case["state"], case["is_label_pending"]) == ("open", True)
    api.broker.clear()
    back = api.call("POST", "/api/cases/0/0/decision", body, If_Match='"0"')
    assert (back.status_code, back.json()["case"]["state"], len(api.written)) == (200, "decided", 1)


def test_many_at_once_leave_each_case_with_one_assignee(api: Api) -> None:
    people = [api.key(f"person {number}", READ, WORK) for number in range(6)]
    won: list[tuple[int, int]] = []

    def take_all(number: int) -> None:
        for offset in range(8):
            path = f"/api/cases/0/{offset}/assign"
            answer = api.call("POST", path, {}, If_Match='"0"', Authorization=people[number])
            assert answer.status_code in (200, 412), answer.text
            if answer.status_code == 200:
                won.append((offset, number))

    threads = [threading.Thread(target=take_all, args=(number,)) for number in range(len(people))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(offset for offset, _ in won) == list(range(8))
    for offset, number in won:
        assert api.call("GET", f"/api/cases/0/{offset}").json()["case"]["assignee"] == f"person {number}"


def test_a_body_that_never_ends_is_refused_before_all_of_it_is_read(api: Api) -> None:
    connection = http.client.HTTPConnection(api.address.removeprefix("http://"), timeout=30)
    connection.putrequest("POST", "/api/cases/0/0/notes")
    for name, value in ((TOKEN_HEADER, TOKEN), ("If-Match", '"0"'), ("Content-Length", str(10**12))):
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(b"x" * 70_000)
    assert connection.getresponse().status == 422
    connection.close()


@pytest.fixture
def document(api: Api) -> Any:
    config = schemathesis.Config.from_dict(
        {"seed": 1, "generation": {"deterministic": True, "database": "none", "max-examples": 40}}
    )
    found = httpx.get(f"{api.address}/api/cases.json", trust_env=False).json()
    return schemathesis.openapi.from_dict(found, config=config)


def test_the_document_is_openapi_3_1_and_answers_fit_it(api: Api) -> None:
    found = api.call("GET", "/api/cases.json").json()
    assert [str(error) for error in OpenAPIV31SpecValidator(found).iter_errors()] == []
    api.call("POST", "/api/cases/0/0/decision", {"outcome": "fraud"}, If_Match='"0"').raise_for_status()
    for name, path in (("CasePage", "/api/cases?state=open&state=decided"), ("CaseHistory", "/api/cases/0/0")):
        schema = {"$ref": f"#/components/schemas/{name}", "components": found["components"]}
        assert list(Draft202012Validator(schema).iter_errors(api.call("GET", path).json())) == []


@pytest.fixture(autouse=True)
def _as_before_pytest_9_2(request: pytest.FixtureRequest) -> None:
    """Restore an attribute of pytest's nodes that Schemathesis 4.32.5 requires."""
    request.node._nodeid = request.node.nodeid


@documented.parametrize()
def test_whatever_is_asked_the_answer_is_a_documented_one(case: Any, api: Api) -> None:
    with requests.Session() as session:
        session.trust_env = False
        response = case.call(base_url=api.address, session=session, headers={TOKEN_HEADER: TOKEN}, timeout=30)
    case.validate_response(response, checks=[not_a_server_error, status_code_conformance, response_schema_conformance])


def test_metrics_count_the_queue_and_finish_what_was_interrupted(api: Api, tmp_path: Path) -> None:
    registry, written = CollectorRegistry(), list[Label]()
    api.broker.append("away")
    api.call("POST", "/api/cases/0/0/decision", {"outcome": "fraud"}, If_Match='"0"')
    desk = CaseDesk(
        CaseStore(tmp_path / "archive"), DecisionPolicy(), CasePolicy(capacity_per_day=10), written.append,
        lambda: NOON + timedelta(days=2),
    )  # fmt: skip
    CaseKeeper(desk, CaseMetrics(registry)).count()
    assert [label.transaction_id for label in written] == ["t-0"]
    expected = {
        ("cardwatch_cases", "state", "open"): CASES - 1,
        ("cardwatch_cases", "state", "decided"): 1,
        ("cardwatch_cases_decided", "outcome", "fraud"): 1,
        ("cardwatch_cases_overdue", "capacity", "within"): 10,
        ("cardwatch_cases_overdue", "capacity", "beyond"): CASES - 11,
    }
    for (metric, label, value), number in expected.items():
        assert registry.get_sample_value(metric, {label: value}) == number, (metric, value)
    assert registry.get_sample_value("cardwatch_cases_labels_pending") == 0


def test_an_archive_that_is_away_is_no_end_of_the_counting(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    desk = CaseDesk(CaseStore(tmp_path), DecisionPolicy(), CasePolicy(), lambda _: None, lambda: NOON)
    keeper = CaseKeeper(desk, CaseMetrics(CollectorRegistry()))
    keeper.count()
    keeper.count()
    assert [record.message[:34] for record in caplog.records] == ["the case queue cannot be read: the"]
