"""Whether the processes of a stack are ready, and why not, asked over HTTP or of the broker."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from http import HTTPStatus
from typing import Final

import httpx
from msgspec import structs

from adapters.kafka.topics import unreachable_reason
from adapters.local_stack.stack_home import ProcessEndpoint
from adapters.model_registry.mlflow_access import MlflowAccess
from adapters.prefect import PrefectAccess
from adapters.runtime.addresses import split_userinfo
from adapters.runtime.kafka_connection import KafkaConnection

READY_PATHS: Final = {"mlflow": "/health", "prefect": "/api/health"}
_SERVICE_READY_PATH: Final = "/readyz"


def unready_reasons(
    endpoints: Mapping[str, ProcessEndpoint], kafka: KafkaConnection | None = None
) -> dict[str, str | None]:
    """Return for each process why it is not ready, None if it is; all are checked concurrently.

    `kafka` is how clients reach a broker that the stack has not started itself.
    """

    def reason(name: str) -> str | None:
        return _unready_reason(name, endpoints[name], kafka or KafkaConnection(""))

    with ThreadPoolExecutor(max(len(endpoints), 1)) as pool:
        return dict(zip(endpoints, pool.map(reason, endpoints), strict=True))


def metrics_page(endpoint: ProcessEndpoint) -> str | None:
    """Return the page `/metrics` of a service, in Prometheus' text format; None without one, or without an answer.

    Kafka, MLflow and Prefect have no such page.
    """
    if not endpoint.readiness_url.endswith(_SERVICE_READY_PATH):
        return None
    try:
        response = _client().get(endpoint.readiness_url.removesuffix(_SERVICE_READY_PATH) + "/metrics")
    except httpx.HTTPError:
        return None
    return response.text if response.is_success else None


def _unready_reason(name: str, endpoint: ProcessEndpoint, kafka: KafkaConnection) -> str | None:
    if not endpoint.readiness_url:
        return unreachable_reason(structs.replace(kafka, bootstrap=endpoint.address))
    return unready_reason(endpoint.readiness_url, name)


def is_responding(url: str, name: str = "") -> bool:
    """Whether `GET url` succeeds, with the login of the server `name`."""
    return unready_reason(url, name) is None


def unready_reason(url: str, name: str = "") -> str | None:
    """Return why `GET url` does not succeed, from the response if it gives a reason; None if it succeeds.

    `name` is that of a process; requests to `mlflow` and `prefect` hold the login of their clients.
    """
    try:
        response = _client().get(split_userinfo(url).url, headers=_login(name, url))
    except httpx.HTTPError:
        return "it does not answer yet"
    if response.is_success:
        return None
    try:
        body = response.json()
        return str(body.get("reason") or body["error"])
    except (ValueError, KeyError, AttributeError):
        return f"it answers {response.status_code} {HTTPStatus(response.status_code).phrase}"


def _login(name: str, url: str) -> dict[str, str]:
    match name:
        case "mlflow":
            return MlflowAccess.to(url).headers()
        case "prefect":
            return PrefectAccess.to(url).headers()
        case _:
            return {}


@cache
def _client() -> httpx.Client:
    """Return the shared client; creating one costs 20 ms, and readiness is polled several times a second."""
    return httpx.Client(timeout=2.0, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
