"""The scoring service conforms to its OpenAPI document.

Schemathesis generates requests from the document of the running service: valid ones, ones that break one rule, ones
with a wrong method. The service must accept what the document allows, and refuse what it forbids. Every response must
have a documented status, content type, headers and body.
"""

from __future__ import annotations

import json
import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import numpy as np
import pytest
import requests
import schemathesis
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from adapters.scoring.api_keys import KeyScope, add_key
from adapters.scoring.wire_format import (
    ATTRIBUTES_HEADER,
    BINARY,
    CSV,
    DEADLINE_HEADER,
    JSON,
    MSGPACK,
    PER_ROW,
    REASONS_HEADER,
    ROW_TYPE,
    SCHEMA_HEADER,
    decode_scores,
)
from cardwatch.features.definitions import FEATURE_NAMES, SCHEMA_HASH
from models.training import FittedDetector

Case = Any
Stack = Any

SEED = 20_261_124
CASES = 150
SHAPE = len(FEATURE_NAMES)
UNKNOWN_HEADER = "x-schemathesis-unknown-property"

allowed_and_forbidden = schemathesis.pytest.from_fixture("document")
allowed_and_forbidden_at_the_edges = schemathesis.pytest.from_fixture("document_without_fuzzing")


@pytest.fixture(scope="module")
def service(
    stack: Stack, detectors: tuple[FittedDetector, FittedDetector], tmp_path_factory: pytest.TempPathFactory
) -> Stack:
    """A service with a champion."""
    stack.promote(detectors[0], tmp_path_factory.mktemp("models") / "champion")
    return stack


@pytest.fixture(scope="module")
def openapi(service: Stack) -> dict[str, Any]:
    return dict(httpx.get(f"{service.settings.scoring_url}/docs.json", trust_env=False).json())


@pytest.fixture(scope="module")
def document(openapi: dict[str, Any]) -> Any:
    return loaded(openapi, fuzzing=True)


@pytest.fixture(scope="module")
def document_without_fuzzing(openapi: dict[str, Any]) -> Any:
    return loaded(openapi, fuzzing=False)


def loaded(openapi: dict[str, Any], *, fuzzing: bool) -> Any:
    """Return the cases, which are the same in every run. A valid request must get 200."""
    config = schemathesis.Config.from_dict(
        {
            "seed": SEED,
            "generation": {
                "deterministic": True,
                "database": "none",
                "max-examples": CASES,
                "with-security-parameters": False,  # each test sends its keys
            },
            "phases": {"fuzzing": {"enabled": fuzzing}},
            "checks": {
                "positive_data_acceptance": {"expected-statuses": ["200"]},
                "negative_data_rejection": {"expected-statuses": ["400", "405", "409", "413", "415", "422"]},
            },
        }
    )
    return schemathesis.openapi.from_dict(openapi, config=config)


@pytest.fixture(scope="module")
def session(service: Stack) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def finite(width: int) -> st.SearchStrategy[float]:
    return st.floats(allow_nan=True, allow_infinity=False, width=width)


def rows_of(value: st.SearchStrategy[float]) -> st.SearchStrategy[list[list[float]]]:
    """Return one to three rows, each of few distinct values, so that they are generated quickly."""
    row = st.lists(value, min_size=1, max_size=4).map(lambda values: (values * SHAPE)[:SHAPE])
    return st.lists(row, min_size=1, max_size=3)


def csv_line(row: list[float]) -> str:
    return ",".join("" if np.isnan(value) else repr(value) for value in row)


schemathesis.openapi.media_type(CSV, rows_of(finite(32)).map(lambda rows: "\n".join(map(csv_line, rows)).encode()))
schemathesis.openapi.media_type(BINARY, rows_of(finite(32)).map(lambda rows: np.array(rows, ROW_TYPE).tobytes()))


@pytest.fixture(autouse=True)
def _as_before_pytest_9_2(request: pytest.FixtureRequest) -> None:
    """Restore an attribute of pytest's nodes that Schemathesis 4.32.5 requires."""
    request.node._nodeid = request.node.nodeid


@pytest.fixture
def statuses() -> Iterator[Counter[tuple[str, int]]]:
    """The number of responses by operation and status. Every operation must have been accepted and refused."""
    counted: Counter[tuple[str, int]] = Counter()
    yield counted
    operations = {operation for operation, _ in counted}
    assert {operation for operation in operations if not counted[operation, 200]} == set()
    assert {operation for operation in operations if not counted[operation, 405]} == set()
    assert {"POST /v1/score", "POST /v1/score/batch", "POST /v1/explain", "POST /v1/explain/features"} <= {
        operation for operation in operations if counted[operation, 422] >= 10
    }


@allowed_and_forbidden.parametrize()
def test_what_the_document_allows_is_accepted_and_what_it_forbids_refused(
    case: Case, service: Stack, session: requests.Session, statuses: Counter[tuple[str, int]]
) -> None:
    url = service.settings.scoring_url
    response = case.call(base_url=url, session=session, headers=service.key, timeout=30)
    statuses[case.operation.label, response.status_code] += 1
    case.validate_response(
        response,
        headers=service.key,
        transport_kwargs={"base_url": url, "session": session},
        excluded_checks=not_to_be_checked(case, response),
    )
    if response.status_code == 200:
        check_answer(case, response)


@allowed_and_forbidden_at_the_edges.parametrize()
def test_without_a_key_or_with_one_for_other_scopes_only_health_checks_respond(
    case: Case, service: Stack, session: requests.Session, keys_without: dict[str, dict[str, str]]
) -> None:
    url = service.settings.scoring_url
    scopes = case.operation.definition.raw.get("security")
    scope = scopes[0]["key"][0] if scopes else None
    for headers, refusal in (({}, 401), (keys_without[scope], 403)) if scope else (({}, 200),):
        response = case.call(base_url=url, session=session, headers=headers, timeout=30)
        case.validate_response(
            response,
            headers=headers,
            transport_kwargs={"base_url": url, "session": session},
            excluded_checks=[positive_data_acceptance, negative_data_rejection],
        )
        assert response.status_code == (refusal if case.method == case.operation.method.upper() else 405)


@pytest.fixture(scope="module")
def make_key(service: Stack, until: Callable[..., float]) -> Callable[..., dict[str, str]]:
    """Return headers with a new key that the service accepts."""

    def make(name: str, *scopes: KeyScope, rate_per_second: float | None = None) -> dict[str, str]:
        secret, _ = add_key(
            service.settings.keys_file,
            name=name,
            scopes=scopes,
            rate_per_second=rate_per_second,
            created_at=datetime(2026, 11, 24, tzinfo=UTC),
        )
        headers = {"Authorization": f"Bearer {secret}"}
        url = service.settings.scoring_url
        until(lambda: httpx.get(f"{url}/v1/model", headers=headers, trust_env=False).status_code != 401)
        return headers

    return make


@pytest.fixture(scope="module")
def keys_without(make_key: Callable[..., dict[str, str]]) -> dict[str, dict[str, str]]:
    """Headers by scope, with a key that has all other scopes."""
    return {
        scope.value: make_key(f"all but {scope.name}", *(other for other in KeyScope if other is not scope))
        for scope in KeyScope
    }


def not_to_be_checked(case: Case, response: Any) -> list[Any]:
    """Return the checks that do not apply, because only texts of the document express the rule."""
    if response.status_code == 503:
        allowed_ms = case.headers.get(DEADLINE_HEADER, "")
        came_too_late = response.json()["error"] == f"busy: there is no answer within {allowed_ms} ms"
        # After the deadline every request is refused.
        return [not_a_server_error, positive_data_acceptance, negative_data_rejection] if came_too_late else []
    if refused_beyond_schemas(case, response):
        return [positive_data_acceptance]
    # The body takes precedence: a header with another value is ignored.
    unread = says_schema_in_body(case) and case.headers.get(SCHEMA_HEADER, SCHEMA_HASH) != SCHEMA_HASH
    # Undocumented headers are valid in HTTP. Schemathesis ignores this beside a numeric header.
    unknown = UNKNOWN_HEADER in case.headers and case.meta.phase.data.description == "Object with unexpected properties"
    return [negative_data_rejection] if unread or unknown else []


def refused_beyond_schemas(case: Case, response: Any) -> bool:
    """Return whether a request that fits its schemas is refused for a rule that they cannot express."""
    if response.status_code not in (409, 422):
        return False
    said = response.json()
    error, field = said["error"], said.get("field", "")
    threshold = case.headers.get(REASONS_HEADER)
    return (
        # To JSON Schema 5000.0 is an integer.
        (field.endswith(".amount_minor") and error.endswith("Expected `int`, got `float`"))
        # Two lists of one length.
        or error == "$.reasons_above: one number, or one for each row"
        # At least one of three places.
        or (error.startswith("the rows have schema none") and not says_schema(case))
        # A header that goes with one kind of body.
        or (threshold == PER_ROW and case.media_type in (JSON, CSV) and error == f"{REASONS_HEADER} is not a number")
        or (threshold == PER_ROW and case.media_type == BINARY and "and a float64 threshold each" in error)
    )


def says_schema_in_body(case: Case) -> bool:
    return isinstance(case.body, dict) and case.body.get("feature_schema") == SCHEMA_HASH


def says_schema(case: Case) -> bool:
    return (
        says_schema_in_body(case)
        or SCHEMA_HEADER in case.headers
        or "feature-schema" in case.headers.get(ATTRIBUTES_HEADER, "")
    )


def check_answer(case: Case, response: Any) -> None:
    """Check that a response belongs to its request, which no schema expresses."""
    said = response.json() if response.headers["content-type"] == [JSON] else None
    match case.operation.path:
        case "/v1/score" | "/v1/explain":
            assert said["transaction_id"] == case.body["transaction_id"]
        case "/v1/score/batch":
            assert [answer["transaction_id"] for answer in said] == [asked["transaction_id"] for asked in case.body]
        case "/v1/explain/features":
            total = said["expected_margin"] + sum(one["contribution"] for one in said["contributions"])
            assert total == pytest.approx(said["margin"], abs=1e-4)
        case "/invocations":
            assert len(margins(response)) == number_of_rows(case)


def margins(response: Any) -> list[float]:
    content_type = response.headers["content-type"][0]
    if content_type == JSON:
        return list(response.json()["margins"])
    if content_type == CSV:
        return [float(line.split(",")[0]) for line in response.text.splitlines()]
    assert content_type == MSGPACK
    return decode_scores(response.content).margins.tolist()


def number_of_rows(case: Case) -> int:
    if case.media_type == JSON:
        return len(case.body["instances"])
    if case.media_type == CSV:
        return len(case.body.splitlines())
    return len(case.body) // (SHAPE * ROW_TYPE.itemsize)


def test_the_document_is_openapi_3_1(openapi: dict[str, Any]) -> None:
    assert openapi["openapi"] == "3.1.0"
    assert [str(error) for error in OpenAPIV31SpecValidator(openapi).iter_errors()] == []


def test_every_example_fits_its_schema(openapi: dict[str, Any]) -> None:
    shown = list(examples(openapi))
    assert len(shown) >= 25
    for where, schema, example in shown:
        assert problems(openapi, schema, example) == [], where


def test_every_request_shown_gets_exactly_the_answer_shown(openapi: dict[str, Any], service: Stack) -> None:
    compared = 0
    for path, operation in operations(openapi):
        for content_type, content in operation.get("requestBody", {}).get("content", {}).items():
            documented = operation["responses"]["200"]["content"].get(content_type, {}).get("examples", {})
            for name, shown in content.get("examples", {}).items():
                answer = service.post(
                    path, encoded(shown["value"]), **{"Content-Type": content_type, **headers(operation)}
                )
                assert answer.status_code == 200, answer.text
                assert (answer.json() if content_type == JSON else answer.text) == documented[name]["value"]
                compared += 1
    assert compared == 8  # two of /v1/score and of /v1/explain, one of each other


def test_the_page_and_the_document_promise_no_score_that_the_model_does_not_give(openapi: dict[str, Any]) -> None:
    shown = openapi["paths"]["/v1/score"]["post"]["responses"]["200"]["content"][JSON]["examples"]
    for name in ("online", "in a shop"):
        answer = shown[name]["value"]
        assert (answer["degraded"], answer["sequence"]) == (False, 0)
        assert answer["probability"] is not None


def operations(openapi: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in openapi["paths"].items():
        for operation in methods.values():
            yield path, operation


def examples(openapi: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Yield the location, the schema and the value of each example of a body."""
    contents = {f"refusal {status}": said["content"] for status, said in openapi["components"]["responses"].items()}
    for path, operation in operations(openapi):
        contents[f"{path} asked"] = operation.get("requestBody", {}).get("content", {})
        contents[f"{path} answered"] = operation["responses"]["200"]["content"]
    for where, content in contents.items():
        for content_type, said in content.items():
            for name, shown in said.get("examples", {}).items():
                yield f"{where} {content_type} {name}", said["schema"], shown["value"]


def problems(openapi: dict[str, Any], schema: dict[str, Any], value: Any) -> list[str]:
    whole = {**schema, "components": openapi["components"]}
    return [error.message for error in Draft202012Validator(whole).iter_errors(value)]


def encoded(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


def headers(operation: dict[str, Any]) -> dict[str, str]:
    """Return the documented headers that name the schema of rows and the threshold of reasons."""
    known = {parameter["name"]: parameter.get("example") for parameter in operation["parameters"]}
    return {name: known[name] for name in (SCHEMA_HEADER, REASONS_HEADER) if name in known}


def test_the_page_loads_nothing_from_other_servers(service: Stack) -> None:
    page = service.get("/").text + service.get("/page.js").text
    asked = re.findall(r'(?:src=|href=|url: |fetch\()"([^"]*)"', page)
    assert {"./docs.json", "./readyz", "./page.js", "./static_content/swagger-ui-bundle.js"} <= set(asked)
    assert [where for where in asked if not where.startswith(("./", "data:"))] == []
    assert {service.get(where.removeprefix(".")).status_code for where in asked if where.startswith("./")} == {200}
    assert "validatorUrl: null" in page  # else Swagger UI tells its own server where the document is


def test_every_error_response_equals_its_documented_example(
    openapi: dict[str, Any], service: Stack, make_key: Callable[..., dict[str, str]]
) -> None:
    shown = openapi["components"]["responses"]
    seen = set()
    for (status, name), answer in refusals(openapi, service, make_key).items():
        documented = shown[status]
        assert answer.status_code == int(status[:3]), name
        assert answer.json() == documented["content"][JSON]["examples"][name]["value"]
        for header, said in documented.get("headers", {}).items():
            value = int(answer.headers[header]) if said["schema"].get("type") == "integer" else answer.headers[header]
            assert problems(openapi, said["schema"], value) == []
        seen.add((status, name))
    # Those that a healthy service does not give.
    never = {("500", "error"), ("503", "no champion")}
    assert {
        (status, name) for status, said in shown.items() for name in said["content"][JSON]["examples"]
    } == seen | never


def refusals(
    openapi: dict[str, Any], service: Stack, make_key: Callable[..., dict[str, str]]
) -> dict[tuple[str, str], httpx.Response]:
    """Responses by status and name of the example that they must equal."""
    dashboard = make_key("dashboard", KeyScope.SCORE)
    shop = make_key("shop", KeyScope.SCORE, rate_per_second=100.0)
    [transaction, _] = openapi["paths"]["/v1/score"]["post"]["requestBody"]["content"][JSON]["examples"].values()
    asked = transaction["value"]
    body = encoded(asked)
    service.post("/v1/score/batch", encoded([asked] * 400), **shop)  # four seconds' worth
    return {
        ("400", "deadline"): service.post("/v1/score", body, **{DEADLINE_HEADER: "0"}),
        ("401", "none"): httpx.post(f"{service.settings.scoring_url}/v1/score", content=body, trust_env=False),
        ("401", "not valid"): service.post("/v1/score", body, Authorization="Bearer guess"),
        ("403", "scope"): service.post("/v1/explain", body, **dashboard),
        ("405-GET", "method"): service.post("/livez"),
        ("405-POST", "method"): service.get("/v1/score"),
        ("409", "schema"): service.post("/invocations", np.zeros(SHAPE, ROW_TYPE).tobytes()),
        ("413", "body"): service.post("/v1/score", body.ljust(16_385)),
        ("415", "type"): service.post("/invocations", body, **{"Content-Type": "text/plain"}),
        ("422", "range"): service.post("/v1/score", encoded({**asked, "amount_minor": -1})),
        ("422", "card number"): service.post("/v1/score", encoded({**asked, "card_id": "4111 1111 1111 1111"})),
        ("422", "not JSON"): service.post("/v1/score", body[:-1]),
        ("429", "rate"): service.post("/v1/score", body, **shop),
        ("503", "no time"): asked_slowly(service, body, deadline_ms=50),
    }


def asked_slowly(service: Stack, body: bytes, *, deadline_ms: int) -> httpx.Response:
    """Return the response to a request whose deadline passes before it is complete."""
    with socket.create_connection(service.address, timeout=10) as connection:
        connection.sendall(b"POST /v1/score HTTP/1.1\r\n")
        time.sleep(0.002 * deadline_ms)
        lines = (
            f"Host: test\r\nConnection: close\r\nContent-Length: {len(body)}\r\n{DEADLINE_HEADER}: {deadline_ms}\r\n"
            f"Authorization: {service.key['Authorization']}\r\n\r\n"
        )
        connection.sendall(lines.encode() + body)
        with connection.makefile("rb") as answer:
            head, _, content = answer.read().partition(b"\r\n\r\n")
    [status, *fields] = head.decode().split("\r\n")
    return httpx.Response(
        int(status.split()[1]), headers=[tuple(field.split(": ", 1)) for field in fields], content=content
    )
