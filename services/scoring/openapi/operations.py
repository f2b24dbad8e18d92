"""The operations of the OpenAPI document, as one table: request, response, and possible errors of each."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from adapters.scoring.wire_format import (
    ATTRIBUTES_HEADER,
    BINARY,
    CSV,
    DEADLINE_HEADER,
    IDS_HEADER,
    JSON,
    MAX_IDS,
    MSGPACK,
    PER_ROW,
    REASONS_HEADER,
    SCHEMA_HEADER,
)
from cardwatch.features.definitions import FEATURE_NAMES, SCHEMA_HASH
from services.scoring.api.endpoints import (
    MAX_BATCH_BYTES,
    MAX_FEATURES_BYTES,
    MAX_TRANSACTION_BYTES,
    MAX_TRANSACTIONS,
)
from services.scoring.api.invocations import MAX_ROWS
from services.scoring.http.admission import MAX_DEADLINE_MS
from services.scoring.openapi.examples import ERRORS, REASONS_ABOVE, STATUS, DocumentExamples
from services.scoring.openapi.schemas import Schema, object_of, ref

SCORE: Final = "Score"
EXPLAIN: Final = "Explain"
ROWS: Final = "Rows"
OPERATIONS: Final = "Operations"

_ERRORS: Final = {
    "400": "A header is invalid, or the connection broke before the end of the request.",
    "401": "There is no API key, or it is not valid.",
    "403": "The API key does not have the scope that this call needs.",
    "405": "The path takes another method; `Allow` names it.",
    "409": "The rows were computed under another feature schema than the model's, or do not name their schema.",
    "413": "The body or the number of rows is larger than this call takes; after a large body the connection closes.",
    "415": "The content type is not one that this call takes.",
    "422": "The body does not fit its schema; `field` is the path of the first field that does not.",
    "429": "The API key has used up its rate.",
    "500": "An internal error. Nothing that was sent is logged.",
    "503": "No champion, no store, or no time: decide by your own rules.",
}
_BODY_ERRORS: Final = ("400", "413", "422", "429", "503")
"""Possible errors of a call with a body."""


class Operation(NamedTuple):
    """A call. `scope`: that of the key, "" if no key is needed. `body`: media types by content type, None for no body.

    `errors`: statuses in addition to 405, 500, with a scope 401 and 403, and with a body `_BODY_ERRORS`.
    """

    method: str
    path: str
    id: str
    tag: str
    summary: str
    response: Schema
    scope: str = ""
    about: str = ""
    body: Schema | None = None
    headers: tuple[Schema, ...] = ()
    errors: tuple[str, ...] = ()


def paths(examples: DocumentExamples) -> dict[str, Any]:
    """Return all operations by path and method, in the order in which they are displayed."""
    return {operation.path: {operation.method.lower(): _described(operation)} for operation in _operations(examples)}


def _operations(examples: DocumentExamples) -> list[Operation]:
    transaction = {JSON: _media(ref("Transaction"), {"online": examples.online, "in a shop": examples.in_a_shop})}
    transactions = {"type": "array", "items": ref("Transaction"), "minItems": 1, "maxItems": MAX_TRANSACTIONS}
    recorded = {"feature_schema": SCHEMA_HASH, "features": examples.row}
    answers = examples.by_model
    status = _json("The model status.", ref("ModelStatus"), {"served": STATUS})
    ready = _json("Ready.", object_of(status={"const": "ready"}))
    alive = _json("Alive.", object_of(status={"const": "alive"}))
    return [
        Operation(
            "POST", "/v1/score", "score", SCORE, "Preview the decision about a transaction",
            _json(
                "If `degraded`, the rules decided.",
                ref("Preview"),
                {"online": examples.previews[0], "in a shop": examples.previews[1], "by the rules": examples.by_rules},
            ),
            scope="score",
            about=f"At most {MAX_TRANSACTION_BYTES:,} bytes. The cards in the examples are new ones; `GET /v1/example`"
            " returns a payment of a card that this service knows.",
            body=transaction,
        ),
        Operation(
            "POST", "/v1/score/batch", "score_batch", SCORE, "Preview the decisions about several transactions",
            _json(
                "One preview for each transaction, in their order.",
                {"type": "array", "items": ref("Preview")},
                {"two": examples.previews},
            ),
            scope="score",
            about=f"1 to {MAX_TRANSACTIONS} in one request of at most {MAX_BATCH_BYTES:,} bytes. All are scored by the"
            " same model, or all are rejected. A card's state includes its earlier transactions in the batch.",
            body={JSON: _media(transactions, {"two": [examples.online, examples.in_a_shop]})},
        ),
        Operation(
            "GET", "/v1/example", "example", SCORE, "Get a transaction for a first request",
            _json("A body for the other calls.", ref("ExampleRequest"), {"a new card": examples.example}),
            scope="score",
            about="A transaction of this service's own cards, merchants and days, which its model can score now."
            " `about` says what its score means.",
            errors=("400", "429", "503"),
        ),
        Operation(
            "POST", "/v1/explain", "explain", EXPLAIN, "Explain the score that a transaction would get",
            _json(
                "The explanation.",
                ref("Explanation"),
                {"online": answers.explanation, "in a shop": answers.second_explanation} if answers else None,
            ),
            scope="explain",
            about="A transaction that the card's state includes already is rejected with 422.",
            body=transaction,
        ),
        Operation(
            "POST", "/v1/explain/features", "explain_features", EXPLAIN, "Explain the score of a recorded decision",
            _json("The explanation.", ref("Explanation"), {"online": answers.row_explanation} if answers else None),
            scope="explain",
            about=f"At most {MAX_FEATURES_BYTES:,} bytes. The explanation is that of the model that is served now.",
            body={JSON: _media(ref("RecordedRow"), {"online": recorded})},
            errors=("409",),
        ),
        Operation(
            "POST", "/invocations", "invocations", ROWS, "Score feature rows",
            {
                "description": "A score for each row: in the first type of `Accept` that is one of these, else JSON for"
                " JSON, CSV for CSV and MessagePack for binary rows.",
                "content": _score_types(examples),
            },
            scope="score",
            about=f"1 to {MAX_ROWS:,} rows; the schema `Row` lists their features. The request must name the feature"
            f" schema of the rows, in the body, in `{SCHEMA_HEADER}` or in `{ATTRIBUTES_HEADER}`. The first of these is"
            " used.",
            body=_row_types(examples),
            headers=_row_headers(),
            errors=("409", "415"),
        ),
        Operation("GET", "/v1/model", "model", OPERATIONS, "Show served and refused versions", status, scope="admin"),
        Operation("POST", "/v1/reload", "reload", OPERATIONS, "Follow the aliases now", status, scope="admin"),
        Operation("GET", "/readyz", "readyz", OPERATIONS, "Readiness: a champion is served", ready, errors=("503",)),
        Operation("GET", "/ping", "ping", OPERATIONS, "Readiness, for SageMaker", ready, errors=("503",)),
        Operation("GET", "/livez", "livez", OPERATIONS, "The process responds", alive),
    ]  # fmt: skip


def _described(operation: Operation) -> Schema:
    scope, deadline_ms = operation.scope, {"type": "integer", "minimum": 1, "maximum": MAX_DEADLINE_MS}
    deadline = _header(DEADLINE_HEADER, "After how many milliseconds a response is useless to you.", deadline_ms)
    key_errors, body_errors = ("401", "403") if scope else (), _BODY_ERRORS if operation.body else ()
    statuses = sorted({"405", "500", *operation.errors, *key_errors, *body_errors})
    access = f"Needs a key with the scope `{scope}`." if scope else "Needs no key."
    described: Schema = {
        "tags": [operation.tag],
        "operationId": operation.id,
        "summary": operation.summary,
        "description": f"{access} {operation.about}".strip(),
        "security": [{"key": [scope]}] if scope else [],
        "responses": {"200": operation.response}
        | {status: _error_ref(status, operation.method) for status in statuses},
    }
    if "400" in statuses:  # the call has a deadline
        described["parameters"] = [deadline, *operation.headers]
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": operation.body}
    return described


def error_responses() -> dict[str, Schema]:
    """Return the error responses by status; those of status 405 also by the method that the path takes."""
    retry_after = _response_header("Retry-After", "Seconds until the next try.", {"type": "integer", "minimum": 1})
    bearer = _response_header("WWW-Authenticate", "How to authenticate.", {"type": "string", "const": "Bearer"})
    headers = {"401": bearer, "429": retry_after, "503": retry_after}
    responses = {
        status: _json(text, ref("InvalidRecord" if status == "422" else "Error"), ERRORS[status])
        | headers.get(status, {})
        for status, text in _ERRORS.items()
        if status != "405"
    }
    for method in ("GET", "POST"):
        allow = _response_header("Allow", "The right method.", {"type": "string", "const": method})
        example = {"method": {"error": f"this path takes {method}"}}
        responses[f"405-{method}"] = _json(_ERRORS["405"], ref("Error"), example) | allow
    return responses


def _row_types(examples: DocumentExamples) -> Schema:
    rows = {"feature_schema": SCHEMA_HASH, "instances": [examples.row], "reasons_above": REASONS_ABOVE}
    lines = {"type": "string", "description": "A line for each row, without a heading; an empty field where missing."}
    binary = {
        "type": "string",
        "format": "binary",
        "description": f"For each row {len(FEATURE_NAMES)} little-endian float32, NaN where missing; after all rows, if"
        f" `{REASONS_HEADER}` is `{PER_ROW}`, a little-endian float64 for each row.",
    }
    return {
        JSON: _media(ref("JsonRows"), {"one row": rows}),
        CSV: _media(lines, {"one row": examples.csv_row}),
        BINARY: {"schema": binary},
    }


def _score_types(examples: DocumentExamples) -> Schema:
    lines = {
        "type": "string",
        "description": "For each row its margin, its probability, and its reasons joined by `|`.",
    }
    packed = {
        "type": "string",
        "format": "binary",
        "description": "The JSON form as MessagePack, but margins are the bytes of little-endian float32, and"
        " probabilities those of float64.",
    }
    answers = examples.by_model
    return {
        JSON: _media(ref("Scores"), {"one row": answers.scores} if answers else None),
        CSV: _media(lines, {"one row": answers.csv_scores} if answers else None),
        MSGPACK: {"schema": packed},
    }


def _row_headers() -> tuple[Schema, ...]:
    number = "[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?"
    threshold = {"type": "string", "pattern": f"^({PER_ROW}|{number})?$"}
    about_thresholds = (
        "Probability from which on rows get reasons, unless a JSON body contains it. `per-row` is for binary rows."
    )
    about_attributes = (
        "The values of these headers by their names without `X-`, because a SageMaker endpoint passes on no others:"
        f" `feature-schema={SCHEMA_HASH};reasons-above=0.5;deadline-ms=250`."
    )
    about_ids = (
        "Transaction ids of the rows, in their order: percent-encoded and separated by commas. At log level DEBUG each"
        f" of the first {MAX_IDS} has a line in the log; the response does not depend on them."
    )
    schema_hash = {"type": "string", "const": SCHEMA_HASH}
    return (
        {**_header(SCHEMA_HEADER, "The feature schema of the rows.", schema_hash), "example": SCHEMA_HASH},
        {**_header(REASONS_HEADER, about_thresholds, threshold), "example": str(REASONS_ABOVE)},
        _header(ATTRIBUTES_HEADER, about_attributes, {"type": "string"}),
        {**_header(IDS_HEADER, about_ids, {"type": "string"}), "example": "t-1,t-2"},
    )


def _error_ref(status: str, method: str) -> Schema:
    name = f"405-{method}" if status == "405" else status
    return {"$ref": f"#/components/responses/{name}"}


def _header(name: str, description: str, schema: Schema) -> Schema:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


def _response_header(name: str, description: str, schema: Schema) -> Schema:
    return {"headers": {name: {"description": description, "required": True, "schema": schema}}}


def _json(description: str, schema: Schema, shown: Schema | None = None) -> Schema:
    return {"description": description, "content": {JSON: _media(schema, shown)}}


def _media(schema: Schema, shown: Schema | None = None) -> Schema:
    """Return a media type with its examples by name."""
    if shown is None:
        return {"schema": schema}
    return {"schema": schema, "examples": {name: {"value": value} for name, value in shown.items()}}
