"""Composition root of a worker: our endpoints before BentoML's application, and the model manager in a thread."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from adapters.archive.example_transaction import ExampleTransactionFile
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.feature_store.lmdb import data_file
from adapters.feature_store.open import open_reader
from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.model_registry.model_folder import ModelFolder
from adapters.runtime.policy_file import read_control, read_policies
from adapters.runtime.settings import Settings
from adapters.scoring.api_keys import KeyRing, RateLimit
from adapters.tracing.open import tracing_of
from cardwatch.warm_up import warm_kernel, warm_scoring
from services.scoring.api.card_states import CardStateReader
from services.scoring.api.endpoints import ScoringApi
from services.scoring.api.example import ExampleSource
from services.scoring.api.preview import PreviewScorer
from services.scoring.http.admission import Admission
from services.scoring.http.routes import WRITE_RESPONSE, DirectEndpoint, Routes
from services.scoring.metrics import FLUSH_SECONDS, ScoringMetrics, remove_dead_worker_gauges
from services.scoring.model.manager import ModelManager
from services.scoring.openapi.documentation import Documentation
from services.scoring.quick_start import end_start
from services.scoring.server_patches import redirect_logging

if TYPE_CHECKING:
    from adapters.tracing.spans import Tracing

SWITCH_SECONDS: Final = 0.0005
"""Maximum time that the thread of the model manager may hold the interpreter lock while a request waits."""


class ScoringApplication:
    """The ASGI application: our paths go to `routes`, all others to BentoML.

    When the server shuts down, the model manager stops, the metrics are flushed and pending spans are sent. `direct`:
    endpoints that `TimeoutProtocol` calls itself, by the targets of their requests.
    """

    def __init__(
        self,
        routes: Routes,
        bentoml_app: ASGIApp,
        manager: ModelManager,
        metrics: ScoringMetrics,
        tracing: Tracing | None = None,
        direct: Sequence[DirectEndpoint] = (),
    ) -> None:
        self.direct: Final = {endpoint.path.encode(): endpoint for endpoint in direct}
        self._routes, self._bentoml_app, self._manager, self._metrics = routes, bentoml_app, manager, metrics
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, or the lifespan of the worker."""
        if scope["type"] == "http" and scope["path"] in self._routes:
            await self._routes.handle(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._run_lifespan(scope, receive, send)
        else:
            scope.pop(WRITE_RESPONSE, None)
            self._metrics.flush()  # the path may be `/metrics`
            await self._bentoml_app(scope, receive, send)

    async def _run_lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._manager.wait_for_first_refresh()
        end_start()
        flushing = asyncio.create_task(self._flush_metrics())
        try:
            await self._bentoml_app(scope, receive, send)
        finally:
            flushing.cancel()
            self._metrics.flush()
            self._manager.stop()
            if self._tracing is not None:
                await asyncio.to_thread(self._tracing.close)

    async def _flush_metrics(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            self._metrics.flush()


def build_application(settings: Settings, bentoml_app: ASGIApp) -> ScoringApplication:
    """Return the warmed-up application of a worker, whose models are being loaded."""
    metrics, manager = prepare_worker(settings)
    policy = read_policies(settings).decision
    control = read_control(settings, policy)
    file = None if settings.store_url else data_file(settings.store)
    states = CardStateReader(partial(open_reader, settings), file, time.monotonic)
    tables = ReferenceTableStore(settings.tables)
    examples = ExampleSource(tables, states, ExampleTransactionFile(settings.tables).read)
    keys = KeyRing(str(settings.api_key), settings.keys_file)
    admission = Admission(keys, RateLimit(1.0 / settings.scoring_workers), settings.deadline_ms, metrics.count_shed)
    warm_kernel()
    warm_scoring(policy)
    api = ScoringApi(manager, PreviewScorer(states, tables, policy, control), examples, admission, metrics)
    documentation = Documentation(manager, examples, tables, policy, control)
    endpoints, tracing = api.endpoints() | documentation.endpoints(), tracing_of(settings, "scoring")
    direct = api.direct_endpoints()
    if tracing is not None:
        from services.scoring.http.tracing import traced, traced_direct  # noqa: PLC0415 (OpenTelemetry, off by default)

        endpoints = traced(endpoints, tracing)
        direct = {path: (traced_direct(answer, path, tracing), size) for path, (answer, size) in direct.items()}
    routes = Routes(endpoints, metrics)
    return ScoringApplication(
        routes,
        bentoml_app,
        manager,
        metrics,
        tracing,
        [routes.direct(path, answer, max_bytes) for path, (answer, max_bytes) in direct.items()],
    )


def prepare_worker(settings: Settings) -> tuple[ScoringMetrics, ModelManager]:
    """Set up the process of a worker, and start to load its models while the caller builds the rest."""
    redirect_logging(settings)
    exit_with_parent(os.getppid())
    sys.setswitchinterval(SWITCH_SECONDS)
    remove_dead_worker_gauges(settings.home / "bentoml" / "prometheus_multiproc_dir")
    metrics = ScoringMetrics()
    if settings.model_folder:
        manager = ModelManager(ModelFolder(settings.model_folder), None, on_swap=metrics.set_version)
    else:
        manager = ModelManager(
            MlflowRegistry(settings.mlflow_url), settings.home / "models", on_swap=metrics.set_version
        )
    manager.start()
    return metrics, manager


def exit_with_parent(parent: int) -> None:
    """Exit this process when its parent has exited. A worker that outlived its supervisor would keep the port."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
