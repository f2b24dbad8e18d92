"""The scoring service compared with textbook services of the same model: requests per second of one process.

The naive services do less (see `benchmarks.serving.naive`) and run as in their documentation, without further options
but the address.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Final

import mlflow
import msgspec
import xgboost
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

from benchmarks.harness import Metrics, compared, in_rounds
from benchmarks.load import write_bodies
from benchmarks.serving.fixture import ServingFixture, serving_fixture
from benchmarks.serving.naive import model_file
from benchmarks.serving.rounds import measure_load, rates
from benchmarks.serving.servers import (
    MLFLOW_FOLDER,
    naive_bentoml,
    naive_fastapi,
    naive_mlflow,
    running_servers,
    scoring,
)
from cardwatch.features.definitions import FEATURE_NAMES

CONNECTIONS: Final = 16
ROUNDS: Final = 3
ROWS: Final = 2_000
GOALS: Final = {"mlflow": 50, "bentoml": 20, "fastapi": 20}
TITLES: Final = {
    "mlflow": "`mlflow models serve`",
    "bentoml": "`@bentoml.api` with pydantic and pandas",
    "fastapi": "FastAPI with pydantic and pandas",
}


def measure() -> Metrics:
    """Return the requests per second of each service at 16 connections, and by how much ours is faster."""
    data = serving_fixture()
    _save_for_mlflow(data)
    named, split = _bodies(data)
    measure_ours = partial(measure_load, connections=CONNECTIONS, headers=data.headers)
    measure_naive = partial(measure_load, connections=CONNECTIONS, seconds=3.0)
    with running_servers(data.settings, scoring, naive_mlflow, naive_bentoml, naive_fastapi) as servers:
        ours, in_mlflow, in_bentoml, in_fastapi = servers
        results = in_rounds(
            {
                "ours": partial(measure_ours, ours, "/v1/score", data.transactions),
                "mlflow": partial(measure_naive, in_mlflow, "/invocations", split),
                "bentoml": partial(measure_naive, in_bentoml, "/predict", named),
                "fastapi": partial(measure_naive, in_fastapi, "/predict", named),
            },
            rounds=ROUNDS,
        )
    return {
        f"baseline_{name}": compared(
            rates(results["ours"]),
            rates(results[name]),
            unit="requests per second",
            how=f"`/v1/score` over {title}, {CONNECTIONS} connections",
            goal=f"at least {GOALS[name]} times",
        )
        for name, title in TITLES.items()
    }


def _save_for_mlflow(data: ServingFixture) -> None:
    """Save the model with a signature, as MLflow recommends. It also makes MLflow read null as a missing number."""
    booster = xgboost.Booster(model_file=str(model_file(data.settings.home)))
    signature = ModelSignature(Schema([ColSpec("float", name, required=False) for name in FEATURE_NAMES]))
    folder = str(data.settings.home / MLFLOW_FOLDER)
    mlflow.xgboost.save_model(booster, folder, signature=signature, pip_requirements=["xgboost"])


def _bodies(data: ServingFixture) -> tuple[Path, Path]:
    """Write the features of the transactions as objects by name, and in MLflow's split format."""
    rows = [[None if math.isnan(value) else value for value in row] for row in data.rows[:ROWS].tolist()]
    named = [dict(zip(FEATURE_NAMES, row, strict=True)) for row in rows]
    split = [{"dataframe_split": {"columns": FEATURE_NAMES, "data": [row]}} for row in rows]
    home = data.settings.home
    return (
        write_bodies(home / "named.bodies", map(msgspec.json.encode, named)),
        write_bodies(home / "split.bodies", map(msgspec.json.encode, split)),
    )
