"""The mapping file: which column of a data set is which field of our transaction, and how it is written.

`docs/evaluate.md` describes it for users; these types are what it may hold. A field is `{column: NAME, ...}`,
or just `NAME`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

from adapters.archive.tabular import CsvDialect
from cardwatch.events import AuthorizationOutcome, Channel, to_epoch_ms
from models.prequential import PrequentialProtocol

TIME_FORMATS: Final = ("iso", "epoch_s", "epoch_ms", "epoch_us", "seconds_since", "hours_since", "days_since")

ColumnName = Annotated[str, Meta(min_length=1)]
Character = Annotated[str, Meta(max_length=1)]
Separator = Annotated[str, Meta(min_length=1, max_length=1)]


class Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """Unknown keys are refused."""


class Joinable(Strict, frozen=True, kw_only=True):
    """One `column`, or several `columns` whose values are joined in this order, as parts of a date are."""

    column: ColumnName | None = None
    columns: Annotated[list[ColumnName], Meta(min_length=2)] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that are read."""
        return tuple(self.columns or [self.column or ""])

    @property
    def title(self) -> str:
        """Its name in messages."""
        return " + ".join(self.names)


class Identifier(Joinable, frozen=True, kw_only=True):
    """A column of identifiers, taken as they are.

    `not_card_numbers`: long numbers in it are known to be something else, as 64-bit hashes are. `tokenize`: every value
    becomes a token, by a hash with a key that only this run knows; for card numbers.
    """

    not_card_numbers: bool = False
    tokenize: bool = False


class Time(Joinable, frozen=True, kw_only=True):
    """A column of times; one without a zone is UTC.

    `format`: one of `TIME_FORMATS` or a strptime pattern, in which a blank stands between joined columns. `start` is
    what `*_since` counts from.
    """

    format: str = "iso"
    start: str | None = None
    decimal_separator: Separator = "."

    @property
    def start_ms(self) -> int:
        """`start` in milliseconds since 1970, 0 without one; raises `ValueError` if it is no time."""
        if self.start is None:
            return 0
        moment = datetime.fromisoformat(self.start)
        return to_epoch_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


class Degrees(Strict, frozen=True, kw_only=True):
    """A column of degrees."""

    column: ColumnName
    decimal_separator: Separator = "."


class Amount(Strict, frozen=True, kw_only=True):
    """A column of amounts, in major units (12.50) or minor ones (1250); `digits` of a major unit are minor.

    `strip` holds characters to take off both ends, such as a currency sign. Rows with a `negative` amount, which are
    refunds, are refused or left out.
    """

    column: ColumnName
    unit: Literal["major", "minor"] = "major"
    digits: Annotated[int, Meta(ge=0, le=4)] = 2
    decimal_separator: Separator | None = None
    thousands_separator: Character = ""
    strip: str = ""
    negative: Literal["refuse", "leave_out"] = "refuse"

    @property
    def decimal(self) -> str:
        """The separator of the decimals: a point, unless the mapping says otherwise."""
        return self.decimal_separator or "."


class Code(Strict, frozen=True, kw_only=True):
    """A column of codes, or one `constant` for every row.

    `values` translates their names to our codes; `otherwise` stands for what is missing or has no code.
    """

    column: ColumnName | None = None
    constant: str | None = None
    values: dict[str, str] = {}
    otherwise: str | None = None


class FraudFlag(Strict, frozen=True, kw_only=True):
    """The column that says what was fraud, case ignored.

    Once `fraud` is given without `genuine`, every other value means genuine; a missing one never does.
    """

    column: ColumnName
    fraud: Annotated[list[str], Meta(min_length=1)] | None = None
    genuine: list[str] | None = None

    @property
    def fraud_values(self) -> frozenset[str]:
        """Values that mean fraud, in lower case."""
        return frozenset(value.lower() for value in self.fraud or ["1", "1.0", "true", "yes"])

    @property
    def genuine_values(self) -> frozenset[str] | None:
        """Values that mean genuine, in lower case; None if every other value does."""
        if self.genuine is None and self.fraud is not None:
            return None
        return frozenset(value.lower() for value in self.genuine or ["0", "0.0", "false", "no"])


class TransactionFields(Strict, frozen=True, kw_only=True):
    """Our transaction's fields. One that the contract requires and data may lack has a neutral constant.

    A constant says the same about every transaction, so no model can learn from it: 0000 and ZZ are no real
    category and country, and `ecommerce` claims neither a terminal nor a card that was present.
    """

    occurred_at: Time
    card_id: Identifier
    merchant_id: Identifier
    amount: Amount
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")] = "EUR"
    transaction_id: Identifier | None = None
    merchant_category: Code = field(default_factory=lambda: Code(constant="0000"))
    channel: Code = field(default_factory=lambda: Code(constant=Channel.ECOMMERCE.value))
    country: Code = field(default_factory=lambda: Code(constant="ZZ"))
    latitude: Degrees | None = None
    longitude: Degrees | None = None
    device_id: Identifier | None = None
    previous_outcome: Code | None = None
    card_range: Identifier | None = None


class CensoredFlag(Strict, frozen=True, kw_only=True):
    """The column that says whose outcome nobody knows, such as the decision, and the `values` that mean it.

    Case is ignored; every other value, and a missing one, means that the label says the outcome.
    """

    column: ColumnName
    values: Annotated[list[str], Meta(min_length=1)]


class LabelFields(Strict, frozen=True, kw_only=True):
    """The columns of the fraud label; without `observed_at` it is known `delay_days` after the transaction.

    Rows that are `censored` and not labelled as fraud are neither trained on nor tested.
    """

    is_fraud: FraudFlag
    observed_at: Time | None = None
    censored: CensoredFlag | None = None


class Mapping(Strict, frozen=True, kw_only=True):
    """A whole mapping file. `missing`: how the data writes that a value is not there; not NA, which is Namibia."""

    transaction: TransactionFields
    label: LabelFields
    file: CsvDialect = CsvDialect()
    missing: tuple[str, ...] = ("", "N/A", "NaN", "nan", "null", "NULL", "None")
    protocol: PrequentialProtocol = PrequentialProtocol()

    def joinable(self) -> list[Joinable]:
        """The fields of identifiers and times."""
        specs = (getattr(part, name) for part in (self.transaction, self.label) for name in part.__struct_fields__)
        return [spec for spec in specs if isinstance(spec, Joinable)]

    def columns(self) -> dict[str, str]:
        """The columns that are used: our field (`transaction.card_id`, `...card_id.columns[0]`) -> their column."""
        used = {}
        for part in ("transaction", "label"):
            fields = getattr(self, part)
            for name in fields.__struct_fields__:
                spec = getattr(fields, name)
                if column := getattr(spec, "column", None):
                    used[f"{part}.{name}"] = column
                for position, column in enumerate(getattr(spec, "columns", None) or ()):
                    used[f"{part}.{name}.columns[{position}]"] = column
        return used


def _one_of(codes: type[Enum]) -> tuple[str, str]:
    values = [code.value for code in codes]
    return "|".join(values), f"one of {', '.join(values)}"


CODE_RULES: Final[dict[str, tuple[str, str]]] = {
    "merchant_category": ("[0-9]{4}", "an ISO 18245 code of 4 digits"),
    "channel": _one_of(Channel),
    "country": ("[A-Z]{2}", "an ISO 3166-1 code of 2 capital letters"),
    "previous_outcome": _one_of(AuthorizationOutcome),
}
"""Per field of codes: the pattern of a valid one, and how to say it."""
