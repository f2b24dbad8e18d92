"""The BentoML service: its process, metrics endpoint and pages, with our paths answered before its middleware.

That middleware costs half a millisecond a request, most of it for tracing.
"""

from __future__ import annotations

import bentoml
from starlette.types import ASGIApp

from adapters.settings import read_settings


class FrontedService(bentoml.Service):  # type: ignore[misc]
    """A BentoML service that answers through `Front`."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        """The application; only the worker asks for it, so only the worker imports what models need."""
        from uvicorn.config import HTTP_PROTOCOLS  # noqa: PLC0415

        from services.scoring import protocol  # noqa: PLC0415
        from services.scoring.front import build_front  # noqa: PLC0415

        # BentoML starts uvicorn with its default protocol and offers no way to name another.
        HTTP_PROTOCOLS["auto"] = protocol.NAME
        return build_front(read_settings(), super().to_asgi(is_main))


@bentoml.service(name="cardwatch-scoring", service_class=FrontedService, logging={"access": {"enabled": False}})
class Scoring:
    """Probabilities of fraud and reasons for feature rows; see `POST /invocations` and `POST /v1/score`."""
