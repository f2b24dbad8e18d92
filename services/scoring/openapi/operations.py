"""The calls as OpenAPI describes them: what is asked, what is answered, and how each may be refused."""

from __future__ import annotations

from typing import Any, Final

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
from services.scoring.openapi import examples
from services.scoring.openapi.schemas import ref

SCORE: Final = "Score"
EXPLAIN: Final = "Explain"
ROWS: Final = "Rows"
OPERATIONS: Final = "Operations"

_REFUSALS: Final = {
    "400": "A header cannot be used, or the connection broke before the request was whole.",
    "401": "There is no API key, or it is not valid.",
    "403": "The API key does not have the scope that this call needs.",
    "405": "The path takes another method; `Allow` says which.",
    "409": "The rows were made under another feature schema than the model's, or do not say under which.",
    "413": "The body or the number of rows is larger than this call takes; a large body ends the connection.",
    "415": "The content type is not one that this call takes.",
    "422": "The body breaks its contract; `field` is the path of the first field that does.",
    "429": "The API key has used up its rate.",
    "500": "An error of the service. Nothing that was sent is logged.",
    "503": "No champion, no store, or no time: decide by your own rules.",
}
_AGAIN: Final = {
    "Retry-After": {
        "description": "In how many seconds to come again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    }
}
_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "401": {
        "WWW-Authenticate": {
            "description": "How to say who you are.",
            "required": True,
            "schema": {"type": "string", "const": "Bearer"},
        }
    },
    "429": _AGAIN,
    "503": _AGAIN,
}
_NUMBER: Final = "[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?"
_BODY: Final = ("400", "413", "422", "429", "503")
"""How a call that takes a body may be refused, beside what any call may be."""


def paths() -> dict[str, Any]:
    """All calls, in the order in which they are shown."""
    return {
        "/v1/score": {"post": _score()},
        "/v1/score/batch": {"post": _score_batch()},
        "/v1/explain": {"post": _explain()},
        "/v1/explain/features": {"post": _explain_features()},
        "/invocations": {"post": _invocations()},
        "/v1/model": {"get": _status("model", "What is served, and what was refused", method="GET")},
        "/v1/reload": {"post": _status("reload", "Follow the registry's aliases now", method="POST")},
        "/readyz": {"get": _ready("readyz", "Ready to score: a champion is served")},
        "/ping": {"get": _ready("ping", "The same, as SageMaker asks")},
        "/livez": {"get": _alive()},
    }


def refusals() -> dict[str, Any]:
    """The answers that are no success, by status; 405 by the method that the path takes as well."""
    shown = {
        status: _json(text, ref("InvalidRecord" if status == "422" else "Error"), examples.REFUSALS[status])
        | ({"headers": _HEADERS[status]} if status in _HEADERS else {})
        for status, text in _REFUSALS.items()
        if status != "405"
    }
    return shown | {f"405-{method}": _method_not_allowed(method) for method in ("GET", "POST")}


def _method_not_allowed(method: str) -> dict[str, Any]:
    said = _json(_REFUSALS["405"], ref("Error"), {"method": {"error": f"this path takes {method}"}})
    schema = {"type": "string", "const": method}
    return {**said, "headers": {"Allow": {"description": "The right method.", "required": True, "schema": schema}}}


def _score() -> dict[str, Any]:
    shown = {"by the model": examples.CHALLENGED, "by the rules": examples.BY_RULES}
    return _operation(
        SCORE,
        "score",
        "What would be decided about a transaction",
        _json("See `degraded` for what the rules decided.", ref("Preview"), shown),
        scope="score",
        about=f"At most {MAX_TRANSACTION_BYTES:,} bytes.",
        refused=_BODY,
    ) | _asked({JSON: _transaction()})


def _score_batch() -> dict[str, Any]:
    asked = {"type": "array", "items": ref("Transaction"), "minItems": 1, "maxItems": MAX_TRANSACTIONS}
    answered = [examples.CHALLENGED, {**examples.BY_RULES, "transaction_id": examples.IN_A_SHOP["transaction_id"]}]
    return _operation(
        SCORE,
        "score_batch",
        "The same for several transactions",
        _json("An answer to each, in their order.", {"type": "array", "items": ref("Preview")}, {"two": answered}),
        scope="score",
        about=f"1 to {MAX_TRANSACTIONS} in one request of at most {MAX_BATCH_BYTES:,} bytes. All are answered by one"
        " model, or none is. The second of a card sees the first.",
        refused=_BODY,
    ) | _asked({JSON: {"schema": asked, "examples": _named({"two": [examples.ONLINE, examples.IN_A_SHOP]})}})


def _explain() -> dict[str, Any]:
    return _operation(
        EXPLAIN,
        "explain",
        "Why a transaction would be scored as it would be",
        _json("It is this.", ref("Explanation"), {"challenged": examples.EXPLANATION}),
        scope="explain",
        about="A transaction that the card's state holds already is refused with 422.",
        refused=_BODY,
    ) | _asked({JSON: _transaction()})


def _explain_features() -> dict[str, Any]:
    recorded = {"feature_schema": SCHEMA_HASH, "features": examples.row()}
    of_row = {**examples.EXPLANATION, "transaction_id": None, "sequence": None}
    return _operation(
        EXPLAIN,
        "explain_features",
        "Why a recorded decision was scored as it was",
        _json("It is this.", ref("Explanation"), {"challenged": of_row}),
        scope="explain",
        about=f"At most {MAX_FEATURES_BYTES:,} bytes. It is asked of the model that is served now.",
        refused=(*_BODY, "409"),
    ) | _asked({JSON: {"schema": ref("RecordedRow"), "examples": _named({"a card's first payment": recorded})}})


def _invocations() -> dict[str, Any]:
    return _operation(
        ROWS,
        "invocations",
        "Feature rows to scores",
        {
            "description": "A score for each row: in the first type of `Accept` that is one of these, else JSON for"
            " JSON, CSV for CSV and MessagePack for binary rows.",
            "content": _scores(),
        },
        scope="score",
        about=f"1 to {MAX_ROWS:,} rows; the schema `Row` says what they hold. They must say under which feature schema"
        f" they were made: the body, `{SCHEMA_HEADER}` or `{ATTRIBUTES_HEADER}`, the first of these counts.",
        refused=(*_BODY, "409", "415"),
    ) | _asked(_rows(), *_row_headers())


def _rows() -> dict[str, Any]:
    rows = {"feature_schema": SCHEMA_HASH, "instances": [examples.row()], "reasons_above": 0.5}
    lines = {"type": "string", "description": "A line for each row, no heading; an empty field where missing."}
    binary = {
        "type": "string",
        "format": "binary",
        "description": f"Row after row of {len(FEATURE_NAMES)} little-endian float32, NaN where missing; after them, if"
        f" `{REASONS_HEADER}` is `{PER_ROW}`, a little-endian float64 for each row.",
    }
    return {
        JSON: {"schema": ref("Rows"), "examples": _named({"one row": rows})},
        CSV: {"schema": lines, "examples": _named({"one row": examples.csv_rows()})},
        BINARY: {"schema": binary},
    }


def _scores() -> dict[str, Any]:
    lines = {
        "type": "string",
        "description": "For each row its margin, its probability, and its reasons with a bar between them.",
    }
    packed = {
        "type": "string",
        "format": "binary",
        "description": "The JSON form as MessagePack, but margins are the bytes of little-endian float32, and"
        " probabilities those of float64.",
    }
    return {
        JSON: {"schema": ref("Scores"), "examples": _named({"one row": examples.SCORES})},
        CSV: {"schema": lines, "examples": _named({"one row": examples.CSV_SCORES})},
        MSGPACK: {"schema": packed},
    }


def _row_headers() -> tuple[dict[str, Any], ...]:
    threshold = {"type": "string", "pattern": f"^({PER_ROW}|{_NUMBER})?$"}
    about_thresholds = (
        f"From which probability on rows get reasons, if a JSON body does not say it. `{PER_ROW}` is for binary rows."
    )
    about_all = (
        "What these headers say, by their names without `X-`, for a SageMaker endpoint passes no others:"
        f" `feature-schema={SCHEMA_HASH};reasons-above=0.5;deadline-ms=250`."
    )
    about_ids = (
        "Whose rows these are, in their order: percent-encoded, with commas between them. At log level DEBUG each has"
        f" a line in the log, the first {MAX_IDS} at most; it changes no answer."
    )
    made_under = _header(SCHEMA_HEADER, "The feature schema of the rows.", {"type": "string", "const": SCHEMA_HASH})
    return (
        {**made_under, "example": SCHEMA_HASH},
        {**_header(REASONS_HEADER, about_thresholds, threshold), "example": "0.5"},
        _header(ATTRIBUTES_HEADER, about_all, {"type": "string"}),
        {**_header(IDS_HEADER, about_ids, {"type": "string"}), "example": "t-1,t-2"},
    )


def _status(operation_id: str, summary: str, *, method: str) -> dict[str, Any]:
    served = _json("It is this.", ref("ModelStatus"), {"served": examples.STATUS})
    return _operation(OPERATIONS, operation_id, summary, served, method=method, scope="admin")


def _ready(operation_id: str, summary: str) -> dict[str, Any]:
    return _operation(OPERATIONS, operation_id, summary, _json("It is.", _is("ready")), method="GET", refused=("503",))


def _alive() -> dict[str, Any]:
    return _operation(OPERATIONS, "livez", "The process answers", _json("It does.", _is("alive")), method="GET")


def _operation(
    tag: str,
    operation_id: str,
    summary: str,
    answered: dict[str, Any],
    *,
    method: str = "POST",
    scope: str = "",
    about: str = "",
    refused: tuple[str, ...] = (),
) -> dict[str, Any]:
    statuses = sorted({*refused, "405", "500", *(("401", "403") if scope else ())})
    needs = f"Needs a key with the scope `{scope}`." if scope else "Open to everybody."
    return {
        "tags": [tag],
        "operationId": operation_id,
        "summary": summary,
        "description": f"{needs} {about}".strip(),
        "security": [{"key": [scope]}] if scope else [],
        "responses": {"200": answered} | {status: _refusal(status, method) for status in statuses},
    }


def _asked(body: dict[str, Any], *headers: dict[str, Any]) -> dict[str, Any]:
    milliseconds = {"type": "integer", "minimum": 1, "maximum": MAX_DEADLINE_MS}
    deadline = _header(DEADLINE_HEADER, "For how many milliseconds an answer is of use to you.", milliseconds)
    return {"parameters": [deadline, *headers], "requestBody": {"required": True, "content": body}}


def _refusal(status: str, method: str) -> dict[str, str]:
    name = f"405-{method}" if status == "405" else status
    return {"$ref": f"#/components/responses/{name}"}


def _transaction() -> dict[str, Any]:
    shown = {"online": examples.ONLINE, "in a shop": examples.IN_A_SHOP}
    return {"schema": ref("Transaction"), "examples": _named(shown)}


def _header(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


def _json(description: str, schema: dict[str, Any], shown: dict[str, Any] | None = None) -> dict[str, Any]:
    content = {"schema": schema} if shown is None else {"schema": schema, "examples": _named(shown)}
    return {"description": description, "content": {JSON: content}}


def _named(shown: dict[str, Any]) -> dict[str, Any]:
    return {name: {"value": value} for name, value in shown.items()}


def _is(status: str) -> dict[str, Any]:
    return {"type": "object", "required": ["status"], "properties": {"status": {"const": status}}}
