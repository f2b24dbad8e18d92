"""Columns of text to columns of values, as a mapping says they are written.

Each parser takes n texts, null where a value is missing, and gives n values. Those that it cannot give it
refuses, with a mask and the reason; a value at such a place means nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cardwatch.events import MAX_AMOUNT_MINOR, to_epoch_ms
from cli.evaluate.mapping import CODE_RULES, Amount, CensoredFlag, Code, Degrees, FraudFlag, Time
from cli.evaluate.numbers import cast_where_possible, has_commas, have_lost_digits, parse_numbers

# pyarrow's stubs do not know which array a compute function gives for which.
Arrow: TypeAlias = Any
Texts: TypeAlias = Arrow
Coded: TypeAlias = Arrow
"""A `pa.DictionaryArray` of texts: every distinct text once, and per row its place among them."""

Mask = NDArray[np.bool_]
Refuse = Callable[[Mask, str], None]

MISSING: Final = "is missing"
LOST_DIGITS: Final = "is a number in exponent form, whose last digits are lost; export the column as text"
_ZONED: Final = r":\d\d(\.\d+)?(Z|[+-]\d\d(:?\d\d)?)$"
_DECIMAL_COMMA: Final = r"(:\d\d),(\d+)"
_WHOLE_FLOAT: Final = r"^([0-9]+)[.,]0+$"
"""A label or code that was read as a float, as programs write it once a value in the column is missing."""
_SHORTENED: Final = re.compile("0|[1-9][0-9]{2}")
"""A category that was read as a number and has lost its zeros in front. None below 100 is assigned but 0000, so that a
number of one or two digits is a code of another kind."""
_FIRST_MS: Final = 0
LARGEST_SCORE: Final = 10.0**12
"""Absolute value of a score. A card number has 13 digits or more, and a score column is copied to the scored rows."""
_LAST_MS: Final = to_epoch_ms(datetime(2200, 1, 1, tzinfo=UTC))
_LEAST_MS: Final = 100_000_000_000
"""A smaller count since 1970 (before March 1973) has another unit, or counts from another moment."""
_OTHER_COUNT: Final = {
    "epoch_ms": "is a time before 1973 in milliseconds; if it is in seconds, the format is epoch_s",
    "epoch_us": "is a time before 1973 in microseconds; if it is in milliseconds, the format is epoch_ms",
    "epoch_s": "is a time before 1973 in seconds; if it does not count from 1970, the format is seconds_since, or for"
    " the days of a spreadsheet days_since with start: 1899-12-30",
}
_WIDTHS: Final = {"Y": "4", "j": "3", "f": "1,6"} | dict.fromkeys("mdHIMSyUWwu", "2")
"""Digits of a directive of strptime. Between directives that touch, fewer could mean several times: 10305 is 01:03:05
or 10:30:5."""
_LONGEST_TIME: Final = 256
"""Characters of a time. The search for a pattern in a longer text can take minutes."""
_SMALLEST_FRACTION: Final = 1e-6
_UNIT_MS: Final = {
    "epoch_s": 1_000,
    "epoch_ms": 1,
    "epoch_us": 1e-3,
    "seconds_since": 1_000,
    "hours_since": 3_600_000,
    "days_since": 86_400_000,
}


def clean(texts: Texts, missing: tuple[str, ...]) -> Texts:
    """Without blanks around them, and null where the text is one of `missing`."""
    texts = pc.utf8_trim_whitespace(texts)
    return pc.if_else(pc.is_in(texts, value_set=pa.array(missing, pa.string())), None, texts)


def is_null(values: Arrow) -> Mask:
    """Return a mask of the rows without a value."""
    return as_mask(values.is_null())


def parse_times(texts: Texts, refuse: Refuse, spec: Time) -> NDArray[np.int64]:
    """Milliseconds since 1970 in UTC; below a millisecond is cut off."""
    if spec.format == "iso":
        times, written = _iso_ms(texts), "an ISO 8601 time (2018-04-01T13:05:00)"
    elif "%" in spec.format:
        form = _form_of_touching(spec.format)
        times = _strptime_ms(texts, spec.format, form)
        written = f"a time written {spec.format}" + (", with all zeros in front" if form else "")
    else:
        times, written = _counted_ms(texts, spec), f"a number, as {spec.format} needs"
    unread = is_null(times) & ~is_null(texts)
    if "number" in written:
        refuse(unread & have_lost_digits(texts), LOST_DIGITS)
    if "number" in written and spec.decimal_separator == ".":
        refuse(unread & has_commas(texts), f"is not {written}; for a decimal comma, give its decimal_separator")
    refuse(unread, f"is not {written}")
    hint = "" if spec.format not in _OTHER_COUNT else "; is the unit another one (epoch_s, epoch_ms, epoch_us)?"
    epoch_ms = cast(NDArray[np.int64], times.fill_null(0).to_numpy(zero_copy_only=False))
    refuse(~is_null(times) & ~_within(epoch_ms, _FIRST_MS, _LAST_MS), f"is not a time between 1970 and 2200{hint}")
    if spec.format in _OTHER_COUNT:
        refuse(~is_null(times) & _within(epoch_ms, 1, _LEAST_MS - 1), _OTHER_COUNT[spec.format])
    return epoch_ms


def parse_amounts(texts: Texts, refuse: Refuse, spec: Amount) -> NDArray[np.int64]:
    """Minor units, rounded to the nearest where the text has more digits; negative ones only if they are left out."""
    plain = texts
    if spec.strip:
        # A sign may stand before what is stripped: -$5 is $-5.
        plain = pc.replace_substring_regex(plain, f"^([+-])[{re.escape(spec.strip)}]+", r"\1")
        plain = pc.utf8_trim(plain, characters=spec.strip)
    numbers = parse_numbers(plain, spec.decimal, spec.thousands_separator)
    unread = np.isnan(numbers) & ~is_null(texts)
    refuse(unread & have_lost_digits(plain), LOST_DIGITS)
    if spec.thousands_separator:
        misplaced = as_mask(pc.match_substring(texts, spec.thousands_separator))
        refuse(unread & misplaced, f"is not a number with {spec.thousands_separator!r} before every third digit")
    elif spec.decimal == ".":
        hint = "if it has decimal or thousands commas, say so under transaction.amount"
        refuse(unread & has_commas(plain), f"is not a number; {hint}")
    written = "" if spec.decimal == "." else f" written with {spec.decimal!r}"
    refuse(unread, f"is not a number{written}")
    if spec.unit == "minor":
        fraction = np.abs(numbers - np.rint(numbers)) > _SMALLEST_FRACTION
        refuse(fraction, "has a fraction, though transaction.amount.unit is minor")
    with np.errstate(over="ignore"):  # what is infinite is refused below
        minor = np.rint(numbers * (10**spec.digits if spec.unit == "major" else 1))
    minor = np.where(numbers < 0, np.minimum(minor, -1), minor)  # a refund that rounds to 0 is none of 0
    if spec.negative == "refuse":
        refuse(minor < 0, "is negative; an amount must be 0 or more")
    refuse(np.abs(minor) > MAX_AMOUNT_MINOR, "is too large for an amount")
    return np.where(_within(minor, -MAX_AMOUNT_MINOR, MAX_AMOUNT_MINOR), minor, 0).astype(np.int64)


def parse_codes(texts: Texts, refuse: Refuse, name: str, spec: Code) -> Coded:
    """Our codes for theirs: by `values`, else as written if that is a code, else `otherwise`."""
    pattern, meaning = CODE_RULES[name]
    coded = texts.dictionary_encode()
    ours = [_our_code(theirs, name, pattern, spec) for theirs in coded.dictionary.to_pylist()]
    refuse(
        where(coded, pa.array([code is None for code in ours], pa.bool_())),
        f"is not {meaning}; translate it under transaction.{name}.values, or give transaction.{name}.otherwise",
    )
    # Several of their names may map to one of our codes, so the dictionary is rebuilt.
    codes = pa.DictionaryArray.from_arrays(coded.indices, pa.array(ours, pa.string())).cast(pa.string())
    return (codes if spec.otherwise is None else codes.fill_null(spec.otherwise)).dictionary_encode()


def parse_degrees(texts: Texts, refuse: Refuse, spec: Degrees, bound: int) -> NDArray[np.float64]:
    """Degrees between -`bound` and `bound`; NaN where missing."""
    degrees = parse_numbers(texts, spec.decimal_separator)
    outside = ~is_null(texts) & ~_within(degrees, -bound, bound)
    reason = f"is not a number of degrees between -{bound} and {bound}"
    if spec.decimal_separator == ".":
        refuse(outside & has_commas(texts), f"{reason}; for a decimal comma, give its decimal_separator")
    refuse(outside, reason)
    return degrees


def parse_scores(texts: Texts, refuse: Refuse, refuse_unseen: Refuse) -> NDArray[np.float64]:
    """Finite numbers. One that may be an identifier is refused without its value, which may be a card number."""
    numbers = parse_numbers(texts)
    refuse_unseen(np.abs(numbers) > LARGEST_SCORE, "is beyond 10^12, which no score is; is the column an identifier?")
    refuse(np.isnan(numbers) & ~is_null(texts), "is not a finite number, as a score must be")
    return numbers


def parse_fraud(texts: Texts, refuse: Refuse, spec: FraudFlag) -> Mask:
    """Which transactions were fraud."""
    lower = pc.replace_substring_regex(pc.utf8_lower(texts), _WHOLE_FLOAT, r"\1")
    fraud = _is_one_of(lower, frozenset(map(whole_number, spec.fraud_values)))
    if spec.genuine_values is not None:
        known = fraud | _is_one_of(lower, frozenset(map(whole_number, spec.genuine_values)))
        means = ", ".join(sorted(spec.fraud_values)), ", ".join(sorted(spec.genuine_values))
        refuse(~known & ~is_null(texts), f"means neither fraud ({means[0]}) nor genuine ({means[1]})")
    return fraud


def parse_censored(texts: Texts, spec: CensoredFlag) -> Mask:
    """Which transactions have a value that means that nobody knows their outcome."""
    return _is_one_of(pc.utf8_lower(texts), frozenset(value.lower() for value in spec.values))


def _iso_ms(texts: Texts) -> Arrow:
    texts = pc.replace_substring_regex(texts, _DECIMAL_COMMA, r"\1.\2")  # ISO 8601 allows it
    zoned = pc.match_substring_regex(texts, _ZONED)
    utc = cast_where_possible(pc.if_else(zoned, texts, None), pa.timestamp("ns", "UTC"))
    local = cast_where_possible(pc.if_else(zoned, None, texts), pa.timestamp("ns"))
    nanoseconds = pc.coalesce(utc.cast(pa.int64()), local.cast(pa.int64()))
    return pc.divide(nanoseconds, 1_000_000)


def _form_of_touching(pattern: str) -> re.Pattern[str] | None:
    """Return the form of texts in which directives of digits that touch have all their digits; None if none touch."""
    if not re.search(rf"%[{''.join(_WIDTHS)}]%[{''.join(_WIDTHS)}]", pattern.replace("%%", "")):
        return None
    parts = re.findall(r"%(.)|([^%]+)", pattern)
    form, names = "", [name for name, _ in parts]
    for position, (name, literal) in enumerate(parts):
        touches = {*names[max(position - 1, 0) : position], *names[position + 1 : position + 2]} & set(_WIDTHS)
        if not name:
            form += r"\s+".join(map(re.escape, re.split(r"\s+", literal)))
        elif name in _WIDTHS and touches:
            form += rf"\d{{{_WIDTHS[name]}}}"
        else:
            form += ".+?"
    return re.compile(form, re.IGNORECASE)


def _strptime_ms(texts: Texts, pattern: str, form: re.Pattern[str] | None) -> Arrow:
    """Parse with Python's strptime; the platform's accepts 31 February as a day in March."""
    coded = texts.dictionary_encode()
    found = [
        _strptime_one(text, pattern) if len(text) <= _LONGEST_TIME and (form is None or form.fullmatch(text)) else None
        for text in coded.dictionary.to_pylist()
    ]
    return pa.array(found, pa.int64()).take(coded.indices)


def _strptime_one(text: str, pattern: str) -> int | None:
    try:
        moment = datetime.strptime(text, pattern)  # noqa: DTZ007 (UTC where the pattern has no zone)
    except ValueError:
        return None
    return to_epoch_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _counted_ms(texts: Texts, spec: Time) -> Arrow:
    epoch_ms = np.rint(parse_numbers(texts, spec.decimal_separator) * _UNIT_MS[spec.format]) + spec.start_ms
    bounded = np.clip(epoch_ms, -(2.0**62), 2.0**62)
    return pa.array(np.nan_to_num(bounded).astype(np.int64), mask=np.isnan(epoch_ms))


def _our_code(theirs: str, name: str, pattern: str, spec: Code) -> str | None:
    whole = whole_number(theirs)
    translated = spec.values.get(theirs) or spec.values.get(whole)
    if translated is not None:
        return translated
    code = theirs if name != "merchant_category" else whole.zfill(4) if _SHORTENED.fullmatch(whole) else whole
    return code if re.fullmatch(pattern, code) else spec.otherwise


def whole_number(text: str) -> str:
    """Return a label or code that was read as a float, such as 1.0, as the whole number that it was; others as is."""
    return re.sub(_WHOLE_FLOAT, r"\1", text)


def _is_one_of(texts: Texts, values: frozenset[str]) -> Mask:
    return as_mask(pc.is_in(texts, value_set=pa.array(sorted(values), pa.string())))


def where(coded: Coded, of_dictionary: Arrow) -> Mask:
    """Return a mask over the dictionary as a mask over the rows; missing rows are not in it."""
    return as_mask(of_dictionary.take(coded.indices))


def as_mask(values: Arrow) -> Mask:
    """Return booleans of Arrow as a mask, in which null is false."""
    return cast(Mask, values.fill_null(False).to_numpy(zero_copy_only=False))


def _within(values: NDArray[Any], least: float, most: float) -> Mask:
    return (values >= least) & (values <= most)
