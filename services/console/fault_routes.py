"""The part of the console's HTTP interface that is about faults.

GET  /api/faults                           the switches of all faults with their states
POST /api/faults/NAME/on?seconds=SECONDS   switch a fault on, for its default time if no seconds are given
POST /api/faults/NAME/off                  switch a fault off
"""

from __future__ import annotations

from http import HTTPStatus

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from cardwatch.errors import Misconfigured
from services.console.answers import GuardedEndpoint, json_response
from services.console.fault_switches import FaultSwitches


class FaultRoutes:
    """The handlers. Switches wait for the broker in threads."""

    def __init__(self, faults: FaultSwitches) -> None:
        self._faults = faults

    def endpoints(self) -> list[GuardedEndpoint]:
        """Return path, handler and method of each."""
        return [
            GuardedEndpoint("/api/faults", self._list, "GET"),
            GuardedEndpoint("/api/faults/{name}/on", self._on, "POST"),
            GuardedEndpoint("/api/faults/{name}/off", self._off, "POST"),
        ]

    async def _list(self, _request: Request) -> Response:
        return json_response(await run_in_threadpool(self._faults.switches))

    async def _on(self, request: Request) -> Response:
        await run_in_threadpool(self._faults.on, request.path_params["name"], _seconds(request))
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def _off(self, request: Request) -> Response:
        await run_in_threadpool(self._faults.off, request.path_params["name"])
        return Response(status_code=HTTPStatus.NO_CONTENT)


def _seconds(request: Request) -> float | None:
    given = request.query_params.get("seconds")
    try:
        return None if given is None else float(given)
    except ValueError:
        raise Misconfigured(f"seconds={given!r:.40} is no number") from None
