"""The OpenAPI document of the case queue. The schemas are those of the types that requests and answers are made of."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from msgspec import Struct

from adapters.cases.shown import CaseHistory, CasePage
from adapters.scoring.api_keys import KeyScope
from cardwatch.cases.case import CaseState
from services.console.guard import INVESTIGATOR_HEADER, TOKEN_HEADER

_ABOUT: Final = f"""
Challenged and declined transactions as cases: the largest expected loss first, within the capacity of each event day.

- **Access.** `Authorization: Bearer KEY` with the scope that a call names, or the console's own token in
  `{TOKEN_HEADER}`, which has every scope; `{INVESTIGATOR_HEADER}` then says who acts.
- **Versions.** The `ETag` of a case is its version, and a change names it in `If-Match`. If somebody else was faster,
  the answer is 412: read the case again. The same change with the same version again has no further effect.
- **Decisions.** With the outcome fraud or genuine a label with the source `investigator` is in the topic `labels`
  before the case counts as decided. After a 503 the decision may be stored (`is_label_pending`); its label follows.
- **Errors** are JSON: `error` is a readable message.
"""
_ERRORS: Final = {
    HTTPStatus.UNAUTHORIZED: "No key or token, or a wrong one.",
    HTTPStatus.FORBIDDEN: "The scope is missing, or the case is somebody else's.",
    HTTPStatus.NOT_FOUND: "There is no such case.",
    HTTPStatus.CONFLICT: "The state of the case does not allow it.",
    HTTPStatus.PRECONDITION_FAILED: "The case has another version.",
    HTTPStatus.MISDIRECTED_REQUEST: "The header `Host` is not the console's address.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "A parameter, header or body is invalid; the message begins with its name.",
    HTTPStatus.PRECONDITION_REQUIRED: "`If-Match` is missing.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The index or the broker does not answer. The same request can be sent again.",
}
_OF_CHANGES: Final = (HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED, HTTPStatus.PRECONDITION_REQUIRED)
_CASE: Final = "/api/cases/{partition}/{offset}"
_POSITION: Final = [
    {"name": name, "in": "path", "required": True, "schema": {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}}
    for name in ("partition", "offset")
]
_IF_MATCH: Final = {
    "name": "If-Match", "in": "header", "required": True, "schema": {"type": "string", "pattern": '^"[0-9]{1,9}"$'},
    "description": "The version of the case, as its ETag has it.",
}  # fmt: skip
_TEXT: Final = {"type": "string", "minLength": 1, "maxLength": 64, "pattern": r"^[^\x00-\x1f\x7f]+$"}
_FILTERS: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "state": (
        {"type": "array", "items": {"type": "string", "enum": [state.value for state in CaseState]}},
        "States; open and assigned without it, every state with `transaction`.",
    ),
    "day": ({"type": "string", "format": "date"}, "An event day; without it the newest days of the queue."),
    "assignee": (_TEXT, "Who the cases are assigned to."),
    "transaction": (_TEXT, "The id of one transaction."),
    "capacity": ({"type": "string", "enum": ["within", "beyond"]}, "By the capacity of the day."),
    "overdue": ({"type": "string", "enum": ["true", "false"]}, "By the service level."),
    "after": ({"type": "integer", "minimum": 0, "maximum": 10**9}, "Number of cases to leave out."),
    "limit": ({"type": "integer", "minimum": 1, "maximum": 200}, "Maximum number of cases."),
}


def case_document(bodies: Sequence[type[Struct]]) -> dict[str, Any]:
    """Return the document. `bodies` are those of assign, release, notes and decision."""
    _, schemas = msgspec.json.schema_components(
        [CasePage, CaseHistory, *bodies], ref_template="#/components/schemas/{name}"
    )
    assign, release, note, decision = (body.__name__ for body in bodies)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Cardwatch cases", "version": "1", "description": _ABOUT.strip()},
        "servers": [{"url": "/"}],
        "paths": {
            "/api/cases": {"get": _reading("The queue.", CasePage.__name__, _filters())},
            _CASE: {"get": _reading("One case with its history and notes.", CaseHistory.__name__, _POSITION)},
            f"{_CASE}/assign": {"post": _changing("Assign a case, to oneself without a name.", assign)},
            f"{_CASE}/release": {"post": _changing("Put an assigned case back.", release)},
            f"{_CASE}/notes": {"post": _changing("Add a note.", note)},
            f"{_CASE}/decision": {"post": _changing("Decide a case: its label is written.", decision)},
        },
        "components": {
            "schemas": {**schemas, "Error": {"type": "object", "properties": {"error": {"type": "string"}}}},
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer"},
                "token": {"type": "apiKey", "in": "header", "name": TOKEN_HEADER},
            },
        },
    }


def _filters() -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "schema": schema, "description": text}
        for name, (schema, text) in _FILTERS.items()
    ]


def _reading(summary: str, answer: str, parameters: Sequence[Any]) -> dict[str, Any]:
    return _operation(summary, KeyScope.CASES_READ, answer, parameters, without=_OF_CHANGES)


def _changing(summary: str, body: str) -> dict[str, Any]:
    return {
        **_operation(summary, KeyScope.CASES_WORK, CaseHistory.__name__, [*_POSITION, _IF_MATCH]),
        "requestBody": {"required": True, "content": _json(body)},
    }


def _operation(
    summary: str, scope: KeyScope, answer: str, parameters: Sequence[Any], *, without: Sequence[HTTPStatus] = ()
) -> dict[str, Any]:
    errors = {
        str(status.value): {"description": text, "content": _json("Error")}
        for status, text in _ERRORS.items()
        if status not in without
    }
    return {
        "summary": summary,
        "description": f"Scope `{scope.value}`.",
        "security": [{"key": [scope.value]}, {"token": []}],
        "parameters": list(parameters),
        "responses": {"200": {"description": summary, "content": _json(answer)}, **errors},
    }


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
