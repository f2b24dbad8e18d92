"""SageMaker's requirements on a container, tested on `python -m services.scoring serve`."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest

from adapters.scoring.wire_format import (
    ATTRIBUTES_HEADER,
    BINARY,
    DEADLINE_HEADER,
    JSON,
    MSGPACK,
    SCHEMA_HEADER,
    decode_scores,
    encode_attributes,
    encode_rows,
)
from cardwatch.features.definitions import FEATURES, SCHEMA_HASH
from models.training import FittedDetector

Serving = Any
ROWS = np.zeros((2, len(FEATURES)), np.float32)


@pytest.fixture(scope="module")
def ready(container: Serving, fitted: FittedDetector) -> Serving:
    """The container with a model."""
    container.serve(fitted.files, "3")
    return container


def invoke(serving: Serving, body: bytes, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"{serving.url}/invocations", content=body, headers=named, trust_env=False, timeout=30)


def attributes(**more: str) -> dict[str, str]:
    return {ATTRIBUTES_HEADER: encode_attributes({SCHEMA_HEADER: SCHEMA_HASH, **more})}


def test_it_scores_without_a_key_what_sagemaker_passes_on(ready: Serving, fitted: FittedDetector) -> None:
    answer = invoke(ready, encode_rows(ROWS), **attributes(), Content_Type=BINARY, Accept=MSGPACK)
    assert answer.status_code == 200, answer.text
    assert decode_scores(answer.content).margins.tobytes() == fitted.detector.margins(ROWS).tobytes()


def test_the_deadline_in_the_attributes_applies(ready: Serving) -> None:
    body = encode_rows(ROWS)
    refused = invoke(ready, body, **attributes(**{DEADLINE_HEADER: "soon"}))
    assert (refused.status_code, DEADLINE_HEADER in refused.text) == (400, True)
    many = encode_rows(np.zeros((5_000, len(FEATURES)), np.float32), np.zeros(5_000))
    late = invoke(ready, many, **attributes(**{DEADLINE_HEADER: "1", "X-Reasons-Above": "per-row"}))
    assert late.status_code == 503
    assert "within 1 ms" in late.text


def test_json_rows_contain_their_schema(ready: Serving) -> None:
    row = ",".join(["0.5"] * len(FEATURES))
    body = f'{{"feature_schema": "{SCHEMA_HASH}", "instances": [[{row}]]}}'.encode()
    answer = invoke(ready, body, Content_Type=JSON)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["margins"]) == 1


def test_ping_returns_the_served_version(ready: Serving) -> None:
    assert ready.get("/ping").json()["version"] == "3"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", path) for path in ("/", "/docs.json", "/metrics", "/healthz", "/livez", "/readyz", "/v1/model")),
        *(("POST", path) for path in ("/v1/score", "/v1/score/batch", "/v1/explain", "/v1/reload", "/execution")),
    ],
)
def test_other_paths_are_not_found(ready: Serving, method: str, path: str) -> None:
    answer = httpx.request(method, ready.url + path, trust_env=False, timeout=30)
    assert (answer.status_code, answer.json()) == (404, {"error": "there is no such path"})
