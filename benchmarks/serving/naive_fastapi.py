"""The model in an application like those of FastAPI tutorials: loaded in the lifespan, pydantic model to dictionary."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request

from benchmarks.serving.naive import Row, load_model, probability


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.model = load_model()
    yield


app = FastAPI(lifespan=_lifespan)


@app.post("/predict")
def predict(row: Row, request: Request) -> dict[str, float]:
    return {"probability": probability(request.app.state.model, row)}
