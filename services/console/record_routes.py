"""The part of the console's HTTP interface that is about single records.

GET  /api/send                               cards, event time and presets for the form
GET  /api/presets/NAME?card=C&at=T&seed=N    the transactions of a preset
POST /api/previews                           a list of transactions -> what would be decided; nothing is written
POST /api/transactions                       a list of transactions -> they are sent; a line of JSON for each hop
POST /api/labels                             label a decided transaction
GET  /api/dead-letters                       the newest dead letters
POST /api/dead-letters/PARTITION/OFFSET      send one again
"""

from __future__ import annotations

import re
from datetime import datetime
from http import HTTPStatus
from typing import Final

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from cardwatch.errors import InvalidRecord, Misconfigured
from cardwatch.events import UtcTime, decode_transactions, decode_with, validate_time
from services.console.answers import GuardedEndpoint, body_of, json_response
from services.console.labels import Labeller, LabelRequest
from services.console.letters import Letters
from services.console.sending import MAX_TRANSACTIONS, Sender

_MAX_SEED: Final = 2**31 - 1
_SEED: Final = re.compile("[0-9]{1,10}")
_LABEL: Final = msgspec.json.Decoder(LabelRequest)


class RecordRoutes:
    """The handlers. They wait for the broker in threads."""

    def __init__(self, sender: Sender, labeller: Labeller, letters: Letters) -> None:
        self._sender, self._labeller, self._letters = sender, labeller, letters

    def endpoints(self) -> list[GuardedEndpoint]:
        """Return path, handler and method of each."""
        return [
            GuardedEndpoint("/api/send", self._offers, "GET"),
            GuardedEndpoint("/api/presets/{name}", self._preset, "GET"),
            GuardedEndpoint("/api/previews", self._previews, "POST"),
            GuardedEndpoint("/api/transactions", self._send, "POST"),
            GuardedEndpoint("/api/labels", self._label, "POST"),
            GuardedEndpoint("/api/dead-letters", self._list, "GET"),
            GuardedEndpoint("/api/dead-letters/{partition:number}/{offset:number}", self._resend, "POST"),
        ]

    async def _offers(self, _request: Request) -> Response:
        return json_response(self._sender.offers())

    async def _preset(self, request: Request) -> Response:
        query = request.query_params
        card, at, seed = query.get("card", ""), _time(query.get("at", "")), _seed(query.get("seed", "0"))
        if not card:
            raise Misconfigured("a preset needs a card")
        made = await run_in_threadpool(self._sender.preset, request.path_params["name"], card, at, seed)
        return json_response(made)

    async def _previews(self, request: Request) -> Response:
        transactions = decode_transactions(await body_of(request), limit=MAX_TRANSACTIONS)
        return json_response(await run_in_threadpool(self._sender.previews, transactions))

    async def _send(self, request: Request) -> Response:
        transactions = decode_transactions(await body_of(request), limit=MAX_TRANSACTIONS)
        return StreamingResponse(self._sender.send(transactions), media_type="application/x-ndjson")

    async def _label(self, request: Request) -> Response:
        asked = decode_with(_LABEL, await body_of(request))
        return json_response(await run_in_threadpool(self._labeller.label, asked))

    async def _list(self, _request: Request) -> Response:
        return json_response(await run_in_threadpool(self._letters.newest))

    async def _resend(self, request: Request) -> Response:
        parameters = request.path_params
        await run_in_threadpool(self._letters.resend, parameters["partition"], parameters["offset"])
        return Response(status_code=HTTPStatus.NO_CONTENT)


def _time(text: str) -> datetime | None:
    if not text:
        return None
    try:
        at = msgspec.convert(text, UtcTime)
        validate_time(at, "occurred_at")
    except msgspec.ValidationError as error:
        raise InvalidRecord(f"{text!r:.60} is no time with an offset such as 2025-03-08T12:00:00Z") from error
    return at


def _seed(text: str) -> int:
    if not _SEED.fullmatch(text) or int(text) > _MAX_SEED:
        raise InvalidRecord(f"{text!r:.60} is no number from 0 to {_MAX_SEED}")
    return int(text)
