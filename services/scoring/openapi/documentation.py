"""The documentation of the service: `/docs.json` (OpenAPI 3.1), and a page at `/` to read it and to try the calls.

The page uses the Swagger UI in BentoML's package; BentoML's own page would load more from other servers.
`tests/integration/test_scoring_contract.py` tests the running service against the document.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from adapters.scoring.wire_format import DEADLINE_HEADER, NO_CHAMPION
from cardwatch.decision.control_share import ControlSample
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.features.reference_choice import Tables
from services.scoring.api.example import ExampleSource
from services.scoring.http.routes import Endpoint, Request, Response
from services.scoring.model.manager import ModelManager
from services.scoring.openapi.examples import DocumentExamples, make_examples
from services.scoring.openapi.operations import EXPLAIN, OPERATIONS, ROWS, SCORE, error_responses, paths
from services.scoring.openapi.schemas import schemas

FILES: Final = {
    "/": (Path(__file__).parent / "page.html", b"text/html; charset=utf-8"),
    "/page.js": (Path(__file__).parent / "page.js", b"text/javascript; charset=utf-8"),
}
"""File and content type of the page and of its script, by path."""

_ABOUT: Final = f"""
Fraud scores for card payments: previews of decisions about transactions, and scores of feature rows.
The service only reads. The stream worker makes the decision of record, so a repeated call changes nothing.

- **Keys.** All calls but the health checks need `Authorization: Bearer KEY`. A key has scopes, and may have a rate. To
  try a call here: **Authorize** with a key, open the call, **Execute**. The cards in its examples are new ones; the
  first request above uses a card that this service knows.
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


class Documentation:
    """The endpoints of the document and the page. The examples in the document are made for the running service.

    Neither needs a key, so the document shows no card of the stack. It is made again only when the champion or the
    newest reference table has changed, so that requests for it cost little.
    """

    def __init__(
        self,
        manager: ModelManager,
        source: ExampleSource,
        tables: Tables,
        policy: DecisionPolicy,
        control: ControlSample | None = None,
    ) -> None:
        self._manager, self._source, self._tables, self._policy = manager, source, tables, policy
        self._control = control
        self._made_for: tuple[str, ...] = ()
        self._document = b""

    def endpoints(self) -> dict[tuple[str, str], Endpoint]:
        """Return the endpoints by method and path."""
        return {("GET", "/docs.json"): self._docs} | {("GET", path): _file(*file) for path, file in FILES.items()}

    async def _docs(self, _: Request) -> Response:
        champion = self._manager.served.champion
        no_champion = "" if champion else f"{NO_CHAMPION}: {self._manager.unavailable_reason()}"
        served = (champion.version.version, champion.version.digest) if champion else (no_champion,)
        made_for = (*served, self._source.newest_table().table_id)
        if made_for != self._made_for:
            examples = make_examples(
                self._source, self._tables, self._policy, champion, no_champion, control=self._control
            )
            self._document = msgspec.json.encode(openapi(examples))
            self._made_for = made_for
        return Response(self._document)


def _file(path: Path, content_type: bytes) -> Endpoint:
    response = Response(path.read_bytes(), content_type=content_type)

    async def respond(_: Request) -> Response:
        return response

    return respond


def openapi(examples: DocumentExamples) -> dict[str, Any]:
    """Return the OpenAPI document with these examples."""
    key = {"type": "http", "scheme": "bearer", "description": "Created with `cardwatch keys add NAME --scope SCOPE`."}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Cardwatch scoring", "version": "1", "description": _ABOUT.strip()},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths(examples),
        "components": {"schemas": schemas(), "responses": error_responses(), "securitySchemes": {"key": key}},
    }
