"""What the service says about itself: `/docs.json` (OpenAPI 3.1) and the page at `/` to try it.

The page uses the Swagger UI that BentoML brings along, without what BentoML's own page loads from other people's
servers. `tests/integration/test_scoring_contract.py` holds the running service to the document.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

from adapters.scoring.wire_format import DEADLINE_HEADER
from services.scoring.http.routes import Endpoint, Request, Response, json_response
from services.scoring.openapi.operations import EXPLAIN, OPERATIONS, ROWS, SCORE, paths, refusals
from services.scoring.openapi.schemas import schemas

PAGE: Final = Path(__file__).parent / "page.html"

_ABOUT: Final = f"""
Fraud scores for card payments: what would be decided about a transaction and why, or the model alone for feature rows.
The service reads and never writes. The decision of record is the stream's, so to ask twice changes nothing.

- **Keys.** All but the health checks need `Authorization: Bearer KEY`. A key is good for some scopes, and may have a
  rate. To try a call here: **Authorize** with one, open the call, **Execute**.
- **Time.** Say in `{DEADLINE_HEADER}` how long an answer is of use to you. What cannot be answered by then is refused
  with 503: decide by your own rules.
- **Errors** are JSON: `error` is for a person, and with 422 `field` is the path of the field. Nothing is worth a second
  try but 429 and 503, after `Retry-After` seconds. What is not HTTP at all gets a 400 in plain text, or a closed
  connection.
"""
_TAGS: Final = {
    SCORE: "What would be decided, were a transaction the next one of its card.",
    EXPLAIN: "Exact contributions of all features to a score, and the reasons in words.",
    ROWS: "The model alone, for callers that have features: the stream, or a SageMaker endpoint's client.",
    OPERATIONS: "What is served, and whether it is ready.",
}


def documentation_endpoints() -> dict[tuple[str, str], Endpoint]:
    """The endpoints of these two, by method and path."""
    return {("GET", "/docs.json"): _docs, ("GET", "/"): _page}


async def _docs(_: Request) -> Response:
    return json_response(openapi())


async def _page(_: Request) -> Response:
    return Response(_page_bytes(), content_type=b"text/html; charset=utf-8")


@cache
def _page_bytes() -> bytes:
    return PAGE.read_bytes()


@cache
def openapi() -> dict[str, Any]:
    """The OpenAPI document."""
    key = {"type": "http", "scheme": "bearer", "description": "Made with `cardwatch keys add NAME --scope SCOPE`."}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Cardwatch scoring",
            "version": "1",
            "description": _ABOUT.strip(),
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths(),
        "components": {"schemas": schemas(), "responses": refusals(), "securitySchemes": {"key": key}},
    }
