"""The composition root of the worker: our endpoints in front of BentoML's, and the models followed behind both."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
from functools import partial
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from adapters.archive.reference_tables import ReferenceTableStore
from adapters.feature_store.lmdb import data_file
from adapters.feature_store.open import open_reader
from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.model_registry.model_folder import ModelFolder
from adapters.runtime.policy_file import read_policies
from adapters.runtime.settings import Settings
from adapters.scoring.api_keys import KeyRing, RateLimit
from cardwatch.features.warm_up import warm_kernel
from cardwatch.warm_up import warm_scoring
from services.scoring.api.card_states import States
from services.scoring.api.endpoints import ScoringApi
from services.scoring.api.preview import PreviewScorer
from services.scoring.http.admission import Admission
from services.scoring.http.routes import WHOLE, Routes
from services.scoring.logs import take_over_logging
from services.scoring.metrics import FLUSH_SECONDS, ScoringMetrics, forget_dead_workers
from services.scoring.model.manager import ModelManager
from services.scoring.openapi.documentation import documentation

SWITCH_SECONDS: Final = 0.0005
"""How long the thread that looks at the registry may keep the interpreter from the one that serves."""


class Front:
    """Our paths to our endpoints, every other one to BentoML's; models are followed for as long as the server lives."""

    def __init__(self, routes: Routes, bentoml_app: ASGIApp, holder: ModelManager, metrics: ScoringMetrics) -> None:
        self._routes, self._bentoml_app, self._holder, self._metrics = routes, bentoml_app, holder, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] == "http" and scope["path"] in self._routes:
            await self._routes.answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        else:
            scope.pop(WHOLE, None)
            self._metrics.flush()  # it may be `/metrics`
            await self._bentoml_app(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._holder.await_first_look()
        gc.collect()
        gc.freeze()  # what is alive now stays: collections that walk it cost 100 ms
        gc.set_threshold(50_000, 20, 20)  # requests leave no cycles behind
        counting = asyncio.create_task(self._count())
        try:
            await self._bentoml_app(scope, receive, send)
        finally:
            counting.cancel()
            self._metrics.flush()
            self._holder.stop()

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            self._metrics.flush()


def build_front(settings: Settings, bentoml_app: ASGIApp) -> Front:
    """All of the worker, warm, its models being fetched."""
    metrics, holder = begin(settings)
    policy = read_policies(settings).decision
    file = None if settings.store_url else data_file(settings.store)
    question = PreviewScorer(
        States(partial(open_reader, settings), file, time.monotonic), ReferenceTableStore(settings.tables), policy
    )
    keys = KeyRing(str(settings.api_key), settings.keys_file)
    admission = Admission(keys, RateLimit(1.0 / settings.scoring_workers), settings.deadline_ms, metrics.shed)
    warm_kernel()
    warm_scoring(policy)
    api = ScoringApi(holder, question, admission, metrics)
    return Front(Routes(api.endpoints() | documentation(), metrics), bentoml_app, holder, metrics)


def begin(settings: Settings) -> tuple[ScoringMetrics, ModelManager]:
    """What every worker does first. Models are being fetched from then on, while the rest is loaded."""
    take_over_logging(settings)
    end_with(os.getppid())
    sys.setswitchinterval(SWITCH_SECONDS)
    # numba looks for scipy's linear algebra, which nothing here uses, and loading it takes a fifth of a second.
    sys.modules.setdefault("scipy.linalg.cython_blas", None)  # type: ignore[arg-type]
    forget_dead_workers(settings.home / "bentoml" / "prometheus_multiproc_dir")
    metrics = ScoringMetrics()
    if settings.model_folder:
        holder = ModelManager(ModelFolder(settings.model_folder), None, on_swap=metrics.swapped)
    else:
        holder = ModelManager(MlflowRegistry(settings.mlflow_url), settings.home / "models", on_swap=metrics.swapped)
    holder.start()
    return metrics, holder


def end_with(parent: int) -> None:
    """End this process when its parent has ended: a worker that outlived BentoML's supervisor would keep the port."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
