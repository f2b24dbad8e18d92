"""`cardwatch evaluate --suggest`: a mapping proposed from a file's first rows, with comments on what was guessed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from adapters.archive.tabular import CsvDialect
from cardwatch.card_numbers import mask_card_numbers
from cardwatch.errors import MappingError
from cli.evaluate.fields import parse_batch
from cli.evaluate.mapping_file import parse_mapping
from cli.evaluate.presets import known_format, preset_file, why_refused
from cli.evaluate.rejects import Rejects, in_words
from cli.evaluate.suggest import roles
from cli.evaluate.suggest.roles import Columns, Guess
from cli.evaluate.suggest.sample import Sample, distinct, read_sample

_REQUIRED: Final = {
    "occurred_at": roles.guess_times,
    "is_fraud": roles.guess_fraud,
    "amount": roles.guess_amount,
    "card_id": roles.guess_card,
    "merchant_id": roles.guess_merchant,
}
"""Each takes the columns that those before it have left."""
_OPTIONAL: Final = {
    "transaction_id": roles.guess_transaction_id,
    "merchant_category": roles.guess_category,
    "channel": roles.guess_channel,
    "country": roles.guess_country,
    "device_id": roles.guess_device,
}
_LOOKED_FOR: Final = {
    "occurred_at": "a time",
    "is_fraud": "a label with two values, such as 1 and 0",
    "amount": "an amount",
    "card_id": "a card, an account or a customer",
    "merchant_id": "a merchant or a terminal",
}
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*( [A-Za-z0-9_]+)*")
_CODES: Final = {
    "merchant_category": 'codes of ISO 18245, for example {groceries: "5411"}, otherwise: "0000"',
    "channel": "chip, contactless, swipe, ecommerce, atm or recurring",
    "country": "codes of ISO 3166-1, for example {Germany: DE}, otherwise: ZZ",
}


def suggest_mapping(path: Path) -> str:
    """Return a mapping file for `path`, in YAML with comments.

    Raises `MappingError` if the file cannot be read, or has no column that can be one of the required fields.
    """
    sample = read_sample(path)
    names = set(sample.columns)
    if reason := why_refused(names):
        raise MappingError(f"{path}: no mapping can be proposed. It looks like {reason}")
    preset = known_format(names)
    text = _of_preset(path, preset, sample) if preset else _guessed(path, sample)
    return text + _tried(text, sample)


def _of_preset(path: Path, preset: str, sample: Sample) -> str:
    lines = preset_file(preset).read_text("utf-8").splitlines(keepends=True)
    written = [line for line in lines if not line.startswith("file:")]
    at = next(number for number, line in enumerate(written) if not line.startswith("#"))
    head = f"# {_name(path)} has the columns of a public data set: this is `--preset {preset}`.\n"
    return head + "".join(written[:at]) + _file(sample.dialect) + "".join(written[at:])


def _guessed(path: Path, sample: Sample) -> str:
    left = dict(sample.columns)
    fields: list[str] = []
    label: list[str] = []
    for field, guess in _REQUIRED.items():
        try:
            found = guess(left)
        except MappingError as error:
            raise MappingError(f"{path}: no mapping can be proposed: {error}") from error
        if found is None:
            raise MappingError(
                f"{path}: no mapping can be proposed: no column looks like {_LOOKED_FOR[field]} ({field})."
                f" Its columns: {', '.join(map(mask_card_numbers, sample.columns))}. Write the mapping by hand, as"
                " docs/evaluate.md describes"
            )
        left = _without(left, found)
        (label if field == "is_fraud" else fields).append(_line(field, found))
    for field, guess in _OPTIONAL.items():
        if found := guess(left):
            left = _without(left, found)
            fields.append(_line(field, found))
        elif field in _CODES and (column := roles.untranslated(left, field)):
            fields.append(
                f"  # {field}: {{column: {_quoted(column)}, values: ...}} needs a translation to {_CODES[field]}\n"
            )
    if place := roles.guess_place(left):
        fields += [_line("latitude", place[0]), _line("longitude", place[1])]
    if observed := roles.guess_observed_at(left):
        label.append(_line("observed_at", observed))
    return "".join([
        f"# Proposed from the first {len(sample.batch.numbers):,} rows of {_name(path)}. Check every line: names and"
        " values can mislead.\n",
        _file(sample.dialect),
        "transaction:\n",
        *fields,
        _currency(sample.columns),
        "label:\n",
        *label,
    ])  # fmt: skip


def _tried(text: str, sample: Sample) -> str:
    """A comment on how many of the first rows the proposal reads. The proposal itself is checked on the way."""
    mapping = parse_mapping(text, "the proposed mapping")
    _, faults = parse_batch(sample.batch, mapping)
    rejects = Rejects(lambda _row: None)
    for fault in faults.found:
        rejects(fault)
    rows = len(sample.batch.numbers)
    lines = [f"# With this mapping, {rows - rejects.count:,} of the first {rows:,} rows can be read."]
    lines += [f"#{line}" for line in in_words(rejects.reasons(), rows)]
    return "\n".join(lines) + "\n"


def _file(dialect: CsvDialect) -> str:
    """The dialect, as far as it is not the default."""
    default = CsvDialect()
    keys = {
        name: getattr(dialect, name)
        for name in dialect.__struct_fields__
        if getattr(dialect, name) != getattr(default, name)
    }
    if not keys:
        return ""
    comment = "" if dialect.column_names is None else "# The file has no row of names: give the columns better ones.\n"
    return f"{comment}file: {{{_keys(keys)}}}\n"


def _line(field: str, guess: Guess) -> str:
    if len(guess.columns) == 1:
        value = _quoted(guess.columns[0])
        value = f"{{column: {value}, {_keys(guess.keys)}}}" if guess.keys else value
    else:
        value = f"[{', '.join(map(_quoted, guess.columns))}]"
        value = f"{{columns: {value}, {_keys(guess.keys)}}}" if guess.keys else value
    return f"  {field}: {value} # {guess.why}\n"


def _keys(keys: dict[str, object]) -> str:
    return ", ".join(f"{name}: {_value(value)}" for name, value in keys.items())


def _value(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_quoted, value))}]"
    return _quoted(str(value))


def _quoted(text: str) -> str:
    """A text as YAML writes it; JSON's quotes are valid there."""
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _currency(columns: Columns) -> str:
    """The currency, if the file has one; amounts of several cannot be compared."""
    for name, texts in columns.items():
        values = distinct(texts)
        if "currency" in name.lower() and values and all(re.fullmatch("[A-Z]{3}", value) for value in values):
            if len(values) == 1:
                return f"  currency: {values[0]} # the only value of {name}\n"
            return f"  # {name} has {len(values)} currencies, which are not converted: evaluate a file for each\n"
    return "  # currency: EUR is assumed\n"


def _without(columns: Columns, guess: Guess) -> Columns:
    return {name: texts for name, texts in columns.items() if name not in guess.columns}


def _name(path: Path) -> str:
    return mask_card_numbers(path.name)
