"""The private parts of BentoML, uvicorn and prometheus_client exist and have the signatures that we rely on."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from functools import reduce
from importlib import import_module
from typing import Any
from unittest.mock import Mock

import bentoml
import pytest
from prometheus_client import CollectorRegistry, Histogram
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from services.scoring.server_patches import (
    CHECK_SECONDS,
    CYCLE_ATTRIBUTES,
    HISTOGRAM_ATTRIBUTES,
    PRIVATE_PARTS,
    PROTOCOL_ATTRIBUTES,
    PrivatePart,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # BentoML uses deprecated parts of its libraries


def difference(part: PrivatePart) -> str:
    """Return how a part differs from what is listed, "" if it does not."""
    module, _, path = part.path.partition(":")
    try:
        found = reduce(getattr, path.split("."), import_module(module))
    except (ImportError, AttributeError):
        return f"{part.path} is missing"
    if part.parameters is None:
        return ""
    parameters = tuple(inspect.signature(found).parameters)
    same = set(part.parameters) <= set(parameters) if part.others else part.parameters == parameters
    return "" if same else f"{part.path} has the parameters {parameters}"


@pytest.mark.parametrize("part", PRIVATE_PARTS, ids=lambda part: part.path)
def test_a_private_part_exists_with_its_signature(part: PrivatePart) -> None:
    assert difference(part) == ""


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (PrivatePart("bentoml._internal.gone:function", ()), "bentoml._internal.gone:function is missing"),
        (PrivatePart("bentoml:Service.gone"), "bentoml:Service.gone is missing"),
        (
            PrivatePart("bentoml:Service.to_asgi", ("self",)),
            "bentoml:Service.to_asgi has the parameters ('self', 'is_main')",
        ),
        (PrivatePart("bentoml:Service.to_asgi", ("gone",), others=True), "has the parameters ('self', 'is_main')"),
    ],
)
def test_a_missing_or_changed_part_is_named(part: PrivatePart, message: str) -> None:
    assert difference(part).endswith(message)


async def protocol_after_a_request() -> HttpToolsProtocol:
    async def application(_scope: object, _receive: object, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    config = Config(app=application, interface="asgi3", lifespan="off", log_config=None)
    protocol, transport = HttpToolsProtocol(config, ServerState(), {}), Mock()
    transport.is_closing.return_value = True
    transport.get_extra_info.return_value = None
    protocol.connection_made(transport)
    protocol.data_received(b"GET / HTTP/1.1\r\n\r\n")
    await asyncio.wait(protocol.tasks)
    return protocol


def missing(owner: object, paths: tuple[str, ...]) -> list[str]:
    """Return the attributes that `owner` does not have."""
    absent = object()

    def attribute(value: object, name: str) -> object:
        return getattr(value, name, absent)

    return [path for path in paths if reduce(attribute, path.split("."), owner) is absent]


def test_protocol_cycle_and_histogram_have_the_attributes() -> None:
    protocol = asyncio.run(protocol_after_a_request())
    histogram = Histogram("seconds", "Seconds.", ["path"], registry=CollectorRegistry()).labels("/")
    assert missing(protocol, PROTOCOL_ATTRIBUTES) == []
    assert missing(protocol.cycle, CYCLE_ATTRIBUTES) == []
    assert missing(histogram, HISTOGRAM_ATTRIBUTES) == []
    assert missing(protocol, ("loop", "flow.gone")) == ["flow.gone"]


def test_the_service_class_is_used_by_bentoml() -> None:
    from services.scoring import service  # noqa: PLC0415 (it registers BentoML services)

    assert isinstance(service.Scoring, service.ScoringService)
    assert isinstance(service.SageMakerScoring, service.SageMakerService)
    assert issubclass(service.ScoringService, bentoml.Service)


def test_the_supervisor_uses_the_patched_functions() -> None:
    """Runs in another process, because patches last until the process ends."""
    program = (
        "from adapters.runtime.settings import Settings\n"
        "from services.scoring.server_patches import patch_supervisor\n"
        "patch_supervisor(Settings())\n"
        "from bentoml._internal import log\n"
        "from bentoml._internal.utils import circus\n"
        "log.configure_server_logging()\n"
        "print(circus.create_standalone_arbiter([]).check_delay)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert float(ended.stdout) == CHECK_SECONDS
