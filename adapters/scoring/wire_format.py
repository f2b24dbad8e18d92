"""Encoding of feature rows and scores in HTTP requests and responses, for client and server.

Rows are float32 in the order of the feature table; a missing value is NaN (JSON: null, CSV: an empty field). They are
sent with the hash of that table, in one of three bodies:

- `application/octet-stream`: little-endian float32, row after row; after all rows, if the header `X-Reasons-Above` is
  `per-row`, one little-endian float64 for each row;
- `application/json`: `{"feature_schema": ..., "instances": [[...], ...], "reasons_above": 0.5 or a list}`;
- `text/csv`: a line for each row, without a heading.

The schema and the threshold for reasons may also be sent in the headers `X-Feature-Schema` and `X-Reasons-Above`.
`X-Transaction-Ids` may name the transactions of the rows: ids in their order, percent-encoded and separated by commas,
with `...` at the end if not all fit. It is used in log lines at DEBUG and has no effect on the response.

A SageMaker endpoint passes on none of these headers, but one of at most 1,024 characters. Therefore each of these
headers may also be sent there as an attribute, by its name without `X-`:
`X-Amzn-SageMaker-Custom-Attributes: feature-schema=HASH;reasons-above=0.5;deadline-ms=250`. A header takes precedence
over its attribute. Spaces around names and values are ignored.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from functools import cache
from http import HTTPStatus
from itertools import accumulate, takewhile
from typing import Any, Final, NamedTuple, get_args
from urllib.parse import quote, unquote

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cardwatch.errors import InvalidRecord, NoModelServed, SchemaMismatch, ScorerBusy, ScoringUnavailable
from cardwatch.events import Action, Transaction, decode_with
from cardwatch.features.definitions import FEATURES
from cardwatch.ports import Scores

SCHEMA_HEADER: Final = "X-Feature-Schema"
REASONS_HEADER: Final = "X-Reasons-Above"
ATTRIBUTES_HEADER: Final = "X-Amzn-SageMaker-Custom-Attributes"
DEADLINE_HEADER: Final = "X-Deadline-Ms"
IDS_HEADER: Final = "X-Transaction-Ids"
PER_ROW: Final = "per-row"

NO_CHAMPION: Final = "no champion"
"""Beginning of the error message of a 503 if the service has no model."""

BUSY: Final = "busy"
"""Beginning of the error message of a 503 if the service has more requests than it can answer in time."""

MAX_ATTRIBUTES_CHARACTERS: Final = 1_024
"""Maximum length of SageMaker's custom attributes, which are visible ASCII."""

MAX_IDS: Final = 200
MAX_IDS_BYTES: Final = 8_192
_TRUNCATED: Final = "..."
_MAX_ID_CHARACTERS: Final = 64

BINARY: Final = "application/octet-stream"
MSGPACK: Final = "application/msgpack"
JSON: Final = "application/json"
CSV: Final = "text/csv"

ROW_TYPE: Final = np.dtype("<f4")
THRESHOLD_TYPE: Final = np.dtype("<f8")
WIDTH: Final = len(FEATURES)
_ROW_BYTES: Final = WIDTH * ROW_TYPE.itemsize


class Rows(NamedTuple):
    """The rows of a request: float32 [n, features]; the hash of their feature schema, "" if it is not named; and for
    each row the probability from which on it gets reasons, float64 [n] (infinite: never).
    """

    features: NDArray[np.float32]
    schema_hash: str
    reasons_above: NDArray[np.float64]


class JsonRows(Struct, frozen=True, forbid_unknown_fields=True):
    """A JSON body with rows."""

    instances: list[list[float | None]]
    feature_schema: str = ""
    reasons_above: float | list[float] | None = None


class RecordedRow(Struct, frozen=True):
    """A JSON body with the row of a recorded decision."""

    features: list[float | None]
    feature_schema: str


class ExampleRequest(Struct, frozen=True, kw_only=True):
    """A transaction that this service can score now, for a first request; see `about`.

    `about`: which card and merchant it names, and what its score then means, in plain text.
    """

    transaction: Transaction
    about: str


class ShownPreview(Struct, frozen=True, kw_only=True):
    """What `/v1/score` says about a transaction in the parts that people read: `cardwatch.decision.records.Preview`."""

    transaction_id: str
    sequence: int | None
    model_version: str | None
    margin: float | None = None
    probability: float | None = None
    action: Action | None = None
    reasons: list[str] = []
    degraded: bool = False
    degraded_reason: str | None = None
    repeated: bool = False


def _array(kind: Any, data: object) -> NDArray[Any]:
    """Return little-endian bytes as an array of the field's type."""
    if not isinstance(data, bytes):
        raise ValueError(f"{type(data).__name__} in place of bytes")
    dtype = np.dtype(get_args(get_args(kind)[1])[0])
    return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype, copy=False)


def _bytes(array: NDArray[Any]) -> bytes:
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


_ENCODER: Final = msgspec.msgpack.Encoder(enc_hook=_bytes)
_DECODER: Final = msgspec.msgpack.Decoder(Scores, dec_hook=_array)
_JSON_ENCODER: Final = msgspec.json.Encoder(enc_hook=lambda array: array.tolist())
_JSON_ROWS: Final = msgspec.json.Decoder(JsonRows)
_RECORDED_ROW: Final = msgspec.json.Decoder(RecordedRow)


def encode_rows(rows: NDArray[np.float32], reasons_above: NDArray[np.float64] | None = None) -> bytes:
    """Return the binary body of these rows, with a threshold for each if `reasons_above` is given."""
    body = np.ascontiguousarray(rows, ROW_TYPE).tobytes()
    return body if reasons_above is None else body + np.ascontiguousarray(reasons_above, THRESHOLD_TYPE).tobytes()


def decode_rows(body: bytes, content_type: str, headers: Mapping[bytes, bytes]) -> Rows:
    """Return the rows of a request; raise `InvalidRecord` if they are invalid. `headers` have lower-case names."""
    schema_hash = header_value(headers, SCHEMA_HEADER) or ""
    threshold = header_value(headers, REASONS_HEADER) or ""
    if content_type == BINARY:
        rows = _from_binary(body, schema_hash, threshold)
    elif content_type == JSON:
        rows = _from_json(body, schema_hash, threshold)
    else:
        features = _from_csv(body)
        rows = Rows(features, schema_hash, _thresholds(threshold, len(features)))
    _require_finite(rows.features)
    if np.isnan(rows.reasons_above).any():
        raise InvalidRecord("a threshold for reasons is not a number")
    return rows


def header_value(headers: Mapping[bytes, bytes], header: str) -> str | None:
    """Return the value of a header, or of the custom attribute that corresponds to it; None if there is neither.

    `headers` have lower-case names.
    """
    value = headers.get(_name(header))
    if value is not None:
        return value.decode("latin-1").strip()
    attributes = headers.get(_name(ATTRIBUTES_HEADER))
    return None if attributes is None else _attributes(attributes).get(_attribute(header))


def encode_attributes(values: Mapping[str, str]) -> str:
    """Return the custom attributes that correspond to these header values.

    Raise `ValueError` for more than `MAX_ATTRIBUTES_CHARACTERS`, a semicolon in a value, or a character other than
    visible ASCII.
    """
    if any(";" in value for value in values.values()):
        raise ValueError("a value with a semicolon cannot be a custom attribute")
    encoded = ";".join(f"{_attribute(header)}={value}" for header, value in values.items())
    if len(encoded) > MAX_ATTRIBUTES_CHARACTERS:
        raise ValueError(f"{len(encoded):,} characters of custom attributes are more than SageMaker passes")
    if not all("!" <= character <= "~" for character in encoded):
        raise ValueError("custom attributes are visible ASCII")
    return encoded


def encode_ids(transaction_ids: Sequence[str], *, max_bytes: int = MAX_IDS_BYTES) -> str:
    """Return the header value for these ids, or for the first ones that fit."""
    quoted = [quote(transaction_id, safe="") for transaction_id in transaction_ids[:MAX_IDS]]
    room = max_bytes - len(_TRUNCATED)
    fitting = list(takewhile(lambda end: end <= room, accumulate(len(one) + 1 for one in quoted)))
    truncated = [_TRUNCATED] if len(fitting) < len(transaction_ids) else []
    return ",".join([*quoted[: len(fitting)], *truncated])


def decode_ids(headers: Mapping[bytes, bytes]) -> list[str]:
    """Return the ids of the first rows that the request names, cut to the maximum number and lengths."""
    text = (header_value(headers, IDS_HEADER) or "")[:MAX_IDS_BYTES]
    if not text:
        return []
    parts = text.split(",", MAX_IDS)[:MAX_IDS]
    return [unquote(part)[:_MAX_ID_CHARACTERS] for part in parts if part != _TRUNCATED]


def encode_scores(scores: Scores, accepted: str) -> bytes:
    """Return the body of a response. Arrays are little-endian bytes in MessagePack, lists in JSON; both are exact."""
    if accepted == MSGPACK:
        return _ENCODER.encode(scores)
    if accepted == JSON:
        return _JSON_ENCODER.encode(scores)
    return _to_csv(scores)


def decode_scores(body: bytes) -> Scores:
    """Return the scores in a MessagePack body; raise `ScoringUnavailable` for any other body."""
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, ValueError) as error:
        raise ScoringUnavailable(f"the scoring service answered what is not scores: {error}") from error


def decode_complete_scores(body: bytes, rows: int, scorer: str) -> Scores:
    """Return the scores in a MessagePack body; raise `ScoringUnavailable` unless there is one for each of `rows` rows.

    `scorer` is the name of the server for the error message.
    """
    scores = decode_scores(body)
    lengths = {len(scores.margins), len(scores.probabilities), len(scores.reasons)}
    if scores.shadow is not None:
        lengths |= {len(scores.shadow.margins), len(scores.shadow.probabilities)}
    if scores.canary is not None:
        lengths |= {len(scores.canary.margins), len(scores.canary.probabilities), len(scores.canary.reasons)}
    if lengths != {rows}:
        raise ScoringUnavailable(f"{scorer} answered {', '.join(map(str, sorted(lengths)))} scores to {rows} rows")
    return scores


def decode_refusal(status: int, body: str, scorer: str) -> SchemaMismatch | ScoringUnavailable:
    """Return the exception for a response of `scorer` with this status, which is not 200, and this body."""
    reason = refusal_text(body)
    if status == HTTPStatus.CONFLICT:
        return SchemaMismatch(reason)
    kind = ScoringUnavailable
    if reason.startswith(NO_CHAMPION):
        kind = NoModelServed
    elif reason.startswith(BUSY) or status == HTTPStatus.TOO_MANY_REQUESTS:
        kind = ScorerBusy
    return kind(f"{scorer} answered {status}: {reason}")


def refusal_text(body: str) -> str:
    """Return the message in the body of an error response; the beginning of a body of another form."""
    try:
        return str(msgspec.json.decode(body)["error"])
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, RecursionError):
        return body[:200]


def _thresholds(threshold: str, rows: int) -> NDArray[np.float64]:
    """Return the threshold of a header for each row, infinity without one."""
    try:
        return np.full(rows, float(threshold or "inf"))
    except ValueError as error:
        raise InvalidRecord(f"{REASONS_HEADER} is not a number") from error


def _from_binary(body: bytes, schema_hash: str, threshold: str) -> Rows:
    per_row = threshold == PER_ROW
    row_bytes = _ROW_BYTES + THRESHOLD_TYPE.itemsize if per_row else _ROW_BYTES
    count, remainder = divmod(len(body), row_bytes)
    if remainder or not count:
        with_thresholds = " and a float64 threshold each" if per_row else ""
        raise InvalidRecord(
            f"{len(body)} bytes are not rows of {WIDTH} float32{with_thresholds} ({row_bytes} bytes a row)"
        )
    features = np.frombuffer(body, ROW_TYPE, count * WIDTH).astype(np.float32, copy=False).reshape(count, WIDTH)
    if not per_row:
        return Rows(features, schema_hash, _thresholds(threshold, count))
    thresholds = np.frombuffer(body, THRESHOLD_TYPE, offset=count * _ROW_BYTES).astype(np.float64, copy=False)
    return Rows(features, schema_hash, thresholds)


def _from_json(body: bytes, schema_hash: str, threshold: str) -> Rows:
    rows = decode_with(_JSON_ROWS, body)
    features = _features(rows.instances)
    thresholds = _thresholds(threshold, len(features))
    if isinstance(rows.reasons_above, list):
        if len(rows.reasons_above) != len(features):
            raise InvalidRecord("one number, or one for each row", field="$.reasons_above")
        thresholds = np.array(rows.reasons_above, np.float64)
    elif rows.reasons_above is not None:
        thresholds = np.full(len(features), rows.reasons_above)
    return Rows(features, rows.feature_schema or schema_hash, thresholds)


def decode_row(body: bytes) -> Rows:
    """Return the row of a recorded decision: the complete record, or its `feature_schema` and `features`."""
    recorded = decode_with(_RECORDED_ROW, body)
    rows = Rows(_features([recorded.features], field="$.features"), recorded.feature_schema, np.full(1, np.inf))
    _require_finite(rows.features)
    return rows


def _features(instances: Sequence[Sequence[float | None]], field: str = "") -> NDArray[np.float32]:
    if not instances:
        raise InvalidRecord("there are no rows", field="$.instances")
    for index, instance in enumerate(instances):
        if len(instance) != WIDTH:
            raise InvalidRecord(
                f"has {len(instance)} values, a row has {WIDTH}", field=field or f"$.instances[{index}]"
            )
    with np.errstate(over="ignore"):  # numbers too large for float32 become infinite, which is rejected later
        return np.array(instances, np.float64).astype(np.float32)


def _require_finite(features: NDArray[np.float32]) -> None:
    if np.isinf(features).any():
        raise InvalidRecord("a feature is infinite: features are finite, or missing")


def _from_csv(body: bytes) -> NDArray[np.float32]:
    try:
        lines = [line for line in csv.reader(io.StringIO(body.decode())) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidRecord(f"not CSV in UTF-8: {error}") from error
    if not lines:
        raise InvalidRecord("there are no rows")
    return _features([_numbers(line, number) for number, line in enumerate(lines, start=1)])


def _numbers(line: Sequence[str], line_number: int) -> list[float | None]:
    try:
        return [float(field) if field.strip() else None for field in line]
    except ValueError as error:
        raise InvalidRecord("holds what is not a number; there is no heading", field=f"line {line_number}") from error


def _to_csv(scores: Scores) -> bytes:
    """Return a line per row: its margin, its probability, and its reasons joined by `|`."""
    lines = zip(scores.margins.tolist(), scores.probabilities.tolist(), scores.reasons, strict=True)
    return "".join(f"{margin!r},{probability!r},{'|'.join(codes)}\n" for margin, probability, codes in lines).encode()


@cache
def _name(header: str) -> bytes:
    return header.lower().encode()


def _attribute(header: str) -> str:
    return header.lower().removeprefix("x-")


def _attributes(text: bytes) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.decode("latin-1").split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
