"""The composition root of a container on SageMaker: `POST /invocations`, `GET /ping`, one model in a folder.

Whoever calls the endpoint has shown AWS that they may (`sagemaker:InvokeEndpoint`), and nobody else reaches the
container. So it asks for no key, and for the same reason it answers nothing else: not the questions about transactions,
which need card states, and not BentoML's pages and figures.
"""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from adapters.runtime.settings import Settings
from adapters.scoring.api_keys import ApiKey, KeyScope, RateLimit
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.warm_up import warm_scoring
from services.scoring.api.invocations import Invocations
from services.scoring.application import Front, begin
from services.scoring.http.admission import Admission
from services.scoring.http.routes import Routes, json_answer

_CALLER: Final = ApiKey(id="iam", name="IAM", sha256="", scopes=(KeyScope.SCORE,))
_NOT_FOUND: Final = json_answer({"error": "there is no such path"}, 404)


class KeyedByIam:
    """In place of a key ring where AWS has checked its caller before the request arrives."""

    ids: Final = frozenset({_CALLER.id})

    def check(self, _authorization: bytes, _scope: KeyScope) -> ApiKey:
        """The one caller there is, without a limit of ours."""
        return _CALLER

    def refresh(self) -> bool:
        """Never."""
        return False


class Unseen:
    """An application that lives and answers nobody: to every path it says 404."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = [(b"content-type", _NOT_FOUND.content_type), (b"content-length", b"%d" % len(_NOT_FOUND.body))]
        await send({"type": "http.response.start", "status": _NOT_FOUND.status, "headers": headers})
        await send({"type": "http.response.body", "body": _NOT_FOUND.body})


def build_container(settings: Settings, bentoml_app: ASGIApp) -> Front:
    """All of the worker, warm, its model being read."""
    metrics, holder = begin(settings)
    admission = Admission(KeyedByIam(), RateLimit(), settings.deadline_ms, metrics.shed)
    warm_scoring(DecisionPolicy())
    rows = Invocations(holder, admission, metrics)
    return Front(Routes(rows.endpoints(), metrics), Unseen(bentoml_app), holder, metrics)
