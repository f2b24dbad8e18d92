"""Composition root of a SageMaker container: `POST /invocations` and `GET /ping`, with one model in a folder.

AWS authorizes the callers of an endpoint (`sagemaker:InvokeEndpoint`), and only SageMaker can reach the container.
Therefore the container requires no API key, and serves neither previews of transactions, which need card states, nor
BentoML's pages and metrics.
"""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from adapters.runtime.settings import Settings
from adapters.scoring.api_keys import ApiKey, KeyScope, RateLimit
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.warm_up import warm_scoring
from services.scoring.api.invocations import Invocations
from services.scoring.application import ScoringApplication, prepare_worker
from services.scoring.http.admission import Admission
from services.scoring.http.routes import Routes, json_response, send_response

_CALLER: Final = ApiKey(id="iam", name="IAM", sha256="", scopes=(KeyScope.SCORE,))
_NOT_FOUND: Final = json_response({"error": "there is no such path"}, 404)


class IamKeyRing:
    """The `Keys` of a container whose callers AWS has authorized: every caller has the same key, without a rate."""

    ids: Final = frozenset({_CALLER.id})

    def check(self, _authorization: bytes, _scope: KeyScope) -> ApiKey:
        """Return the key of every caller."""
        return _CALLER

    def refresh(self) -> bool:
        """Return False: the key never changes."""
        return False


class HiddenApplication:
    """An application that runs the lifespan of another one, and answers every request with 404."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, or the lifespan of the worker."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        else:
            await send_response(_NOT_FOUND, send)


def build_sagemaker_application(settings: Settings, bentoml_app: ASGIApp) -> ScoringApplication:
    """Return the warmed-up application of a worker, whose model is being loaded."""
    metrics, manager = prepare_worker(settings)
    admission = Admission(IamKeyRing(), RateLimit(), settings.deadline_ms, metrics.count_shed)
    warm_scoring(DecisionPolicy())
    routes = Routes(Invocations(manager, admission, metrics).endpoints(), metrics)
    return ScoringApplication(routes, HiddenApplication(bentoml_app), manager, metrics)
