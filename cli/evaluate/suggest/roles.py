"""Which column is which field, by its name and by its values. What is guessed from the values alone says so."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from cardwatch.card_numbers import has_prefix_of_brand, looks_like_card_number
from cardwatch.errors import MappingError
from cardwatch.events import Channel
from cli.evaluate.mapping import FraudFlag
from cli.evaluate.suggest.formats import (
    SIGNS,
    amount_format,
    degrees_separator,
    is_count,
    is_day_of_spreadsheet,
    joined_format,
    time_format,
)
from cli.evaluate.suggest.sample import Texts, distinct

Columns = dict[str, Texts]


class Guess(NamedTuple):
    """The mapping of a field: the columns, further keys, and why."""

    columns: tuple[str, ...]
    keys: dict[str, object]
    why: str


# Words of column names, in English, German, French, Spanish and Italian, the most telling first.
_NAMES: Final[dict[str, list[str]]] = {
    field: words.split()
    for field, words in {
        "occurred_at": "occurred transdatetranstime txdatetime timestamp datetime transactiontime transtime time zeit"
        " heure hora date datum fecha data when unixtime transactiondt step seconds day epoch",
        "is_fraud": "isfraud fraudlabel txfraud fraudflag fraudbool fraud betrug fraude frode frodi chargeback label"
        " target class",
        "amount": "amountminor transactionamt txamount transactionamount amount amt betrag montant importe importo"
        " price sum total value eur usd",
        "card_id": "cardid cardtoken cardnumber ccnum pan card karte carte tarjeta carta accountid account konto compte"
        " cuenta acct nameorig customerid customer kunde client cliente userid user who",
        "merchant_id": "merchantid terminalid merchantname merchant haendler handler marchand commercant comercio"
        " comerciante esercente shop store terminal vendor payee namedest productcd",
        "transaction_id": "transactionid txid transnum transid txnid paymentid reference id",
        "merchant_category": "mcc merchantcategory category kategorie categorie categoria",
        "channel": "channel kanal canal usechip entrymode posentrymode",
        "country": "merchantcountry country land pays pais paese",
        "latitude": "merchlat merchantlat latitude breite latitud lat",
        "longitude": "merchlong merchlon merchantlon longitude laenge lange longitud long lon lng",
        "device_id": "deviceid device geraet appareil dispositivo",
        "observed_at": "observedat reportedat labeltime chargebackdate reported",
    }.items()
}
_NOT_TIME: Final = re.compile(r"dob|birth|report|observ|label|expir|open|chargeback|since|_days$|_seconds$")
_OF_MERCHANT_ONLY: Final = re.compile(r"lat|lon|city|state|zip|categ|country|mcc")
_LONG_NUMBER: Final = re.compile(r"-?\d{17,19}")
_FEW: Final = 20
"""With fewer different cards than this in the first rows, a card is probably numbered within its customer."""
_PAIRS: Final = (("yes", "no"), ("y", "n"), ("true", "false"), ("t", "f"), ("fraud", "genuine"), ("fraud", "legit"),
                 ("fraud", "normal"), ("fraud", "ok"), ("fraudulent", "legitimate"), ("ja", "nein"), ("j", "n"),
                 ("oui", "non"), ("si", "no"), ("1,0", "0,0"), ("1.00", "0.00"))  # fmt: skip
_FRAUD_WORDS: Final = re.compile("fraud|chargeback|stolen|lost|betrug|gestohlen|vol|robo|frode|rubat")
_GENUINE_WORDS: Final = re.compile("^no|not|non|kein|sin ")
_MAX_OUTCOMES: Final = 8
"""A column with more values than this is no label."""
_CHANNELS: Final = frozenset(channel.value for channel in Channel)


def guess_times(columns: Columns) -> Guess | None:
    """The time: in one column, or with the date and the time of day apart, or as a count of steps."""
    if parts := _calendar_parts(columns):
        return parts
    named = _by_name(
        "occurred_at", {name: texts for name, texts in columns.items() if not _NOT_TIME.search(name.lower())}
    )
    formats = {name: found for name in [*named, *columns] if (found := time_format(columns[name]))}
    best = next((name for name in named if name in formats and formats[name].has_clock), None)
    best = best or next((name for name in named if name in formats), None)
    if best is None:
        for name in named:
            if is_day_of_spreadsheet(columns[name]):
                why = "days as spreadsheets count them, from 1899-12-30: check"
                return Guess((name,), {"format": "days_since", "start": "1899-12-30"}, why)
            if is_count(columns[name]):
                unit = (
                    "days"
                    if "day" in name.lower()
                    else "seconds"
                    if re.search(r"sec|dt|time", name.lower())
                    else "hours"
                )
                why = f"whole numbers that grow: {unit} since a moment that the file does not name. Set the true start"
                return Guess((name,), {"format": f"{unit}_since", "start": "2000-01-01"}, why)
        best = next((name for name in formats if formats[name].format == "iso" or formats[name].has_clock), None)
        if best is None:
            return None
    found = formats[best]
    why = f"values are times ({found.format})" + (f"; {found.doubt}" if found.doubt else "")
    if not found.has_clock:
        for name in columns:
            if name != best and (joined := joined_format(found.format, columns[name])):
                return Guess((best, name), {"format": joined}, "date and time of day stand in two columns")
        why += "; no time of day"
    return Guess((best,), {} if found.format == "iso" else {"format": found.format}, why)


def guess_fraud(columns: Columns) -> Guess | None:
    """The label: few values, of which some mean fraud. By the values alone, only if most rows are genuine."""
    named = _by_name("is_fraud", columns)
    taken = {name for field in ("occurred_at", "amount", "card_id", "merchant_id") for name in _by_name(field, columns)}
    for name in named:
        if found := _label(name, columns[name], surely=True):
            return found
    for name in columns:
        if name not in taken and (found := _label(name, columns[name], surely=False)):
            return found._replace(why=f"{found.why}; {BY_VALUES}")
    return None


def _label(name: str, texts: Texts, *, surely: bool) -> Guess | None:
    values = distinct(texts)
    lower = {value.lower() for value in values}
    if not values or len(values) > _MAX_OUTCOMES or (len(values) < 2 and not surely):
        return None
    telling = sorted(value for value in lower if _FRAUD_WORDS.search(value) and not _GENUINE_WORDS.search(value))
    default = FraudFlag(column="c")
    if lower <= default.fraud_values | (default.genuine_values or frozenset()):
        rare = sum(value in default.fraud_values for value in texts.to_pylist()) * 2 < len(texts)
        return Guess((name,), {}, "1, true or yes means fraud") if surely or rare else None
    for fraud, genuine in _PAIRS:
        if lower <= {fraud, genuine}:
            return Guess((name,), {"fraud": [fraud], "genuine": [genuine]}, "meaning of the two values guessed: check")
    if telling:
        genuine_values = sorted(lower - set(telling))
        return Guess((name,), {"fraud": telling, "genuine": genuine_values}, "by the words of its values: check")
    if len(values) == 2 and surely:
        rarer, other = sorted(values, key=texts.to_pylist().count)
        return Guess((name,), {"fraud": [rarer], "genuine": [other]}, "the rarer value taken for fraud: check")
    return None


def guess_amount(columns: Columns) -> Guess | None:
    """The amount: a number, perhaps with a currency sign."""
    named = _by_name("amount", columns)
    for name in named or list(columns):
        if named and len(signs := [sign for sign in SIGNS if sign in "".join(distinct(columns[name]))]) > 1:
            found = " and ".join(signs)
            raise MappingError(f"column {name} has amounts in several currencies ({found}): evaluate a file for each")
        if (keys := amount_format(columns[name])) is None:
            continue
        if not named and not re.search(r"[.,]\d\d?\b", " ".join(distinct(columns[name])[:50])):
            continue
        minor = bool(re.search(r"minor|cents?$", name.lower()))
        why = "in minor units by its name" if minor else "in major units (12.50)"
        if "thousands_separator" in keys:
            why += f"; {keys['thousands_separator']!r} is taken for thousands: check"
        if "negative" in keys:
            why += "; negative amounts are refunds, which are left out"
        return Guess((name,), {**({"unit": "minor"} if minor else {}), **keys}, why if named else f"{why}: {BY_VALUES}")
    return None


BY_VALUES: Final = "guessed from the values only, check"


def guess_card(columns: Columns) -> Guess | None:
    """The card: a column that repeats its values; with that of its user, if it only counts the cards of one."""
    of_merchants = _by_name("merchant_id", columns)
    named = [name for name in _by_name("card_id", columns) if name not in of_merchants]
    for name in named or _repeated(columns):
        values = distinct(columns[name])
        if sum(map(looks_like_card_number, values)) > len(values) // 2:
            why = "holds card numbers, which become tokens while they are read"
            return Guess((name,), {"tokenize": "true"}, why)
        users = [
            other for other in named if other != name and re.search(r"user|customer|client|account", other.lower())
        ]
        if users and len(values) < _FEW and all(value.isdecimal() for value in values):
            return Guess((users[0], name), {}, f"{name} has {len(values)} values: cards numbered within {users[0]}")
        return Guess((name,), {}, f"{len(values)} different values" if named else BY_VALUES)
    return None


def guess_merchant(columns: Columns) -> Guess | None:
    """The merchant: a column that repeats its values, and is no property of the merchant."""
    usable = {name: texts for name, texts in columns.items() if not _OF_MERCHANT_ONLY.search(name.lower())}
    named = _by_name("merchant_id", usable)
    for name in named or _repeated(usable):
        values = distinct(columns[name])
        long_numbers = sum(bool(_LONG_NUMBER.fullmatch(value)) for value in values)
        if long_numbers > len(values) // 2:
            return Guess((name,), {"not_card_numbers": "true"}, "64-bit numbers, which are no card numbers")
        return Guess((name,), {}, f"{len(values)} different values" if named else BY_VALUES)
    return None


def guess_transaction_id(columns: Columns) -> Guess | None:
    """The transaction's id: no value is there twice."""
    for name in _by_name("transaction_id", columns, whole=True):
        values = columns[name].to_pylist()
        if None not in values and len(set(values)) == len(values) and not any(map(has_prefix_of_brand, values)):
            return Guess((name,), {}, "every value is there once")
    return None


def guess_category(columns: Columns) -> Guess | None:
    """The category, if the file has codes of ISO 18245."""
    return _coded(
        columns, "merchant_category", lambda value: re.fullmatch(r"\d{3,4}([.,]0+)?", value) is not None, "0000"
    )


def guess_channel(columns: Columns) -> Guess | None:
    """The channel, if the file has our names of channels."""
    return _coded(columns, "channel", _CHANNELS.__contains__, "ecommerce")


def guess_country(columns: Columns) -> Guess | None:
    """The merchant's country, if the file has codes of ISO 3166-1."""
    return _coded(columns, "country", lambda value: re.fullmatch("[A-Z]{2}", value) is not None, "ZZ")


def guess_place(columns: Columns) -> tuple[Guess, Guess] | None:
    """Latitude and longitude of the merchant."""
    found = []
    for field, bound in (("latitude", 90), ("longitude", 180)):
        for name in _by_name(field, columns, whole=True):
            if separator := degrees_separator(columns[name], bound):
                keys = {} if separator == "." else {"decimal_separator": separator}
                found.append(Guess((name,), dict(keys), f"degrees within {bound}; they must be those of the merchant"))
                break
    return (found[0], found[1]) if len(found) == 2 else None


def guess_device(columns: Columns) -> Guess | None:
    """The device."""
    return next((Guess((name,), {}, "by its name") for name in _by_name("device_id", columns, whole=True)), None)


def guess_observed_at(columns: Columns) -> Guess | None:
    """When fraud became known."""
    for name in _by_name("observed_at", columns):
        if found := time_format(columns[name]):
            keys: dict[str, object] = {} if found.format == "iso" else {"format": found.format}
            return Guess((name,), keys, "when a fraud became known, by its name")
    return None


def _calendar_parts(columns: Columns) -> Guess | None:
    by_word = {_plain(name): name for name in columns}
    parts = [by_word.get(word) for word in ("year", "month", "day")]
    if None in parts:
        return None
    names = [part for part in parts if part is not None]
    clock = next((by_word[word] for word in ("time", "hour") if word in by_word), None)
    if clock is None:
        return Guess(tuple(names), {"format": "%Y %m %d"}, "the date stands in three columns; no time of day")
    form = joined_format("%Y %m %d", columns[clock]) or "%Y %m %d %H"
    return Guess((*names, clock), {"format": form}, "the parts of the time stand in four columns")


def _coded(columns: Columns, field: str, is_code: Callable[[str], bool], otherwise: str) -> Guess | None:
    for name in _by_name(field, columns):
        values = distinct(columns[name])
        if values and all(map(is_code, values)):
            missing = {"otherwise": otherwise} if columns[name].null_count else {}
            return Guess((name,), dict(missing), "codes that need no translation")
    return None


def untranslated(columns: Columns, field: str) -> str | None:
    """Return a column that has the name of a field of codes, whose values need a translation."""
    return next((name for name in _by_name(field, columns) if distinct(columns[name])), None)


def _by_name(field: str, columns: Columns, *, whole: bool = False) -> list[str]:
    """The columns whose name tells this field, the best first. Part of a name is enough, unless `whole`."""
    ranked = []
    for position, name in enumerate(columns):
        plain = _plain(name)
        for rank, word in enumerate(_NAMES[field]):
            exact = plain == word or plain.removeprefix("tx").removeprefix("merchant") == word
            if (
                exact
                or (not whole and word in re.split(r"[^a-z]+", _words(name)))
                or (not whole and len(word) > 3 and word in plain)
            ):
                ranked.append((not exact, rank, position, name))
                break
    return [name for *_, name in sorted(ranked)]


def _repeated(columns: Columns) -> list[str]:
    """Columns that may be identifiers by their values: many, and some more than once; the most repeated first."""
    counts = {name: len(distinct(texts)) for name, texts in columns.items()}
    usable = [name for name in columns if 1 < counts[name] < len(columns[name]) and not columns[name].null_count]
    return sorted(usable, key=lambda name: -counts[name])


def _words(name: str) -> str:
    """`TransactionDate` -> `transaction date`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def _plain(name: str) -> str:
    umlauts = str.maketrans(
        {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "é": "e", "è": "e", "í": "i", "ñ": "n", "ç": "c"}
    )
    return re.sub(r"[^a-z0-9]", "", name.lower().translate(umlauts))
