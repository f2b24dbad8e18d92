"""Reads a mapping file, and says in the user's words what is wrong with one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints
from unicodedata import category

import msgspec

from adapters.archive.tabular import CsvDialect
from cardwatch.errors import MappingError
from cli.evaluate.mapping import CODE_RULES, TIME_FORMATS, Amount, Code, Identifier, Joinable, Mapping, Time
from cli.evaluate.parsing import whole_number
from cli.yaml_text import TextLoader, load_yaml, read_text

_FACTORS: Final = frozenset({"k", "m", "mn", "b", "bn", "%", "\u2030"})
"""Texts behind a number that multiply or divide it."""
_DAYS: Final = tuple(
    set(directives) for directives in ("c", "x", *(f"{y}{day}" for y in "Yy" for day in ("md", "bd", "Bd", "j")), "GVu")
)  # fmt: skip
"""Directives of strptime that say a day. Without one of these sets it takes the first day of the year or the month."""


def load_mapping(path: Path) -> Mapping:
    """Read a mapping file, or raise `MappingError` with the key, what is wrong and what was meant."""
    return parse_mapping(read_text(path, str(path), MappingError), str(path))


def parse_mapping(text: str, source: str) -> Mapping:
    """Return the mapping that `text` holds; `source` names it in the `MappingError` for a text that holds none."""
    document = _read_yaml(text, source)
    for part in ("transaction", "label"):
        if isinstance(fields := document.get(part), dict):
            document[part] = {name: _spelled_out(name, value) for name, value in fields.items()}
    try:
        _refuse_constants(document.get("transaction"))
        mapping = msgspec.convert(document, Mapping, strict=False)
        _check(mapping)
    except msgspec.ValidationError as error:
        raise MappingError(f"{source}: {_explain(str(error))}") from error
    return mapping


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean ...?` if one of `known` is close to `name`, else nothing."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean {by_lower[close[0]]!r}?" if close else ""


def _read_yaml(text: str, source: str) -> dict[str, Any]:
    document = load_yaml(text, source, TextLoader, MappingError).value
    if not isinstance(document, dict):
        raise MappingError(f"{source}: is not a mapping file: it needs the keys 'transaction' and 'label'")
    return document


def _refuse_constants(fields: object) -> None:
    """Say why the two fields of which a history is kept have no constant, as others have."""
    for name in ("card_id", "merchant_id"):
        spec = fields.get(name) if isinstance(fields, dict) else None
        if isinstance(spec, dict) and "constant" in spec:
            raise _refusal(
                "is no column; features are histories of cards and merchants, so data without them cannot be evaluated",
                f"transaction.{name}.constant",
            )


def _spelled_out(name: str, value: object) -> object:
    """A bare name stands for `{column: NAME}`, a list for `{columns: [...]}`; `currency` is never a column."""
    if isinstance(value, list):
        return {"columns": value}
    return {"column": value} if isinstance(value, str) and name != "currency" else value


def _check(mapping: Mapping) -> None:
    """Check what the types cannot express; raise `msgspec.ValidationError` as they do."""
    _check_dialect(mapping.file)
    flag = mapping.label.is_fraud
    fraud, genuine = (set(map(whole_number, values)) for values in (flag.fraud_values, flag.genuine_values or ()))
    if both := sorted(fraud & genuine):
        raise _refusal(f"{both[0]!r} is among the values of both classes", "label.is_fraud")
    _check_time("transaction.occurred_at", mapping.transaction.occurred_at)
    if mapping.label.observed_at is not None:
        _check_time("label.observed_at", mapping.label.observed_at)
    for name, (pattern, meaning) in CODE_RULES.items():
        if (code := getattr(mapping.transaction, name)) is not None:
            _check_code(f"transaction.{name}", code, pattern, meaning)
    for name in ("card_id", "merchant_id", "transaction_id", "device_id", "card_range"):
        if (identifier := getattr(mapping.transaction, name)) is not None:
            _check_identifier(f"transaction.{name}", identifier, is_card=name == "card_id")
    _check_amount("transaction.amount", mapping.transaction.amount)
    for name in ("latitude", "longitude"):
        if (degrees := getattr(mapping.transaction, name)) is not None:
            _check_separator(f"transaction.{name}.decimal_separator", degrees.decimal_separator)
    if (mapping.transaction.latitude is None) != (mapping.transaction.longitude is None):
        raise _refusal("latitude and longitude come together or not at all", "transaction")


def _check_dialect(dialect: CsvDialect) -> None:
    for name in ("delimiter", "quote"):
        if not (character := getattr(dialect, name)).isascii():
            raise _refusal(f"{character!r} is not ASCII: replace it in the file by another one first", f"file.{name}")
        if character in {"\0", "\r", "\n"}:
            raise _refusal(f"{character!r} cannot be used, because it ends a line or a text", f"file.{name}")
    if dialect.delimiter == dialect.quote:
        raise _refusal("delimiter and quote are the same", "file")
    if not dialect.encoding.isprintable():
        raise _refusal(f"{dialect.encoding!r} is not the name of an encoding", "file.encoding")


def _check_columns(where: str, spec: Joinable) -> None:
    if (spec.column is None) == (spec.columns is None):
        raise _refusal("needs either 'column' or 'columns'", where)


def _check_identifier(where: str, identifier: Identifier, *, is_card: bool) -> None:
    _check_columns(where, identifier)
    if is_card and identifier.not_card_numbers:
        raise _refusal("is for other fields; 'tokenize' makes tokens of card numbers", f"{where}.not_card_numbers")
    if identifier.tokenize and not is_card:
        raise _refusal("is for transaction.card_id only", f"{where}.tokenize")


def _check_amount(where: str, amount: Amount) -> None:
    if amount.decimal == amount.thousands_separator:
        raise _refusal("decimal_separator and thousands_separator are the same", where)
    _check_separator(f"{where}.decimal_separator", amount.decimal)
    _check_separator(f"{where}.thousands_separator", amount.thousands_separator)
    if len(signs := [character for character in amount.strip if category(character) == "Sc"]) > 1:
        raise _refusal(f"{' and '.join(signs)}: amounts in several currencies cannot be compared", f"{where}.strip")
    if amount.strip.strip().lower() in _FACTORS:
        raise _refusal(f"{amount.strip!r} stands for a factor; without it the amount is another one", f"{where}.strip")
    part_of_number = f"0123456789+-(){amount.decimal}{amount.thousands_separator.strip()}"
    for character in amount.strip:
        if character in part_of_number:
            raise _refusal(f"{character!r} is part of a number; without it the amount is another one", f"{where}.strip")


def _check_separator(where: str, separator: str) -> None:
    if separator and (separator.isalnum() or separator in "+-"):
        raise _refusal(f"{separator!r} is part of a number, and separates nothing", where)


def _check_time(where: str, time: Time) -> None:
    _check_columns(where, time)
    _check_separator(f"{where}.decimal_separator", time.decimal_separator)
    if time.columns is not None and "%" not in time.format:
        raise _refusal('joined columns need a format such as "%Y %m %d %H:%M"', where)
    if "%" in time.format:
        _check_pattern(f"{where}.format", time.format)
    elif time.format not in TIME_FORMATS:
        formats = f"one of {', '.join(TIME_FORMATS)} or a pattern such as %d/%m/%Y %H:%M:%S"
        raise _refusal(f"{time.format!r} is not {formats}{suggestion(time.format, TIME_FORMATS)}", f"{where}.format")
    if time.start is not None and not time.format.endswith("_since"):
        raise _refusal(f"the format {time.format} has no start; one of *_since has", f"{where}.start")
    if time.format.endswith("_since") and time.start is None:
        raise _refusal(f"the format {time.format} needs the key 'start': the time that it counts from", where)
    try:
        _ = time.start_ms
    except ValueError:
        raise _refusal(f"{time.start!r} is not an ISO 8601 time", f"{where}.start") from None


def _check_pattern(where: str, pattern: str) -> None:
    """Refuse a pattern that strptime cannot use, or with which it ignores or invents part of a time."""
    try:
        datetime.strptime("", pattern)  # noqa: DTZ007 (only the pattern counts)
    except re.error:
        raise _refusal(f"{pattern!r} has a directive twice", where) from None
    except ValueError as error:
        if "does not match format" not in str(error):
            raise _refusal(f"{pattern!r} is not a pattern of strptime: {error}", where) from None
    found = set(re.findall("%(.)", pattern.replace("%%", "")))
    if ("p" in found) != ("I" in found) or {"p", "H"} <= found:
        raise _refusal("hours of 12 are %I with %p, hours of 24 are %H without %p", where)
    if "Z" in found:
        raise _refusal("%Z is not read, because names of zones are not unique; %z reads an offset such as +0100", where)
    if not any(needed <= found for needed in _DAYS):
        raise _refusal(f"{pattern!r} does not say year, month and day", where)


def _check_code(where: str, code: Code, pattern: str, meaning: str) -> None:
    if (code.column is None) == (code.constant is None):
        raise _refusal("needs either 'column' or 'constant'", where)
    results = {"constant": code.constant, "otherwise": code.otherwise}
    results |= {f"values.{name}": value for name, value in code.values.items()}
    for key, value in results.items():
        if value is not None and not re.fullmatch(pattern, value):
            raise _refusal(f"{value!r} is not {meaning}{suggestion(value, pattern.split('|'))}", f"{where}.{key}")


def _refusal(problem: str, where: str) -> msgspec.ValidationError:
    return msgspec.ValidationError(f"{problem} - at `$.{where}`")


def _explain(message: str) -> str:
    """msgspec's sentence, with the path first and the keys that would have been right."""
    problem, _, path = message.partition(" - at `")
    keys = [key for key in path.rstrip("`").split(".")[1:] if key]
    where = f"{'.'.join(keys)}: " if keys else ""
    if match := re.match(r"Object contains unknown field `(.*)`", problem):
        allowed = _struct_at(keys).__struct_fields__
        return f"{where}unknown key {match[1]!r}{suggestion(match[1], allowed)} Allowed: {', '.join(allowed)}"
    if match := re.match(r"Object missing required field `(.*)`", problem):
        return f"{where}the key {match[1]!r} is missing"
    if problem.startswith("Invalid enum value"):
        allowed = get_args(get_type_hints(_struct_at(keys[:-1]))[keys[-1]])
        return f"{where}{problem.rpartition(' ')[2]} is not one of {', '.join(allowed)}"
    return where + problem.replace("`object`", "keys and values").replace("`str`", "text").replace(
        "`int`", "a whole number"
    )


def _struct_at(keys: list[str]) -> Any:
    kind: Any = Mapping
    for key in keys:
        hint = get_type_hints(kind)[key]
        kind = next(part for part in (hint, *get_args(hint)) if hasattr(part, "__struct_fields__"))
    return kind
