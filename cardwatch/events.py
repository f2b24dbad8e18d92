"""The records of the topics: transactions, labels, decisions and dead letters, with their JSON forms.

Decoding validates each record against its contract and names the path of an invalid field. The JSON Schemas in
`docs/contracts/` are generated from these types.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from cardwatch.card_numbers import holds_number_of_brand, is_number_of_card, may_hold_number
from cardwatch.errors import InvalidRecord

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_TIME: Final = datetime(9999, 1, 1, tzinfo=UTC)
FIRST_DAY: Final = EPOCH.date()
LAST_DAY: Final = _MAX_TIME.date() - timedelta(days=1)
"""First and last day that a record may name. At the ends of the calendar, arithmetic with windows would overflow."""
_MILLISECOND: Final = timedelta(milliseconds=1)
_DAY: Final = timedelta(days=1)
_EPOCH_ORDINAL, _FIRST_ORDINAL, _LAST_ORDINAL = (day.toordinal() for day in (EPOCH, date.min, date.max))
_IDENTIFIERS: Final = ("card_id", "transaction_id", "merchant_id", "device_id", "customer_id", "card_range")
_CONTROL_CHARACTER: Final = re.compile(r"[\x00-\x1f\x7f]")

MAX_AMOUNT_MINOR: Final = 10**12
"""The largest amount of a transaction, in minor units of its currency."""
Identifier = Annotated[str, Meta(min_length=1, max_length=64, description="An opaque token, never a card number.")]
LogOffset = Annotated[int, Meta(ge=0, lt=2**62)]
UtcTime = Annotated[datetime, Meta(tz=True)]
Propensity = Annotated[float, Meta(gt=0, le=1)]


class Channel(Enum):
    """How the card was presented. The order is the code that the kernel uses: append only."""

    CHIP = "chip"
    CONTACTLESS = "contactless"
    SWIPE = "swipe"
    ECOMMERCE = "ecommerce"
    ATM = "atm"
    RECURRING = "recurring"


class AuthorizationOutcome(Enum):
    """The outcome of the card's previous attempt, as reported by the payment network."""

    APPROVED = "approved"
    DECLINED = "declined"


class Action(Enum):
    """The action of a decision; `challenge` requests a second factor from the cardholder."""

    APPROVE = "approve"
    CHALLENGE = "challenge"
    DECLINE = "decline"


class LabelSource(Enum):
    """The source of a label."""

    INVESTIGATOR = "investigator"
    CHARGEBACK = "chargeback"
    CUSTOMER = "customer"


class Transaction(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """One payment attempt. Missing optional fields give missing features.

    `occurred_at` is the event time, the only time that features use. `amount_minor` is in minor units of `currency`.
    `card_range` is the issuer's range of card numbers that the card belongs to.
    """

    transaction_id: Identifier
    card_id: Identifier
    merchant_id: Identifier
    occurred_at: UtcTime
    amount_minor: Annotated[int, Meta(ge=0, le=MAX_AMOUNT_MINOR)]
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$", max_length=3, description="ISO 4217")]
    merchant_category: Annotated[str, Meta(pattern="^[0-9]{4}$", max_length=4, description="ISO 18245")]
    channel: Channel
    country: Annotated[
        str, Meta(pattern="^[A-Z]{2}$", max_length=2, description="ISO 3166-1 alpha-2, where the merchant is")
    ]
    latitude: Annotated[float, Meta(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Meta(ge=-180, le=180)] | None = None
    device_id: Identifier | None = None
    customer_id: Identifier | None = None
    previous_outcome: AuthorizationOutcome | None = None
    card_range: Identifier | None = None


class Label(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether a transaction was fraud: effective as of `effective_at`, known from `observed_at` on."""

    transaction_id: Identifier
    card_id: Identifier
    merchant_id: Identifier
    is_fraud: bool
    effective_at: UtcTime
    observed_at: UtcTime
    source: LabelSource


class Decision(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The decision of record for one transaction, with all data that is needed to reproduce it to the bit.

    `partition` and `offset` are the transaction's position in the log. `sequence` is the number of the card's
    transactions folded before this one. `features` are float32 values in the order of the feature table, None where
    missing. `margin` is the model's raw score (float32, higher is riskier), `probability` the calibrated one in 0..1;
    both are None if the rules decided alone, and then `degraded` is true. `shadow_*` are the scores of the model that
    did not decide, if two were served: the version in shadow, or one of champion and canary. They have no influence.
    `canary_version` is the version that decided the share `canary_share` of the cards then, as
    `cardwatch.decision.canary_cards` chooses them; it decided this one if it is `model_version` too. `latency_ms` is
    the time from the record's time stamp in the log to the decision. `control_propensity` is the probability with which
    the policy approved this transaction, which it would otherwise decline, in order to learn its outcome; None for all
    others.
    """

    transaction: Transaction
    partition: Annotated[int, Meta(ge=0, lt=2**31)]
    offset: LogOffset
    sequence: LogOffset
    features: list[float | None]
    feature_schema: str
    table_id: str
    model_version: str | None = None
    model_digest: str | None = None
    policy_version: str
    margin: float | None = None
    probability: float | None = None
    action: Action
    reasons: list[str]
    degraded: bool = False
    degraded_reason: str | None = None
    shadow_version: str | None = None
    shadow_margin: float | None = None
    shadow_probability: float | None = None
    canary_version: str | None = None
    canary_share: Propensity | None = None
    control_propensity: Propensity | None = None
    decided_at: UtcTime
    latency_ms: float


class EncodedDecision(Decision, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A decision whose features are JSON already, for writing it. `decode` gives a `Decision` with the same values."""

    features: msgspec.Raw  # type: ignore[assignment]


class DeadLetter(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A record that was rejected: its bytes, its position in the log and the reason.

    Of a long value or key only the beginning is kept. Then `value_bytes` and `value_sha256`, or `key_bytes` and
    `key_sha256`, are the length and the digest of the original, which is in the topic while retention keeps it.
    """

    topic: str
    partition: Annotated[int, Meta(ge=0, lt=2**31)]
    offset: LogOffset
    key: bytes | None
    value: bytes | None
    field: str
    reason: str
    value_bytes: int | None = None
    value_sha256: str | None = None
    key_bytes: int | None = None
    key_sha256: str | None = None


T = TypeVar("T")
_DECODERS: Final[dict[type[Any], msgspec.json.Decoder[Any]]] = {
    kind: msgspec.json.Decoder(kind) for kind in (Transaction, Label, Decision, DeadLetter)
}
_TRANSACTIONS_DECODER: Final = msgspec.json.Decoder(list[Transaction])
_ENCODER: Final = msgspec.json.Encoder()


def encode(record: Struct) -> bytes:
    """Return the JSON form of a record; `decode` gives an equal record."""
    return _ENCODER.encode(record)


def decode(data: bytes | None, kind: type[T]) -> T:
    """Decode one record of type `kind`; raises `InvalidRecord` with the path of the field and the reason."""
    if not data:
        raise InvalidRecord("empty, instead of a JSON object")
    try:
        record = _DECODERS[kind].decode(data)
    except msgspec.DecodeError as error:
        raise _invalid(error) from error
    except UnicodeDecodeError as error:
        raise InvalidRecord(f"not UTF-8: {error.reason}") from error
    except RecursionError as error:
        raise InvalidRecord("nested too deeply") from error
    _validate(record)
    return record  # type: ignore[no-any-return]


def decode_with(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    """Return what `decoder` decodes; raises `InvalidRecord` with the path of the field and the reason."""
    try:
        return decoder.decode(data)
    except msgspec.DecodeError as error:
        raise _invalid(error) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise InvalidRecord("not JSON in UTF-8, or nested too deeply") from error


def decode_transactions(data: bytes, *, limit: int) -> list[Transaction]:
    """Decode a JSON array of 1 to `limit` transactions; raises `InvalidRecord` with the path of the first bad field."""
    transactions = decode_with(_TRANSACTIONS_DECODER, data)
    if not 1 <= len(transactions) <= limit:
        raise InvalidRecord(f"{len(transactions):,} records in one request, 1 to {limit:,} are taken", field="$")
    for index, transaction in enumerate(transactions):
        try:
            _validate(transaction)
        except InvalidRecord as error:
            raise InvalidRecord(error.reason, field=f"$[{index}]{error.field.removeprefix('$')}") from error
    return transactions


def validate_identifiers(record: Transaction | Label) -> None:
    """Raise `InvalidRecord` for an identifier that looks like a card number, or contains a control character.

    PostgreSQL, logs and terminals do not take control characters. `card_id` is checked more strictly than the others.
    """
    shared = (record.card_id, record.transaction_id, record.merchant_id)
    more: tuple[str | None, ...] = (None, None, None)
    if isinstance(record, Transaction):
        more = (record.device_id, record.customer_id, record.card_range)
    for field, value in zip(_IDENTIFIERS, shared + more, strict=True):
        if value is None:
            continue
        if not value.isprintable():
            _refuse_control_characters(value, field)
        if may_hold_number(value) and (
            is_number_of_card(value) if field == "card_id" else holds_number_of_brand(value)
        ):
            raise InvalidRecord("looks like a card number; send an opaque token instead", field=f"$.{field}")


def _refuse_control_characters(value: str, field: str) -> None:
    if _CONTROL_CHARACTER.search(value):
        raise InvalidRecord("contains a control character", field=f"$.{field}")


def _validate(record: object) -> None:
    """Raise `InvalidRecord` for what the types cannot express: card numbers as identifiers, times out of range."""
    if isinstance(record, Transaction):
        validate_identifiers(record)
        validate_time(record.occurred_at, "occurred_at")
    elif isinstance(record, Label):
        validate_identifiers(record)
        validate_time(record.effective_at, "effective_at")
        validate_time(record.observed_at, "observed_at")
    elif isinstance(record, Decision):
        _validate(record.transaction)
        validate_time(record.decided_at, "decided_at")
        _refuse_control_characters(record.model_version or "", "model_version")  # the index of the archive holds it


def validate_time(moment: datetime, field: str) -> None:
    """Raise `InvalidRecord` for the ends of the calendar, where arithmetic with windows and offsets would overflow."""
    if not EPOCH <= moment < _MAX_TIME:
        raise InvalidRecord(f"lies outside of {EPOCH:%Y} to {_MAX_TIME.year - 1}", field=f"$.{field}")


def to_epoch_ms(moment: datetime) -> int:
    """Return the milliseconds since 1970 UTC of an aware datetime, rounded down, without floating point.

    >>> to_epoch_ms(datetime(2025, 1, 6, 12, tzinfo=UTC))
    1736164800000
    """
    return (moment - EPOCH) // _MILLISECOND


def from_epoch_ms(epoch_ms: int) -> datetime:
    """Return the UTC time of `epoch_ms`; the inverse of `to_epoch_ms`."""
    return EPOCH + epoch_ms * _MILLISECOND


def utc_day(moment: datetime) -> date:
    """The event day: the date in UTC, whatever offset `moment` is written with, within what `date` can say."""
    if moment.tzinfo is UTC:
        return moment.date()
    ordinal = _EPOCH_ORDINAL + (moment - EPOCH) // _DAY
    return date.fromordinal(min(max(ordinal, _FIRST_ORDINAL), _LAST_ORDINAL))


def _invalid(error: msgspec.DecodeError) -> InvalidRecord:
    reason, _, path = str(error).partition(" - at `")
    return InvalidRecord(reason, field=path.rstrip("`"))
