"""Patches of BentoML and uvicorn, and a list of the private parts of them and of prometheus_client that are used.

None of these parts is a documented interface, so an upgrade may remove or change it. `PRIVATE_PARTS` lists them, and
`tests/unit/services/scoring/test_server_patches.py` fails with the name of each part that is missing or different.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Final, NamedTuple

from adapters.runtime.logs import set_up_logging
from adapters.runtime.settings import Settings

CHECK_SECONDS: Final = 1
"""Interval at which the supervisor checks for dead workers. BentoML's 10 s would leave a dead worker unreplaced."""

_LEVELS: Final = {"bentoml": logging.INFO, "circus": logging.WARNING, "uvicorn.error": logging.WARNING}


class PrivatePart(NamedTuple):
    """A function, class or attribute at `path` (`module:attribute.attribute`).

    `parameters` are all parameters of a function, or, if `others` is true, those that it must have. None: no function.
    """

    path: str
    parameters: tuple[str, ...] | None = None
    others: bool = False


_PROTOCOL: Final = "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol"
PRIVATE_PARTS: Final = (
    # `patch_supervisor` replaces these two; BentoML imports them where it calls them.
    PrivatePart("bentoml._internal.log:configure_server_logging", ()),
    PrivatePart("bentoml._internal.utils.circus:create_standalone_arbiter", ("watchers", "threaded", "kwargs")),
    # `services.scoring.service` puts our ASGI application in front of BentoML's.
    PrivatePart("bentoml:service", ("service_class",), others=True),
    PrivatePart("bentoml:Service.to_asgi", ("self", "is_main")),
    # `services.scoring.http.timeout_protocol` extends uvicorn's protocol.
    PrivatePart("uvicorn.config:HTTP_PROTOCOLS"),
    PrivatePart("uvicorn.protocols.http.httptools_impl:STATUS_LINE"),
    PrivatePart(
        "uvicorn.protocols.http.httptools_impl:RequestResponseCycle",
        (
            "scope",
            "transport",
            "flow",
            "logger",
            "access_logger",
            "access_log",
            "default_headers",
            "message_event",
            "expect_100_continue",
            "keep_alive",
            "on_response",
        ),
    ),
    PrivatePart(f"{_PROTOCOL}.connection_made", ("self", "transport")),
    PrivatePart(f"{_PROTOCOL}.data_received", ("self", "data")),
    PrivatePart(f"{_PROTOCOL}.on_message_begin", ("self",)),
    PrivatePart(f"{_PROTOCOL}.on_headers_complete", ("self",)),
    PrivatePart(f"{_PROTOCOL}.on_body", ("self", "body")),
    PrivatePart(f"{_PROTOCOL}.on_message_complete", ("self",)),
    PrivatePart(f"{_PROTOCOL}.on_response_complete", ("self",)),
    PrivatePart(f"{_PROTOCOL}.shutdown", ("self",)),
    PrivatePart(f"{_PROTOCOL}._start_asgi_task", ("self", "cycle", "app")),
    PrivatePart(f"{_PROTOCOL}.send_400_response", ("self", "msg")),
    PrivatePart(f"{_PROTOCOL}._unsupported_upgrade_warning", ("self",)),
)
PROTOCOL_ATTRIBUTES: Final = (
    "access_log", "access_logger", "app", "config.app", "connections", "cycle", "expect_100_continue",
    "flow.resume_reading", "flow.write_paused", "headers", "logger", "loop", "parser", "pipeline", "scope",
    "server_state.default_headers", "server_state.total_requests", "tasks", "timeout_keep_alive", "transport", "url",
    "ws_protocol_class",
)  # fmt: skip
"""Attributes of an `HttpToolsProtocol` that has received a request."""
CYCLE_ATTRIBUTES: Final = (
    "body", "disconnected", "keep_alive", "message_event", "more_body", "on_response", "response_complete",
    "response_started", "scope", "waiting_for_100_continue",
)  # fmt: skip
"""Attributes of a `RequestResponseCycle`."""
HISTOGRAM_ATTRIBUTES: Final = ("_buckets", "_sum")
"""Attributes of a labelled `prometheus_client.Histogram`; see `services.scoring.metrics`."""


def patch_supervisor(settings: Settings) -> None:
    """Let BentoML's supervisor log as we do, and replace a dead worker after `CHECK_SECONDS`.

    BentoML has no option for either. Call it before `bentoml_cli` is imported.
    """
    from bentoml._internal import log  # noqa: PLC0415 (with circus a tenth of a second, which only the supervisor needs)
    from bentoml._internal.utils import circus  # noqa: PLC0415

    circus.create_standalone_arbiter = partial(circus.create_standalone_arbiter, check_delay=CHECK_SECONDS)
    log.configure_server_logging = lambda: redirect_logging(settings)


def use_protocol(name: str) -> None:
    """Make uvicorn use the protocol class `module:class`. BentoML starts uvicorn with the default, "auto"."""
    from uvicorn.config import HTTP_PROTOCOLS  # noqa: PLC0415 (only the worker needs it)

    HTTP_PROTOCOLS["auto"] = name


def redirect_logging(settings: Settings) -> None:
    """Send the log lines of BentoML, circus and uvicorn to our handler. Call it after BentoML has set up its own."""
    set_up_logging(settings, "scoring")
    for name, level in _LEVELS.items():
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(level)
