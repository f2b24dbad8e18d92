"""The shapes of what is asked and answered, as JSON Schema: from the very types that are decoded and encoded.

What those types cannot say is added, so that the shapes are exact: whoever makes requests from them is not refused, but
for what a shape cannot express (a card number, two lists of unequal length); and then a description says so.
"""

from __future__ import annotations

import inspect
import math
from typing import Any, Final

import msgspec

from cardwatch.decision.records import Preview
from cardwatch.events import Transaction
from cardwatch.features.definitions import FEATURE_NAMES, SCHEMA_HASH
from services.scoring.api.explanation import Explanation
from services.scoring.api.invocations import MAX_ROWS
from services.scoring.model.manager import ModelStatus

LARGEST_FEATURE: Final = math.nextafter(2.0**128 - 2.0**103, 0.0)
"""What lies beyond it becomes infinite as a float32."""
TIME_PATTERN: Final = (
    "^(19[7-9][0-9]|[2-8][0-9]{3}|9[0-8][0-9]{2}|99[0-8][0-9]|999[0-8])-[0-9]{2}-[0-9]{2}"
    "T[0-9]{2}:[0-9]{2}:[0-5][0-9]([.][0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$"
)
"""RFC 3339 from 1970 to 9998, without leap seconds."""

_ASKED: Final = (Transaction,)
_ANSWERED: Final = (Preview, Explanation, ModelStatus)
_REF: Final = "#/components/schemas/{name}"

_TEXT: Final = {"type": "string"}
_PROBABILITY: Final = {"minimum": 0, "maximum": 1}
_MORE: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "Transaction": {
        "occurred_at": {
            "description": "Event time with its offset from UTC, from 1970 to the end of 9998 in UTC.",
            "pattern": TIME_PATTERN,
        },
        "amount_minor": {"description": "In minor units of `currency`, written without a fraction: `129900`."},
        "latitude": {"description": "Where the merchant is, in degrees; with `longitude`."},
        "longitude": {"description": "In degrees."},
        "device_id": {"description": "An opaque token, never a card number."},
        "customer_id": {"description": "An opaque token, never a card number."},
    },
    "Preview": {
        "sequence": {
            "description": "How many of the card's transactions were known; null without a store.",
            "minimum": 0,
        },
        "model_version": {"description": "Null where the rules decided."},
        "margin": {"description": "The model's raw score, float32; higher is riskier."},
        "probability": {"description": "Of fraud: the margin, calibrated.", **_PROBABILITY},
        "reasons": {"description": "Codes, the strongest first; none for what is approved."},
        "degraded_reason": {"description": "Why the rules decided and not the model."},
        "repeated": {"description": "The card's state holds this transaction already: it has had its decision."},
    },
    "Explanation": {
        "transaction_id": {"description": "Null for a feature row."},
        "sequence": {"description": "Null for a feature row.", "minimum": 0},
        "probability": _PROBABILITY,
        "reasons": {"description": "What a decision would carry, in words."},
    },
}
_CARD_NUMBERS: Final = (
    "An identifier that looks like a card number is refused: 13 to 19 digits, spaces and dashes aside, with a valid"
    " check digit."
)


def ref(name: str) -> dict[str, Any]:
    """A reference to one of `schemas`."""
    return {"$ref": _REF.format(name=name)}


def schemas() -> dict[str, Any]:
    """All shapes by name."""
    _, asked = msgspec.json.schema_components(_ASKED, ref_template=_REF)
    _, answered = msgspec.json.schema_components(_ANSWERED, ref_template=_REF)
    for name, schema in (asked | answered).items():
        _polish(schema, _MORE.get(name, {}))
    for schema in answered.values():
        _always_whole(schema)
    asked["Transaction"]["description"] += f"\n\n{_CARD_NUMBERS}"
    return {**asked, **answered, **_of_rows(), **_of_errors()}


def _polish(schema: dict[str, Any], more: dict[str, dict[str, Any]]) -> None:
    """Make a schema readable, and say more about its properties."""
    schema["description"] = inspect.cleandoc(schema["description"])
    if "enum" in schema:
        schema["type"] = "string"
    for name, described in schema.get("properties", {}).items():
        schema["properties"][name] = {**_nullable(described), **more.get(name, {})}


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """`type: [X, null]` in place of `anyOf: [type: X, type: null]`: the same, and shorter to show."""
    match schema.get("anyOf"):
        case [{"type": str(kind)} as one, {"type": "null"}]:
            rest = {keyword: value for keyword, value in schema.items() if keyword != "anyOf"}
            return {**one, **rest, "type": [kind, "null"]}
    return schema


def _always_whole(schema: dict[str, Any]) -> None:
    """An answer has all of its properties; defaults are for who asks."""
    properties = schema.get("properties", {})
    for described in properties.values():
        described.pop("default", None)
    if properties:
        schema["required"] = list(properties)


def _of_rows() -> dict[str, Any]:
    width = len(FEATURE_NAMES)
    feature = {"type": ["number", "null"], "minimum": -LARGEST_FEATURE, "maximum": LARGEST_FEATURE}
    numbers = {"type": "array", "items": {"type": "number"}}
    schema_hash = {
        **_TEXT,
        "const": SCHEMA_HASH,
        "description": "The feature schema under which the row was made: it must be the model's.",
    }
    scored = {
        "model_version": _TEXT,
        "model_digest": _TEXT,
        "margins": {**numbers, "description": "The model's raw scores, float32; higher is riskier."},
        "probabilities": {"type": "array", "items": {"type": "number", **_PROBABILITY}},
    }
    shadow = {"type": "object", "required": list(scored), "properties": scored}
    return {
        "Row": {
            "type": "array",
            "items": feature,
            "minItems": width,
            "maxItems": width,
            "description": f"{width} numbers that are finite as float32, null where missing, in this order:"
            f" {', '.join(FEATURE_NAMES)}.",
        },
        "Rows": {
            "type": "object",
            "required": ["instances"],
            "additionalProperties": False,
            "properties": {
                "instances": {"type": "array", "minItems": 1, "maxItems": MAX_ROWS, "items": ref("Row")},
                "feature_schema": {**schema_hash, "description": "Of the rows; or say it in a header."},
                "reasons_above": {
                    "anyOf": [{"type": "number"}, numbers, {"type": "null"}],
                    "description": "From which probability on a row gets reasons: one number, or one for each row.",
                },
            },
        },
        "RecordedRow": {
            "type": "object",
            "required": ["feature_schema", "features"],
            "properties": {"feature_schema": schema_hash, "features": ref("Row")},
            "description": "A decision's record as it is, or only these two of its fields.",
        },
        "Scores": {
            "type": "object",
            "required": [*scored, "reasons", "shadow"],
            "properties": {
                **scored,
                "reasons": {
                    "type": "array",
                    "items": {"type": "array", "items": _TEXT},
                    "description": "For each row its codes, the strongest first.",
                },
                "shadow": {
                    "anyOf": [shadow, {"type": "null"}],
                    "description": "The same by the challenger, if there is one. Nobody decides by it.",
                },
            },
            "description": "For each row, in their order.",
        },
    }


def _of_errors() -> dict[str, Any]:
    error = {**_TEXT, "description": "What is wrong, for a person."}
    field = {**_TEXT, "description": "The path of the first field that is wrong; empty if it is the whole body."}
    return {
        "Error": {"type": "object", "required": ["error"], "properties": {"error": error}},
        "InvalidRecord": {
            "type": "object",
            "required": ["error", "field"],
            "properties": {"error": error, "field": field},
        },
    }
