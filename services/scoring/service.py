"""The BentoML services: their process, metrics endpoint and pages, with our paths answered before their middleware.

That middleware costs half a millisecond a request, most of it for tracing. `Scoring` is the service, `OnSageMaker` the
container of an endpoint; which of the two a process is, is said by whoever starts it (`services.scoring.__main__`).
"""

from __future__ import annotations

from typing import Final

import bentoml
from starlette.types import ASGIApp

from adapters.runtime.settings import Settings, read_settings

NAME: Final = "cardwatch-scoring"
_NO_ACCESS_LOG: Final = {"access": {"enabled": False}}


class FrontedService(bentoml.Service):  # type: ignore[misc]
    """A BentoML service that answers through `Front`."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        """The application; only the worker asks for it, so only the worker imports what models need."""
        from uvicorn.config import HTTP_PROTOCOLS  # noqa: PLC0415

        from services.scoring.http import timeout_protocol as protocol  # noqa: PLC0415

        # BentoML starts uvicorn with its default protocol and offers no way to name another.
        HTTP_PROTOCOLS["auto"] = protocol.NAME
        return self._front(read_settings(), super().to_asgi(is_main))

    @staticmethod
    def _front(settings: Settings, bentoml_app: ASGIApp) -> ASGIApp:
        from services.scoring.application import build_front  # noqa: PLC0415

        return build_front(settings, bentoml_app)


class SageMakerService(FrontedService):
    """The same with what SageMaker asks for in front, and nothing else."""

    @staticmethod
    def _front(settings: Settings, bentoml_app: ASGIApp) -> ASGIApp:
        from services.scoring.aws.sagemaker import build_container  # noqa: PLC0415

        return build_container(settings, bentoml_app)


@bentoml.service(name=NAME, service_class=FrontedService, logging=_NO_ACCESS_LOG)
class Scoring:
    """Probabilities of fraud and reasons for feature rows; see `POST /invocations` and `POST /v1/score`."""


@bentoml.service(name=NAME, service_class=SageMakerService, logging=_NO_ACCESS_LOG)
class OnSageMaker:
    """The same for feature rows alone, for a caller that SageMaker has let in; see `POST /invocations`."""
