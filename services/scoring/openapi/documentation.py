"""The documentation of the service: `/docs.json` (OpenAPI 3.1), and a page at `/` to read it and to try the calls.

The page uses the Swagger UI in BentoML's package; BentoML's own page would load more from other servers.
`tests/integration/test_scoring_contract.py` tests the running service against the document.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

from adapters.scoring.wire_format import DEADLINE_HEADER
from services.scoring.http.routes import Endpoint, Request, Response, json_response
from services.scoring.openapi.operations import EXPLAIN, OPERATIONS, ROWS, SCORE, error_responses, paths
from services.scoring.openapi.schemas import schemas

PAGE: Final = Path(__file__).parent / "page.html"

_ABOUT: Final = f"""
Fraud scores for card payments: previews of decisions about transactions, and scores of feature rows.
The service only reads. The stream worker makes the decision of record, so a repeated call changes nothing.

- **Keys.** All calls but the health checks need `Authorization: Bearer KEY`. A key has scopes, and may have a rate. To
  try a call here: **Authorize** with a key, open the call, **Execute**.
- **Time.** `{DEADLINE_HEADER}` says for how many milliseconds a response is useful to you. A request that cannot be
  answered by then is rejected with 503: decide by your own rules.
- **Errors** are JSON: `error` is a readable message, and with 422 `field` is the path of the field. Retry only after
  429 and 503, after `Retry-After` seconds. Bytes that are not HTTP get a 400 in plain text, or a closed connection.
"""
_TAGS: Final = {
    SCORE: "Previews of decisions: what would be decided if a transaction were the next one of its card.",
    EXPLAIN: "Exact contributions of all features to a score, and the reasons with their texts.",
    ROWS: "Scores of feature rows, for callers that compute features: the stream worker, or a SageMaker client.",
    OPERATIONS: "Served model versions, and health checks.",
}


def documentation_endpoints() -> dict[tuple[str, str], Endpoint]:
    """Return the endpoints of the document and the page by method and path."""
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
    """Return the OpenAPI document."""
    key = {"type": "http", "scheme": "bearer", "description": "Created with `cardwatch keys add NAME --scope SCOPE`."}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Cardwatch scoring", "version": "1", "description": _ABOUT.strip()},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths(),
        "components": {"schemas": schemas(), "responses": error_responses(), "securitySchemes": {"key": key}},
    }
