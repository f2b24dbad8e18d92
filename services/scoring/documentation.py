"""What the service says about itself: `/docs.json` (OpenAPI 3.1) and the page at `/` to try it.

The schemas come from the very types that are decoded and encoded. The page uses the Swagger UI that BentoML brings
along, without what BentoML's own page loads from other people's servers.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

from adapters.scoring_wire import ATTRIBUTES_HEADER, CSV, DEADLINE_HEADER, JSON, MSGPACK, REASONS_HEADER, SCHEMA_HEADER
from adapters.scoring_wire import BINARY as BINARY_TYPE
from cardwatch.events import Transaction
from cardwatch.features.table import FEATURE_NAMES, SCHEMA_HASH
from services.scoring.admission import LONGEST_DEADLINE_MS
from services.scoring.explanation import Explanation
from services.scoring.http import Answer as HttpAnswer
from services.scoring.http import Endpoint, Request, json_answer
from services.scoring.model_holder import Status
from services.scoring.question import Answer

TRANSACTION: Final = {
    "transaction_id": "t-2026-000001",
    "card_id": "card-00000042",
    "merchant_id": "merchant-000007",
    "occurred_at": "2026-11-24T12:00:00Z",
    "amount_minor": 129_900,
    "currency": "EUR",
    "merchant_category": "5732",
    "channel": "ecommerce",
    "country": "DE",
    "device_id": "device-000003",
}
ANSWER: Final = {
    "transaction_id": "t-2026-000001",
    "sequence": 17,
    "table_id": "0f343b0931126a20f133d67c2b018a3b",
    "model_version": "3",
    "model_digest": "5f8c3b6c2a6f4f6ab1f6f0d1e9c7b8a5d4e3f2a1b0c9d8e7f6a5b4c3d2e1f0a9",
    "policy_version": "d2fd5f0e7a1b",
    "margin": 1.8125,
    "probability": 0.72,
    "action": "challenge",
    "reasons": ["AMOUNT_UNUSUAL", "NEW_MERCHANT"],
    "degraded": False,
    "degraded_reason": None,
    "repeated": False,
}
ROW: Final = [None, *([0.0] * (len(FEATURE_NAMES) - 1))]
PAGE: Final = Path(__file__).parent / "page.html"
_ERROR: Final = {"$ref": "#/components/schemas/Error"}
_COMPONENTS: Final = "#/components/schemas/{name}"

_REFUSALS: Final = {
    "400": "A header cannot be used, or the connection broke before the request was whole.",
    "401": "There is no API key, or it is not valid.",
    "403": "The API key does not have the scope that this call needs.",
    "405": "The path takes another method.",
    "409": "The rows were made under another feature schema than the model's.",
    "413": "The body or the number of records is larger than this call takes.",
    "415": "The content type is not one that this call takes.",
    "422": "The body breaks its contract; `field` is the path of the first field that does.",
    "429": "The API key has used up its rate. `Retry-After` says when to come again.",
    "500": "An error of the service. Nothing that was sent is logged.",
    "503": "No champion, no store, or no time: decide by your own rules. `Retry-After` says when to come again.",
}


def documentation() -> dict[tuple[str, str], Endpoint]:
    """The endpoints of these two, by method and path."""
    return {("GET", "/docs.json"): _docs, ("GET", "/"): _page}


async def _docs(_: Request) -> HttpAnswer:
    return json_answer(openapi())


async def _page(_: Request) -> HttpAnswer:
    return HttpAnswer(_page_bytes(), content_type=b"text/html; charset=utf-8")


@cache
def _page_bytes() -> bytes:
    return PAGE.read_bytes()


@cache
def openapi() -> dict[str, Any]:
    """The OpenAPI document."""
    kinds = [Transaction, Answer, Explanation, Status]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_COMPONENTS)
    names = dict(zip(("Transaction", "Answer", "Explanation", "Status"), schemas, strict=True))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Cardwatch scoring",
            "version": "1",
            "description": "Card-fraud scores: a question about a transaction, or the model alone for feature rows. "
            "Stateless and read-only: the decision of record is the stream's.",
        },
        "components": {
            "schemas": {**components, **_own_schemas()},
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "An API key: `cardwatch keys add`."}
            },
        },
        "paths": {
            "/v1/score": {"post": _ask("What would be decided about one transaction", "score", names, one=True)},
            "/v1/score/batch": {"post": _ask("The same for several, in their order", "score", names, one=False)},
            "/v1/explain": {"post": _explain_transaction(names)},
            "/v1/explain/features": {"post": _explain_features(names)},
            "/invocations": {"post": _invocations()},
            "/v1/model": {"get": _status("What is served, and what was refused", names)},
            "/v1/reload": {"post": _status("Follow the registry's aliases now", names)},
            "/ping": {"get": _ready("Ready to score, as SageMaker asks")},
            "/readyz": {"get": _ready("Ready to score")},
            "/livez": {"get": _open("The process answers", {"200": _json("It does.", _state("alive"))})},
        },
    }


def _own_schemas() -> dict[str, Any]:
    values = {"type": "array", "items": {"type": ["number", "null"]}}
    row = {**values, "minItems": len(FEATURE_NAMES), "maxItems": len(FEATURE_NAMES)}
    numbers = {"type": "array", "items": {"type": "number"}}
    text = {"type": "string"}
    scored = {"model_version": text, "model_digest": text, "margins": numbers, "probabilities": numbers}
    return {
        "Error": {
            "type": "object",
            "required": ["error"],
            "properties": {"error": text, "field": text},
        },
        "Row": {
            **row,
            "description": f"A number for each feature, null where missing, in this order: {', '.join(FEATURE_NAMES)}",
        },
        "Rows": {
            "type": "object",
            "required": ["instances"],
            "additionalProperties": False,
            "properties": {
                "instances": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Row"}},
                "feature_schema": {"const": SCHEMA_HASH},
                "reasons_above": {
                    "anyOf": [{"type": "number"}, numbers, {"type": "null"}],
                    "description": "From which probability on a row gets reasons; one number, or one for each row.",
                },
            },
        },
        "RecordedRow": {
            "type": "object",
            "required": ["feature_schema", "features"],
            "properties": {
                "feature_schema": {"const": SCHEMA_HASH},
                "features": {"$ref": "#/components/schemas/Row"},
            },
        },
        "Scores": {
            "type": "object",
            "required": [*scored, "reasons", "shadow"],
            "properties": {
                **scored,
                "reasons": {"type": "array", "items": {"type": "array", "items": text}},
                "shadow": {
                    "anyOf": [{"type": "object", "required": list(scored), "properties": scored}, {"type": "null"}],
                    "description": "The same by the challenger, if there is one. Nobody decides by it.",
                },
            },
        },
    }


def _ask(summary: str, scope: str, names: dict[str, Any], *, one: bool) -> dict[str, Any]:
    body, answer = names["Transaction"], names["Answer"]
    example: Any = TRANSACTION
    answered: Any = ANSWER
    if not one:
        body = {"type": "array", "items": body, "minItems": 1, "maxItems": 500}
        answer = {"type": "array", "items": answer}
        example, answered = [TRANSACTION], [ANSWER]
    return {
        **_keyed(summary, scope),
        "requestBody": _body({JSON: {"schema": body, "example": example}}),
        "parameters": [_deadline()],
        "responses": {
            "200": _json("What would be decided; see `degraded` for what the rules decided alone.", answer, answered),
            **_refused("400", "413", "422", "429"),
        },
    }


def _explain_transaction(names: dict[str, Any]) -> dict[str, Any]:
    return {
        **_keyed("Why a transaction would be scored as it would be", "explain"),
        "requestBody": _body({JSON: {"schema": names["Transaction"], "example": TRANSACTION}}),
        "parameters": [_deadline()],
        "responses": {
            "200": _json("Exact contributions and reasons in words.", names["Explanation"]),
            **_refused("400", "413", "422", "429"),
        },
    }


def _explain_features(names: dict[str, Any]) -> dict[str, Any]:
    example = {"feature_schema": SCHEMA_HASH, "features": ROW}
    return {
        **_keyed("Why a recorded decision's features are scored as they are", "explain"),
        "requestBody": _body({JSON: {"schema": {"$ref": "#/components/schemas/RecordedRow"}, "example": example}}),
        "parameters": [_deadline()],
        "responses": {
            "200": _json("Exact contributions and reasons in words.", names["Explanation"]),
            **_refused("400", "409", "413", "422", "429"),
        },
    }


def _invocations() -> dict[str, Any]:
    example = {"feature_schema": SCHEMA_HASH, "instances": [ROW], "reasons_above": 0.5}
    bodies = {
        JSON: {"schema": {"$ref": "#/components/schemas/Rows"}, "example": example},
        CSV: {"schema": {"type": "string", "description": "A line for each row, no heading, empty where missing."}},
        BINARY_TYPE: {
            "schema": {
                "type": "string",
                "format": "binary",
                "description": f"Rows of {len(FEATURE_NAMES)} little-endian float32, NaN where missing; after them, if "
                f"`{REASONS_HEADER}` is `per-row`, a little-endian float64 for each.",
            }
        },
    }
    return {
        **_keyed("Feature rows to scores", "score"),
        "requestBody": _body(bodies),
        "parameters": [
            _deadline(),
            _header(
                SCHEMA_HEADER, "The feature schema of the rows, if it is not in a JSON body.", {"const": SCHEMA_HASH}
            ),
            _header(
                REASONS_HEADER,
                "From which probability on rows get reasons; `per-row`: see the binary body.",
                {"anyOf": [{"type": "number"}, {"const": "per-row"}]},
            ),
            _header(
                ATTRIBUTES_HEADER,
                "Both of these, for callers of a SageMaker endpoint.",
                {"const": f"feature-schema={SCHEMA_HASH}; reasons-above=0.5"},
            ),
        ],
        "responses": {
            "200": {
                "description": "A score for each row, in the type of the request, or of `Accept`.",
                "content": {
                    JSON: {"schema": {"$ref": "#/components/schemas/Scores"}},
                    CSV: {"schema": {"type": "string"}},
                    MSGPACK: {"schema": {"type": "string", "format": "binary"}},
                },
            },
            **_refused("400", "409", "413", "415", "422", "429"),
        },
    }


def _status(summary: str, names: dict[str, Any]) -> dict[str, Any]:
    return {**_keyed(summary, "admin"), "responses": {"200": _json("It is this.", names["Status"]), **_refused()}}


def _ready(summary: str) -> dict[str, Any]:
    responses = {"200": _json("A champion is served.", _state("ready")), "503": _refused()["503"]}
    return _open(summary, responses)


def _open(summary: str, responses: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summary, "security": [], "responses": {**responses, **_only("405", "500")}}


def _keyed(summary: str, scope: str) -> dict[str, Any]:
    return {"summary": summary, "description": f"Needs a key with the scope `{scope}`.", "security": [{"key": []}]}


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": content}


def _deadline() -> dict[str, Any]:
    most = {"type": "integer", "minimum": 1, "maximum": LONGEST_DEADLINE_MS}
    return _header(DEADLINE_HEADER, "How many milliseconds an answer is of use to you.", most)


def _header(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


def _json(description: str, schema: dict[str, Any], example: object = None) -> dict[str, Any]:
    content = {"schema": schema} if example is None else {"schema": schema, "example": example}
    return {"description": description, "content": {JSON: content}}


def _state(name: str) -> dict[str, Any]:
    return {"type": "object", "required": ["status"], "properties": {"status": {"const": name}}}


def _refused(*further: str) -> dict[str, Any]:
    return _only("401", "403", "405", "500", "503", *further)


def _only(*statuses: str) -> dict[str, Any]:
    examples = {"422": {"error": "$.amount_minor: Expected `int` >= 0", "field": "$.amount_minor"}}
    return {
        status: _json(_REFUSALS[status], _ERROR, examples.get(status, {"error": _REFUSALS[status]}))
        for status in sorted(statuses)
    }
