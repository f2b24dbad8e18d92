"""The part of the console's HTTP interface that is about cases, for its page and for programs with an API key.

GET  /api/cases                              the queue; see `_FILTERS` for what selects
GET  /api/cases/PARTITION/OFFSET             one case with its history
POST /api/cases/PARTITION/OFFSET/assign      {"to": NAME}, or {} for oneself
POST /api/cases/PARTITION/OFFSET/release     {}
POST /api/cases/PARTITION/OFFSET/notes       {"text": TEXT}
POST /api/cases/PARTITION/OFFSET/decision    {"outcome": "fraud" | "genuine" | "inconclusive", "comment": TEXT}
GET  /api/cases.json                         the OpenAPI document of these

A change needs `If-Match` with the `ETag` of the case, its version. The same change with the same version again has no
further effect, and the same answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from http import HTTPStatus
from typing import Final

import msgspec
from msgspec import Struct
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from adapters.cases.desk import CaseDesk
from adapters.cases.shown import CaseFilter, CaseHistory
from adapters.scoring.api_keys import KeyScope
from cardwatch.cases.case import CaseOutcome, CaseState
from cardwatch.cases.history import Investigator
from cardwatch.errors import InvalidRecord
from cardwatch.events import decode_with
from services.console.answers import GuardedEndpoint, body_of, error_response, json_response
from services.console.case_document import case_document

MAX_LIMIT: Final = 200
_MAX_AFTER: Final = 10**9
_CASE: Final = "/api/cases/{partition:number}/{offset:number}"
_VERSION: Final = re.compile(r'"?([0-9]{1,9})"?')
_PLAIN: Final = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,64}")
_FLAGS: Final = {"true": True, "false": False}
_PLACES: Final = {"within": True, "beyond": False}
_FILTERS: Final = ("state", "day", "assignee", "transaction", "capacity", "overdue", "after", "limit")


class AssignRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """To whom a case is assigned; None for the caller."""

    to: str | None = None


class ReleaseRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That a case is put back."""


class NoteRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A note."""

    text: str


class DecisionRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the case turned out to be."""

    outcome: CaseOutcome
    comment: str = ""


_ASSIGN: Final = msgspec.json.Decoder(AssignRequest)
_RELEASE: Final = msgspec.json.Decoder(ReleaseRequest)
_NOTE: Final = msgspec.json.Decoder(NoteRequest)
_DECISION: Final = msgspec.json.Decoder(DecisionRequest)


class CaseRoutes:
    """The handlers. They wait for index and broker in threads."""

    def __init__(self, desk: CaseDesk) -> None:
        self._desk = desk
        self._document = msgspec.json.encode(
            case_document((AssignRequest, ReleaseRequest, NoteRequest, DecisionRequest))
        )

    def endpoints(self) -> list[GuardedEndpoint]:
        """Return path, handler, method and scope of each."""
        read, work = KeyScope.CASES_READ, KeyScope.CASES_WORK
        return [
            GuardedEndpoint("/api/cases.json", self._get_document, "GET"),
            GuardedEndpoint("/api/cases", self._list, "GET", read),
            GuardedEndpoint(_CASE, self._show, "GET", read),
            GuardedEndpoint(f"{_CASE}/assign", self._assign, "POST", work),
            GuardedEndpoint(f"{_CASE}/release", self._release, "POST", work),
            GuardedEndpoint(f"{_CASE}/notes", self._note, "POST", work),
            GuardedEndpoint(f"{_CASE}/decision", self._decide, "POST", work),
        ]

    async def _get_document(self, _request: Request) -> Response:
        return Response(self._document, media_type="application/json")

    async def _list(self, request: Request) -> Response:
        wanted = _filter(request.query_params)
        return json_response(await run_in_threadpool(self._desk.page, wanted))

    async def _show(self, request: Request) -> Response:
        return _answer(await run_in_threadpool(self._desk.show, _position(request)))

    async def _assign(self, request: Request) -> Response:
        asked = decode_with(_ASSIGN, await body_of(request))
        caller: Investigator = request.state.caller
        to = caller.name if asked.to is None else asked.to
        return await _changed(request, lambda version: self._desk.assign(_position(request), version, caller, to))

    async def _release(self, request: Request) -> Response:
        decode_with(_RELEASE, await body_of(request))
        caller: Investigator = request.state.caller
        return await _changed(request, lambda version: self._desk.release(_position(request), version, caller))

    async def _note(self, request: Request) -> Response:
        asked = decode_with(_NOTE, await body_of(request))
        caller: Investigator = request.state.caller
        return await _changed(request, lambda version: self._desk.note(_position(request), version, caller, asked.text))

    async def _decide(self, request: Request) -> Response:
        asked = decode_with(_DECISION, await body_of(request))
        caller: Investigator = request.state.caller
        return await _changed(
            request,
            lambda version: self._desk.decide(_position(request), version, caller, asked.outcome, asked.comment),
        )


async def _changed(request: Request, change: Callable[[int], CaseHistory]) -> Response:
    """Make a change to the version of the case that the request names."""
    given = request.headers.get("if-match")
    if given is None:
        return error_response(
            HTTPStatus.PRECONDITION_REQUIRED,
            "a change needs the header If-Match with the version of the case, which is its ETag",
        )
    if (found := _VERSION.fullmatch(given)) is None:
        raise InvalidRecord(f'{given!r:.60} is no version like "3"', field="If-Match")
    return _answer(await run_in_threadpool(change, int(found[1])))


def _answer(shown: CaseHistory) -> Response:
    response = json_response(shown)
    response.headers["ETag"] = f'"{shown.case.version}"'
    return response


def _position(request: Request) -> tuple[int, int]:
    return request.path_params["partition"], request.path_params["offset"]


def _filter(query: QueryParams) -> CaseFilter:
    """Return what the query of a request selects; raises `InvalidRecord` with the name of a parameter."""
    for name in query:
        if name not in _FILTERS:
            raise InvalidRecord(f"is no parameter; these are: {', '.join(_FILTERS)}", field=f"{name!r:.60}")
    every = "transaction" in query and "state" not in query
    states = frozenset(CaseState) if every else frozenset(_state(each) for each in query.getlist("state"))
    return CaseFilter(
        **({"states": states} if states else {}),
        day=_day(query["day"]) if "day" in query else None,
        assignee=_text(query, "assignee"),
        transaction_id=_text(query, "transaction"),
        is_within_capacity=_choice(query, "capacity", _PLACES),
        is_overdue=_choice(query, "overdue", _FLAGS),
        after=_number(query, "after", 0, 0, _MAX_AFTER),
        limit=_number(query, "limit", 50, 1, MAX_LIMIT),
    )


def _state(text: str) -> CaseState:
    try:
        return CaseState(text)
    except ValueError as error:
        known = ", ".join(state.value for state in CaseState)
        raise InvalidRecord(f"{text!r:.60} is none of {known}", field="state") from error


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidRecord(f"{text!r:.60} is no day like 2025-03-08", field="day") from error


def _text(query: QueryParams, name: str) -> str | None:
    """Return a name or an id, which have no control characters; PostgreSQL does not take them."""
    text = query.get(name)
    if text is not None and not _PLAIN.fullmatch(text):
        raise InvalidRecord("has 1 to 64 characters, and no control character among them", field=name)
    return text


def _choice(query: QueryParams, name: str, choices: dict[str, bool]) -> bool | None:
    if name not in query:
        return None
    if query[name] not in choices:
        raise InvalidRecord(f"{query[name]!r:.60} is none of {', '.join(choices)}", field=name)
    return choices[query[name]]


def _number(query: QueryParams, name: str, default: int, least: int, most: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 12 and least <= int(text) <= most):
        raise InvalidRecord(f"{text!r:.60} is no number from {least:,} to {most:,}", field=name)
    return int(text)
