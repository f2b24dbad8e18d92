"""The composition root of the worker: our app in front of BentoML's, and the model followed behind both."""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
from functools import partial

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from adapters.feature_stores import open_reader
from adapters.model_registry import ModelRegistry
from adapters.policies import read_policies
from adapters.settings import Settings
from cardwatch.features.warm import warm_kernel
from services.scoring.app import ScoringApi
from services.scoring.metrics import Metrics
from services.scoring.model_holder import ModelHolder
from services.scoring.question import Question


class Front:
    """Our paths to our app, every other one to BentoML's; the model is followed for as long as the server lives."""

    def __init__(self, ours: Starlette, bentoml_app: ASGIApp, holder: ModelHolder) -> None:
        self._ours, self._bentoml_app, self._holder = ours, bentoml_app, holder
        self._paths = frozenset(route.path for route in ours.routes if isinstance(route, Route))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] == "lifespan":
            self._holder.start()
            try:
                await self._bentoml_app(scope, receive, send)
            finally:
                self._holder.stop()
        elif scope["type"] == "http" and scope["path"] in self._paths:
            await self._ours(scope, receive, send)
        else:
            await self._bentoml_app(scope, receive, send)


def build_front(settings: Settings, bentoml_app: ASGIApp) -> Front:
    """All of the worker, warm but without a model, not started yet."""
    logging.getLogger("services.scoring").setLevel(logging.INFO)
    end_with(os.getppid())
    holder = ModelHolder(ModelRegistry(settings.mlflow_url), settings.home / "models")
    question = Question(partial(open_reader, settings), settings.tables, read_policies(settings).decision)
    warm_kernel()
    front = Front(ScoringApi(holder, question, Metrics(), settings.api_key).app(), bentoml_app, holder)
    gc.collect()
    gc.freeze()  # what is alive now stays: collections that walk it cost 100 ms
    return front


def end_with(parent: int) -> None:
    """End this process when its parent has ended: a worker that outlived BentoML's supervisor would keep the port."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
