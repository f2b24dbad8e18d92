"""The BentoML services, which provide the worker processes, `/metrics` and the static files.

Our endpoints are called before BentoML's middleware, which would cost half a millisecond per request, mostly for
tracing. `Scoring` is the service; `SageMakerScoring` is the container of a SageMaker endpoint.
"""

from __future__ import annotations

from typing import Final

import bentoml
from starlette.types import ASGIApp

from adapters.runtime.settings import Settings, read_settings
from services.scoring.quick_start import begin_start
from services.scoring.server_patches import use_protocol

NAME: Final = "cardwatch-scoring"
_NO_ACCESS_LOG: Final = {"access": {"enabled": False}}


class ScoringService(bentoml.Service):  # type: ignore[misc]
    """A BentoML service that answers through `ScoringApplication`."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        """Return the worker's application. Only a worker calls this, so only a worker imports the model libraries."""
        begin_start()
        from services.scoring.http import timeout_protocol  # noqa: PLC0415

        use_protocol(timeout_protocol.NAME)
        return self._application(read_settings(), super().to_asgi(is_main))

    @staticmethod
    def _application(settings: Settings, bentoml_app: ASGIApp) -> ASGIApp:
        from services.scoring.application import build_application  # noqa: PLC0415

        return build_application(settings, bentoml_app)


class SageMakerService(ScoringService):
    """A service with the endpoints that SageMaker requires and no others."""

    @staticmethod
    def _application(settings: Settings, bentoml_app: ASGIApp) -> ASGIApp:
        from services.scoring.aws.sagemaker import build_sagemaker_application  # noqa: PLC0415

        return build_sagemaker_application(settings, bentoml_app)


@bentoml.service(name=NAME, service_class=ScoringService, logging=_NO_ACCESS_LOG)
class Scoring:
    """Probabilities of fraud and reasons for transactions (`POST /v1/score`) and feature rows (`POST /invocations`)."""


@bentoml.service(name=NAME, service_class=SageMakerService, logging=_NO_ACCESS_LOG)
class SageMakerScoring:
    """Probabilities of fraud for feature rows, for callers that SageMaker has authorized; see `POST /invocations`."""
