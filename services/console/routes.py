"""The console's HTTP interface.

GET  /                                     the page
GET  /api/tour                             the texts of the tour, if the page was built with them
GET  /api/live                             server-sent events, see `frames`
GET  /api/boxes/NAME                       log tail, metrics and positions of a process
GET  /api/decisions/PARTITION/OFFSET       one decision with its explanation
POST /api/processes/NAME/ACTION            kill, freeze or resume a process of the stack
POST /api/steps/STEP/hold                  hold the stream worker before a step of the commit order
POST /api/steps/release                    let it go on

Modules of their own add endpoints: `record_routes`, `fault_routes`, `model_routes`, `case_routes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from adapters.scoring.api_keys import KeyScope
from cardwatch.errors import (
    CardwatchError,
    CaseChanged,
    CaseUnknown,
    InvalidRecord,
    Misconfigured,
    ScopeMissing,
    TransitionRefused,
)
from services.console.answers import HEADERS, GuardedEndpoint, Handler, error_response, json_response
from services.console.broadcast import MAX_PAGES, Broadcaster
from services.console.decision_details import DecisionDetails
from services.console.feed import Feed
from services.console.guard import Guard
from services.console.page_file import Page
from services.console.processes import WatchedProcesses

LOG_LINES = 40
_STATUSES: Final = (
    (InvalidRecord, HTTPStatus.UNPROCESSABLE_ENTITY),
    (Misconfigured, HTTPStatus.CONFLICT),
    (CaseUnknown, HTTPStatus.NOT_FOUND),
    (TransitionRefused, HTTPStatus.CONFLICT),
    (CaseChanged, HTTPStatus.PRECONDITION_FAILED),
    (ScopeMissing, HTTPStatus.FORBIDDEN),
    (CardwatchError, HTTPStatus.SERVICE_UNAVAILABLE),
)
"""Status of the response to each error of a handler, the most specific ones first."""


class ConsoleRoutes:
    """The handlers. Those that read files or ask other processes run in threads."""

    def __init__(
        self,
        guard: Guard,
        page: Page,
        broadcaster: Broadcaster,
        feed: Feed,
        processes: WatchedProcesses,
        details: DecisionDetails,
        more: Sequence[GuardedEndpoint] = (),
    ) -> None:
        self._guard, self._page, self._broadcaster = guard, page, broadcaster
        self._feed, self._processes, self._details = feed, processes, details
        self._more = more

    def application(self) -> Starlette:
        """Return the application."""
        routes = [
            Route("/", self._guarded(self._get_page), methods=["GET"]),
            Route("/api/tour", self._guarded(self._get_tour), methods=["GET"]),
            Route("/api/live", self._guarded(self._live), methods=["GET"]),
            Route("/api/boxes/{name}", self._guarded(self._box), methods=["GET"]),
            Route(
                "/api/decisions/{partition:number}/{offset:number}",
                self._guarded(self._decision),
                methods=["GET"],
            ),
            Route("/api/processes/{name}/{action}", self._guarded(self._act), methods=["POST"]),
            Route("/api/steps/release", self._guarded(self._release_step), methods=["POST"]),
            Route("/api/steps/{step}/hold", self._guarded(self._hold_step), methods=["POST"]),
            *(Route(each.path, self._guarded(each.handle, each.scope), methods=[each.method]) for each in self._more),
        ]
        return Starlette(routes=routes, exception_handlers={HTTPException: _not_found})

    def _guarded(self, handle: Handler, scope: KeyScope | None = None) -> Handler:
        async def guarded(request: Request) -> Response:
            try:
                refusal = self._guard.refusal(request) if scope is None else self._guard.admit(request, scope)
                if refusal is not None:
                    return error_response(refusal.status, refusal.reason)
                response = await handle(request)
            except CardwatchError as error:
                status = next(status for kind, status in _STATUSES if isinstance(error, kind))
                return error_response(status, str(error))
            response.headers.update(HEADERS)
            return response

        return guarded

    async def _get_page(self, _request: Request) -> Response:
        headers = {"Content-Security-Policy": self._page.policy}
        return Response(self._page.content, headers=headers, media_type="text/html")

    async def _get_tour(self, _request: Request) -> Response:
        if self._page.tour is None:
            return error_response(HTTPStatus.NOT_FOUND, "the page was built without the tour")
        return Response(self._page.tour, media_type="application/json")

    async def _live(self, _request: Request) -> Response:
        if self._broadcaster.pages >= MAX_PAGES:
            refusal = error_response(HTTPStatus.SERVICE_UNAVAILABLE, f"{MAX_PAGES} pages are open already")
            refusal.headers["Connection"] = "close"  # a connection that waits for the next request is one of the limit
            return refusal
        return StreamingResponse(self._broadcaster.subscribe(), media_type="text/event-stream")

    async def _box(self, request: Request) -> Response:
        name = request.path_params["name"]
        log = await run_in_threadpool(self._processes.log_tail, name, LOG_LINES)
        metrics = [(_named(sample.name, sample.labels), sample.value) for sample in self._feed.page(name)]
        return json_response(
            {
                "log": log,
                "log_command": self._processes.log_command(name),
                "metrics": [each for each in metrics if each[0].startswith("cardwatch_")],
            }
        )

    async def _decision(self, request: Request) -> Response:
        parameters = request.path_params
        found = await run_in_threadpool(self._details.find, parameters["partition"], parameters["offset"])
        if found is None:
            return error_response(HTTPStatus.NOT_FOUND, "there is no decision about a transaction at this position")
        return json_response(found)

    async def _act(self, request: Request) -> Response:
        parameters = request.path_params
        await run_in_threadpool(self._processes.act, parameters["name"], parameters["action"])
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def _hold_step(self, request: Request) -> Response:
        await run_in_threadpool(self._feed.steps.ask, request.path_params["step"])
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def _release_step(self, _request: Request) -> Response:
        await run_in_threadpool(self._feed.steps.release)
        return Response(status_code=HTTPStatus.NO_CONTENT)


def _named(name: str, labels: object) -> str:
    return name if not labels else f"{name}{{{', '.join(f'{key}={value}' for key, value in dict(labels).items())}}}"  # type: ignore[call-overload]


async def _not_found(_request: Request, error: Exception) -> Response:
    status = HTTPStatus(error.status_code) if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
    return error_response(status, status.phrase)
