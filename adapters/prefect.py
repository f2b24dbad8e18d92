"""The part of Prefect's REST API that starts runs of deployments and follows them.

Prefect itself takes two seconds to import, so it is not imported. The results of flows are tags of model versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from uuid import uuid4

import httpx
from msgspec import Struct

from adapters.runtime.addresses import basic_authorization, bearer_authorization, split_userinfo, without_userinfo
from adapters.runtime.retry import poll
from adapters.runtime.settings import variables_of
from cardwatch.errors import CardwatchError, OrchestratorUnavailable

_POLL_SECONDS: Final = 0.25
_BUSY_SECONDS: Final = 20.0
_ENDED: Final = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
_UNDER_WAY: Final = frozenset({"PENDING", "RUNNING", "CANCELLING"})


_API: Final = "PREFECT_API_"
_LOGIN_HINT: Final = f"; set {_API}AUTH_STRING to user:password, or {_API}KEY"


class PrefectAccess(NamedTuple):
    """How a server is reached: the address of its API without userinfo, and a login like `user:password`, or a key.

    A login in the address comes first, then Prefect's own variables `PREFECT_API_AUTH_STRING` and `PREFECT_API_KEY`.
    """

    url: str
    login: str
    key: str

    @classmethod
    def to(cls, address: str) -> PrefectAccess:
        """Return the access to the server at `address`, with or without `/api`."""
        url, username, password = split_userinfo(address)
        variables = variables_of(_API)
        login = f"{username}:{password}" if username or password else variables.get("AUTH_STRING", "")
        return cls(url.rstrip("/").removesuffix("/api") + "/api", login, variables.get("KEY", ""))

    def headers(self) -> dict[str, str]:
        """Return the header with the login, or none."""
        if self.login:
            return {"Authorization": basic_authorization(self.login)}
        return {"Authorization": bearer_authorization(self.key, variable=f"{_API}KEY")} if self.key else {}


class RunState(Struct, frozen=True, kw_only=True):
    """State of a run. `kind` is Prefect's state type (RUNNING, COMPLETED, ...), `name` its display name."""

    kind: str
    name: str
    message: str

    @property
    def ended(self) -> bool:
        """Whether the state is final."""
        return self.kind in _ENDED

    @property
    def is_under_way(self) -> bool:
        """Whether a runner has started the run."""
        return self.kind in _UNDER_WAY


class FlowRun(Struct, frozen=True, kw_only=True):
    """A run and its duration in seconds so far."""

    run_id: str
    state: RunState
    seconds: float


class PrefectDeployments:
    """Deployments of the Prefect server at `url` (with or without `/api`), with the login of `PrefectAccess`.

    Every call raises `OrchestratorUnavailable` without a response, or if the response is not that of a Prefect server.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 10.0) -> None:
        access = PrefectAccess.to(url)
        self._url = access.url
        self._client = httpx.Client(timeout=timeout_seconds, headers=access.headers())

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def exists(self, name: str) -> bool:
        """Whether the server has the deployment `name` ("flow/deployment")."""
        found = self._request("GET", f"/deployments/name/{name}")
        if found.status_code == httpx.codes.NOT_FOUND:
            return False
        self._body(found)
        return True

    def run(self, name: str, parameters: Mapping[str, object], *, key: str | None = None) -> str:
        """Start a run of the deployment `name` ("flow/deployment") and return its id without waiting.

        All calls with the same `key` return the same run. Without a key every call starts a new run.
        """
        found = self._request("GET", f"/deployments/name/{name}")
        if found.status_code == httpx.codes.NOT_FOUND:
            raise OrchestratorUnavailable(
                f"Prefect at {self._url} knows no deployment {name!r}: `python -m pipelines` serves it"
            )
        deployment = self._body(found)["id"]
        body = {"parameters": dict(parameters), "idempotency_key": key or uuid4().hex}
        created = self._request("POST", f"/deployments/{deployment}/create_flow_run", body)
        return str(self._body(created)["id"])

    def state(self, run_id: str) -> RunState:
        """Return the state of a run. A run that the server does not know any more counts as crashed."""
        found = self._request("GET", f"/flow_runs/{run_id}")
        if found.status_code == httpx.codes.NOT_FOUND:
            return RunState(kind="CRASHED", name="Forgotten", message=f"Prefect at {self._url} does not know the run")
        return _state(self._body(found))

    def runs(self, name: str) -> list[FlowRun]:
        """Return the newest 200 runs of the deployment `name` ("flow/deployment"), the newest first."""
        flow, _, deployment = name.partition("/")
        body = {
            "flows": {"name": {"any_": [flow]}},
            "deployments": {"name": {"any_": [deployment]}},
            "sort": "EXPECTED_START_TIME_DESC",
            "limit": 200,
        }
        found = self._body(self._request("POST", "/flow_runs/filter", body))
        return [
            FlowRun(run_id=str(run["id"]), state=_state(run), seconds=float(run.get("total_run_time") or 0.0))
            for run in found
        ]

    def crash(self, run_id: str, reason: str) -> None:
        """Mark a run as crashed because no runner works on it. Final states do not change."""
        state = {"type": "CRASHED", "name": "Crashed", "message": reason}
        self._body(self._request("POST", f"/flow_runs/{run_id}/set_state", {"state": state}))

    def wait(self, run_id: str, *, timeout_seconds: float) -> RunState:
        """Wait until the run has completed and return its last state.

        Raises `CardwatchError` with the run's own message if it ended otherwise, and `OrchestratorUnavailable` if it
        has not ended within the timeout.
        """
        state = poll(
            lambda: self.state(run_id),
            until=lambda state: state.ended,
            timeout_seconds=timeout_seconds,
            poll_seconds=_POLL_SECONDS,
        )
        if not state.ended:
            raise OrchestratorUnavailable(
                f"flow run {run_id} on {self._url} is still {state.name} after {timeout_seconds:g} s"
            )
        if state.kind != "COMPLETED":
            raise CardwatchError(f"flow run {run_id} ended as {state.name}: {state.message or 'no message'}")
        return state

    def _request(self, method: str, path: str, json: object | None = None) -> httpx.Response:
        """Return the response. A server whose database is busy responds 503 for a moment, which is retried."""
        try:
            return poll(
                lambda: self._client.request(method, self._url + path, json=json),
                until=lambda response: response.status_code != httpx.codes.SERVICE_UNAVAILABLE,
                timeout_seconds=_BUSY_SECONDS,
                poll_seconds=_POLL_SECONDS,
            )
        except httpx.HTTPError as error:
            raise OrchestratorUnavailable(
                f"no Prefect server answers at {self._url}: {without_userinfo(str(error)) or type(error).__name__}"
            ) from error

    def _body(self, response: httpx.Response) -> Any:
        if response.is_error:
            text = without_userinfo(response.text[:300])
            hint = _LOGIN_HINT if response.status_code == httpx.codes.UNAUTHORIZED else ""
            raise OrchestratorUnavailable(f"Prefect at {response.url} answered {response.status_code}: {text}{hint}")
        try:
            return response.json()
        except ValueError as error:
            raise OrchestratorUnavailable(f"{response.url} does not respond like a Prefect server") from error


def _state(run: Mapping[str, Any]) -> RunState:
    state = run["state"] or {}
    return RunState(
        kind=state.get("type") or "PENDING", name=state.get("name") or "Pending", message=state.get("message") or ""
    )
