"""The part of the console's HTTP interface that is about model versions.

GET  /api/models          versions with stage and verdict, and all moves
POST /api/models/moves    move a version between the stages; the answer says what happened
"""

from __future__ import annotations

import logging
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from adapters.move_log.hand_moves import WantedMove, move_version
from adapters.move_log.open import opened_ladder
from adapters.move_log.overview import ModelsOverview, overview_of
from adapters.records.printable import printable
from adapters.runtime.settings import Settings
from cardwatch.errors import Misconfigured, MoveRefused
from cardwatch.events import decode_with
from cardwatch.ladder.moves import MoveKind
from services.console.answers import GuardedEndpoint, body_of, json_response

ACTOR: Final = "console"
"""The actor of moves that were made on the page, which has no users."""

log = logging.getLogger(__name__)


class MoveRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A move that a visitor of the page asks for. A rollback has no `version`, and only a canary has a `share`."""

    kind: MoveKind
    reason: Annotated[str, Meta(min_length=1, max_length=400)]
    version: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    share: Annotated[float, Meta(gt=0, lt=1)] | None = None
    despite_verdict: bool = False


class MadeMove(Struct, frozen=True):
    """What happened, line by line: the checks of the verdict, the move, and when it was served."""

    lines: list[str]


_REQUEST: Final = msgspec.json.Decoder(MoveRequest)


class ModelRoutes:
    """The handlers. They wait for registry, database and scoring service in threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def endpoints(self) -> list[GuardedEndpoint]:
        """Return path, handler and method of each."""
        return [
            GuardedEndpoint("/api/models", self._list, "GET"),
            GuardedEndpoint("/api/models/moves", self._move, "POST"),
        ]

    async def _list(self, _request: Request) -> Response:
        return json_response(await run_in_threadpool(self._overview))

    async def _move(self, request: Request) -> Response:
        asked = decode_with(_REQUEST, await body_of(request))
        return json_response(await run_in_threadpool(self._made, asked))

    def _overview(self) -> ModelsOverview:
        with opened_ladder(self._settings) as ladder:
            return overview_of(ladder.registry.versions(), ladder.mover)

    def _made(self, asked: MoveRequest) -> MadeMove:
        if asked.kind is MoveKind.ADOPT:
            raise Misconfigured("only the first move adopts a champion, and the system makes it")
        if asked.version is None and asked.kind is not MoveKind.ROLLBACK:
            raise Misconfigured(f"a move {asked.kind} needs a version")
        wanted = WantedMove(asked.kind, asked.version, asked.reason.strip(), ACTOR, asked.share, asked.despite_verdict)
        log.info("audit: move %s of version %s, %s", asked.kind, asked.version, printable(asked.reason))
        with opened_ladder(self._settings) as ladder:
            try:
                return MadeMove(list(move_version(ladder, wanted)))
            except MoveRefused as error:
                raise Misconfigured(str(error)) from error
