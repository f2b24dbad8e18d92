"""Examples for the documentation. A test sends every request that is shown, and must get the response that is shown.

They are made for the running service: its newest reference table dates the requests, so that its model can score them,
and its champion gives the responses. The cards are unknown to every store, so no card state is read or shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from adapters.scoring.wire_format import CSV, JSON, ExampleRequest, encode_scores
from cardwatch.decision.control_share import ControlSample
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.decision.records import Preview
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.features.reference_choice import Tables
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.ports import Scores
from services.scoring.api.card_states import CardStateReader
from services.scoring.api.example import ABOUT_NEW_CARD, ExampleSource
from services.scoring.api.explanation import explain
from services.scoring.api.preview import PreviewScorer
from services.scoring.http.admission import MAX_DEADLINE_MS
from services.scoring.model.manager import LoadedModel, ServedModels

REASONS_ABOVE: Final = 0.5
"""Probability from which on the feature row that is shown gets reasons."""

STATUS: Final[dict[str, Any]] = {
    "version": "3",
    "digest": "5f8c3b6c2a6f4f6ab1f6f0d1e9c7b8a5d4e3f2a1b0c9d8e7f6a5b4c3d2e1f0a9",
    "refused": None,
    "candidate": "4",
    "candidate_stage": "canary",
    "canary_share": 0.1,
    "candidate_refused": None,
    "problem": None,
}

ERRORS: Final[dict[str, dict[str, dict[str, str]]]] = {
    "400": {"deadline": {"error": f"X-Deadline-Ms is not a whole number of milliseconds from 1 to {MAX_DEADLINE_MS}"}},
    "401": {
        "none": {"error": "an API key is needed, in the header Authorization: Bearer KEY"},
        "not valid": {"error": "the API key is not valid, or not any more"},
    },
    "403": {"scope": {"error": "the API key of 'dashboard' does not have the scope 'explain'"}},
    "409": {"schema": {"error": f"the rows have schema none, the model {SCHEMA_HASH}"}},
    "413": {"body": {"error": "the body is larger than 16,384 bytes"}},
    "415": {"type": {"error": "the content type is none of application/octet-stream, application/json, text/csv"}},
    "422": {
        "range": {"error": "$.amount_minor: Expected `int` >= 0", "field": "$.amount_minor"},
        "card number": {
            "error": "$.card_id: looks like a card number; send an opaque token instead",
            "field": "$.card_id",
        },
        "not JSON": {"error": "Input data was truncated", "field": ""},
    },
    "429": {"rate": {"error": "the API key of 'shop' has used up its rate of 100 transactions a second"}},
    "500": {"error": {"error": "internal error: KeyError"}},
    "503": {
        "no time": {"error": "busy: there is no answer within 50 ms"},
        "no champion": {"error": "no champion: it is being loaded"},
    },
}


class ModelResponses(Struct, frozen=True):
    """The champion's answers to the requests that are shown: JSON values, and a line of CSV."""

    explanation: dict[str, Any]
    second_explanation: dict[str, Any]
    row_explanation: dict[str, Any]
    scores: dict[str, Any]
    csv_scores: str


class DocumentExamples(Struct, frozen=True):
    """Requests and their responses as JSON values; `csv_row` is a line of CSV.

    `row`: the features of `online`, null where missing. `previews`: the responses to `online` and `in_a_shop`, by the
    rules if there is no champion. `by_model`: None if there is no champion.
    """

    online: dict[str, Any]
    in_a_shop: dict[str, Any]
    example: dict[str, Any]
    row: list[float | None]
    csv_row: str
    previews: list[dict[str, Any]]
    by_model: ModelResponses | None

    @property
    def by_rules(self) -> dict[str, Any]:
        """A response to `online` if the store does not answer."""
        no_score = dict.fromkeys(("sequence", "model_version", "model_digest", "margin", "probability"))
        decision = {"action": "approve", "reasons": [], "degraded": True}
        return {**self.previews[0], **no_score, **decision, "degraded_reason": "the feature store does not answer"}


def make_examples(
    source: ExampleSource,
    tables: Tables,
    policy: DecisionPolicy,
    champion: LoadedModel | None,
    no_champion: str,
    *,
    control: ControlSample | None = None,
) -> DocumentExamples:
    """Return the examples of a service with these tables and this champion; `no_champion` says why there is none."""
    transactions = source.of_new_cards()
    scorer = PreviewScorer(_NO_STATES, tables, policy, control)
    folded, _ = scorer.fold(transactions)
    features = folded.rows.features
    row = [None if np.isnan(value) else float(str(value)) for value in features[0]]  # the fewest digits
    previews, alerts = scorer.preview(transactions, ServedModels(champion), no_champion)
    if champion is not None and alerts.indices:
        for index, codes in zip(alerts.indices, champion.detector.reasons(alerts.features), strict=True):
            previews[index].reasons.extend(codes)
    online, in_a_shop = (_json(transaction) for transaction in transactions)
    return DocumentExamples(
        online=online,
        in_a_shop=in_a_shop,
        example=_json(ExampleRequest(transaction=transactions[0], about=ABOUT_NEW_CARD)),
        row=row,
        csv_row=",".join("" if value is None else str(value) for value in row) + "\n",
        previews=[_json(preview) for preview in previews],
        by_model=None if champion is None else _model_responses(champion, features, previews),
    )


@cache
def examples_without_model() -> DocumentExamples:
    """Return the examples of a service that has neither reference tables nor a champion yet."""
    source = ExampleSource(_NoTables(), _NO_STATES, lambda: None)
    return make_examples(source, _NoTables(), DecisionPolicy(), None, "no champion: it is being loaded")


def _model_responses(
    champion: LoadedModel, features: NDArray[np.float32], previews: Sequence[Preview]
) -> ModelResponses:
    explanations = [
        explain(champion, features[i : i + 1], transaction_id=preview.transaction_id, sequence=preview.sequence)
        for i, preview in enumerate(previews)
    ]
    row = features[:1]
    margins = champion.detector.margins(row)
    probabilities = champion.detector.probabilities(margins)
    scores = Scores(
        model_version=champion.version.version,
        model_digest=champion.version.digest,
        margins=margins,
        probabilities=probabilities,
        reasons=champion.detector.reasons(row) if probabilities[0] >= REASONS_ABOVE else [[]],
    )
    return ModelResponses(
        explanation=_json(explanations[0]),
        second_explanation=_json(explanations[1]),
        row_explanation=_json(explain(champion, row)),
        scores=msgspec.json.decode(encode_scores(scores, JSON)),
        csv_scores=encode_scores(scores, CSV).decode(),
    )


def _json(value: Struct) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(value))
    return decoded


class _NoTables:
    """No reference tables."""

    def newest(self, _: object) -> ReferenceTable:
        return ReferenceTable.empty()


_NO_STATES: Final = CardStateReader(lambda: None, None, lambda: 0.0)
"""A store that was not created yet: no card has a history."""
