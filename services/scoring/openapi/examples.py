"""Examples for the documentation. A test sends the request examples and compares the responses with the others."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import structs

from cardwatch.events import Transaction
from cardwatch.features.columns import encode
from cardwatch.features.definitions import FEATURE_NAMES, SCHEMA_HASH
from cardwatch.features.kernel import fold
from cardwatch.features.reason_codes import REASON_TEXTS
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.features.state import empty_states
from services.scoring.api.explanation import contribution_of
from services.scoring.http.admission import MAX_DEADLINE_MS


def _contribution(name: str, value: float, contribution: float) -> dict[str, Any]:
    return structs.asdict(contribution_of(FEATURE_NAMES.index(name), value, contribution))


ONLINE: Final[dict[str, Any]] = {
    "transaction_id": "t-2026-000001",
    "card_id": "card-00000042",
    "merchant_id": "merchant-000007",
    "occurred_at": "2026-11-24T12:00:00Z",
    "amount_minor": 129_900,
    "currency": "EUR",
    "merchant_category": "5732",
    "channel": "ecommerce",
    "country": "DE",
    "device_id": "device-000003",
    "customer_id": "customer-000011",
    "previous_outcome": "declined",
}
IN_A_SHOP: Final[dict[str, Any]] = {
    "transaction_id": "t-2026-000002",
    "card_id": "card-00000043",
    "merchant_id": "merchant-000012",
    "occurred_at": "2026-11-24T18:31:07.250+01:00",
    "amount_minor": 2_450,
    "currency": "EUR",
    "merchant_category": "5411",
    "channel": "contactless",
    "country": "FR",
    "latitude": 48.8566,
    "longitude": 2.3522,
}
_SCORED: Final[dict[str, Any]] = {
    "table_id": "4020a9cd78e50eff2565d9170fbf869a",
    "model_version": "3",
    "model_digest": "5f8c3b6c2a6f4f6ab1f6f0d1e9c7b8a5d4e3f2a1b0c9d8e7f6a5b4c3d2e1f0a9",
    "policy_version": "d2fd5f0e7a1b",
}
CHALLENGED: Final[dict[str, Any]] = {
    "transaction_id": ONLINE["transaction_id"],
    "sequence": 17,
    **_SCORED,
    "margin": 1.8125,
    "probability": 0.72,
    "action": "challenge",
    "reasons": ["AMOUNT_UNUSUAL", "NEW_MERCHANT"],
    "degraded": False,
    "degraded_reason": None,
    "repeated": False,
}
BY_RULES: Final[dict[str, Any]] = {
    **CHALLENGED,
    "sequence": None,
    "model_version": None,
    "model_digest": None,
    "margin": None,
    "probability": None,
    "action": "approve",
    "reasons": [],
    "degraded": True,
    "degraded_reason": "the feature store does not answer",
}
EXPLANATION: Final[dict[str, Any]] = {
    "transaction_id": ONLINE["transaction_id"],
    "sequence": 17,
    "model_version": _SCORED["model_version"],
    "model_digest": _SCORED["model_digest"],
    "margin": 1.8125,
    "probability": 0.72,
    "expected_margin": -3.25,
    "reasons": [{"code": code, "text": REASON_TEXTS[code]} for code in CHALLENGED["reasons"]],
    "contributions": [_contribution("amount_to_mean_30d", 9.5, 3.5), _contribution("merchant_is_new", 1.0, 1.5625)],
}
SCORES: Final[dict[str, Any]] = {
    "model_version": _SCORED["model_version"],
    "model_digest": _SCORED["model_digest"],
    "margins": [1.8125],
    "probabilities": [0.72],
    "reasons": [["AMOUNT_UNUSUAL", "NEW_MERCHANT"]],
    "shadow": None,
}
CSV_SCORES: Final = "1.8125,0.72,AMOUNT_UNUSUAL|NEW_MERCHANT\n"
STATUS: Final[dict[str, Any]] = {
    "version": _SCORED["model_version"],
    "digest": _SCORED["model_digest"],
    "refused": None,
    "challenger": "4",
    "challenger_refused": None,
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


@cache
def row() -> list[float | None]:
    """Return the features of `ONLINE` as its card's first payment, in the fewest digits that are the same float32."""
    index = np.zeros(1, np.int64)
    transaction = msgspec.convert(ONLINE, Transaction)
    [features] = fold(empty_states(1), index, encode([transaction]), ReferenceTable.empty()).features
    return [None if np.isnan(value) else float(str(value)) for value in features]


def csv_rows() -> str:
    """Return `row` as a line of CSV."""
    return ",".join("" if value is None else str(value) for value in row()) + "\n"
