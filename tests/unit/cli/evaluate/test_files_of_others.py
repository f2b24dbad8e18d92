"""Files as other people's programs write them: read as they are meant, or refused; never read as something else."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardwatch.errors import MappingError
from cli.evaluate.dataset import Dataset, Text, read_dataset
from cli.evaluate.mapping_file import load_mapping
from cli.evaluate.numbers import parse_numbers
from cli.evaluate.rejects import Fault, failing, rejecting

MINIMAL = """
transaction:
  occurred_at: time
  card_id: card
  merchant_id: merchant
  amount: amount
label:
  is_fraud: fraud
"""
HEADER = "time,card,merchant,amount,fraud\n"
PUBLISHED = ["4111111111111111", "5500005555555559", "340000000000009", "6011000000000004", "30000000000004"]
PIPE, SEMICOLON = 'file: {delimiter: "|"}\n', 'file: {delimiter: ";"}\n'


def read(tmp_path: Path, data: str, mapping: str = MINIMAL) -> Dataset:
    (tmp_path / "mapping.yaml").write_text(mapping, encoding="utf-8")
    path = tmp_path / "data.csv"
    path.write_text(data, encoding="utf-8")
    return read_dataset(path, load_mapping(tmp_path / "mapping.yaml"), failing(path))


def refusal(tmp_path: Path, data: str, mapping: str = MINIMAL) -> str:
    with pytest.raises(MappingError) as refused:
        read(tmp_path, data, mapping)
    return str(refused.value).removeprefix(f"{tmp_path / 'data.csv'}: ")


def names(dataset: Dataset, field: str) -> list[object]:
    texts: Text = dataset.columns[field]
    return list(texts.names[texts.codes])


# No row of names.


@pytest.mark.parametrize(
    ("data", "mapping"),
    [
        ("2024-03-01 10:00:00,4111111111111111,shop-1,12.50,0\n2024-03-01 10:05:00,card-2,shop-1,3.00,0\n", MINIMAL),
        ("2024-03-01 10:00:00|4111 1111 1111 1111|shop-1|12.50|0\n", MINIMAL),
        ("2024-03-01 10:00:00|4111 1111 1111 1111|shop-1|12.50|0\n", MINIMAL + PIPE),
        ("01.03.2024;card-1;7;12,50;0\n", MINIMAL + SEMICOLON),
        ("1709287200\tc\t17\t12.50\t0\n", MINIMAL),
        ("4111111111111111.0,shop,food,chip,x\n", MINIMAL),
    ],
)
def test_a_first_row_of_data_is_told_and_never_shown(tmp_path: Path, data: str, mapping: str) -> None:
    message = refusal(tmp_path, data, mapping)
    assert "Row 1 looks like data, not like the names of columns: list the names in the mapping" in message
    for value in ("4111", "shop", "card-", "10:00", "12"):
        assert value not in message


def test_a_file_without_a_header_is_read_with_the_names_of_the_mapping(tmp_path: Path) -> None:
    mapping = MINIMAL + "file: {column_names: [time, card, merchant, amount, fraud]}\n"
    dataset = read(tmp_path, "2024-03-01,c1,m1,1.5,0\n\n2024-03-02,c2,m2,2,1\n", mapping)
    assert dataset.columns["row"].tolist() == [1, 3]
    assert names(dataset, "merchant_id") == ["m1", "m2"]
    assert refusal(tmp_path, "2024-03-01,c1,m1,1.5,0\n2024-03-02,c2,m2\n", mapping).startswith(
        "row 2: has 3 columns, file.column_names has 5."
    )


@pytest.mark.parametrize(
    ("before", "delimiter", "keys"),
    [
        ("Export of card 4111111111111111\n", ",", "skip_rows: 1"),
        ("sep=;\n", ";", 'skip_rows: 1, delimiter: ";"'),
        ("Bank of Somewhere\n\nAll payments, 2024\n", "\t", 'skip_rows: 3, delimiter: "\\t"'),
    ],
)
def test_lines_before_the_names_are_told_with_the_key_that_skips_them(
    tmp_path: Path, before: str, delimiter: str, keys: str
) -> None:
    data = before + (HEADER + "2024-03-01,c,m,3.00,0\n2024-03-02,c,m\n").replace(",", delimiter)
    message = refusal(tmp_path, data)
    assert f"holds the names of the columns: the mapping needs `file: {{{keys}}}`" in message
    assert "4111" not in message
    skipped = before.count("\n")
    assert refusal(tmp_path, data, f"{MINIMAL}file: {{{keys}}}\n").startswith(f"row {skipped + 3}: has 3 columns")
    good = data.rpartition("2024-03-02")[0]
    assert read(tmp_path, good, f"{MINIMAL}file: {{{keys}}}\n").columns["row"].tolist() == [skipped + 2]


def test_a_card_number_among_the_names_of_columns_is_masked(tmp_path: Path) -> None:
    message = refusal(tmp_path, "time,spent by 4111-1111-1111-1111,merchant,amount,fraud\n2024-03-01,c,m,1,0\n")
    assert "4111" not in message


def test_years_and_indices_as_names_are_no_data(tmp_path: Path) -> None:
    message = refusal(tmp_path, "when,2023,card,merchant,amount,fraud\n2024-03-01,1,c,m,1,0\n")
    assert message.endswith("Its columns: when, 2023, card, merchant, amount, fraud")


# Card numbers.

FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "float": lambda number: f"{number}.0",
    "exponent": lambda number: f"{float(number):.15e}",
    "exponent of a spreadsheet": lambda number: f"{float(number):.5E}".replace(".", ","),
    "no-break spaces": lambda number: "\u00a0".join([number[:4], number[4:8], number[8:12], number[12:]]),
    "apostrophe": lambda number: f"'{number}",
    "points": lambda number: ".".join([number[:4], number[4:8], number[8:12], number[12:]]),
    "formula": lambda number: f'"=""{number}"""',
    "label": lambda number: f"PAN:{number}",
    "sequence number": lambda number: f"{number}-01",
    "expiry date": lambda number: f"{number} 12/26",
    "track": lambda number: f";{number}=2612",
    "whole exponent": lambda number: f"{number}e0",
    "zero-width": "\u200b".join,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("field", ["card", "merchant"])
def test_a_card_number_is_refused_in_every_form_and_never_shown(tmp_path: Path, form: str, field: str) -> None:
    for number in PUBLISHED:
        value = FORMS[form](number)
        value = value if value.startswith('"') else f'"{value}"'
        row = {"time": "2024-03-01", "card": "c", "merchant": "m", "amount": "1", "fraud": "0"} | {field: value}
        message = refusal(tmp_path, HEADER + ",".join(row.values()) + "\n")
        assert f"row 2, column {field}: " in message
        assert "looks like a card number" in message or "is a number in exponent form" in message
        assert number not in "".join(filter(str.isdigit, message.partition("column")[2]))


@pytest.mark.parametrize("kind", [pa.int64(), pa.float64()])
def test_card_numbers_in_parquet_are_refused(tmp_path: Path, kind: pa.DataType) -> None:
    card = pa.array([int(number) for number in PUBLISHED]).cast(kind, safe=False)
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({"time": ["2024-03-01"] * 5, "card": card, "merchant": ["m"] * 5, "amount": [1.0] * 5,
                             "fraud": [0] * 5}), path)  # fmt: skip
    (tmp_path / "mapping.yaml").write_text(MINIMAL)
    faults: list[Fault] = []
    with pytest.raises(MappingError, match="no row that can be used"):
        read_dataset(path, load_mapping(tmp_path / "mapping.yaml"), faults.append)
    assert [fault.row for fault in faults] == [1, 2, 3, 4, 5]
    assert {fault.reason for fault in faults} == {
        "looks like a card number; put an opaque token in its place, or set tokenize"
    }


def test_a_number_that_has_lost_digits_is_no_identifier(tmp_path: Path) -> None:
    """Two merchants 1.23457E+19 may be any two."""
    message = refusal(tmp_path, HEADER + "2024-03-01,c,1.23457E+19,1,0\n")
    assert message.startswith("row 2, column merchant: '1.23457E+19' is a number in exponent form, whose last digits")
    for token in ("7e12", "12E34", "e1.5", "1.5"):  # hashes and versions are no such numbers
        assert names(read(tmp_path, f"{HEADER}2024-03-01,c,{token},1,0\n"), "merchant_id") == [token]


def test_an_identifier_with_a_control_character_is_refused_as_on_the_stream(tmp_path: Path) -> None:
    message = refusal(tmp_path, HEADER + '2024-03-01,c,"two\nlines",1,0\n')
    assert message.startswith("row 2, column merchant: 'two\\nlines' contains a control character")


@pytest.mark.parametrize(
    "token",
    [
        "550e8400-e29b-41d4-a716-446655440000",  # a UUID
        "a4111111111111111",  # hexadecimal
        "f1d2d2f924e986ac86fdf7b36c94bcdf32beec15f1d2d2f924e986ac86fdf7b3"[:64],
        "2024-03-01-000123-0000000017",
        "card-000017",
    ],
)
def test_tokens_that_hold_many_digits_are_taken_for_cards(tmp_path: Path, token: str) -> None:
    assert len(read(tmp_path, f"{HEADER}2024-03-01,{token},m,1,0\n")) == 1


def test_long_ids_that_are_no_card_numbers_are_taken(tmp_path: Path) -> None:
    draw = random.Random(1)
    makers: dict[str, Callable[[], int]] = {
        "snowflake": lambda: draw.randrange(1_600_000_000_000_000_000, 1_900_000_000_000_000_000),
        "negative hash": lambda: -draw.randrange(2**62, 2**63),
        "milliseconds": lambda: 1_714_557_600_000 + draw.randrange(10**9),
        "microseconds": lambda: 1_714_557_600_000_000 + draw.randrange(10**12),
    }
    mapping = MINIMAL.replace("label:", "  transaction_id: id\n  device_id: device\nlabel:")
    for make in makers.values():
        ids = {make() for _ in range(400)}
        rows = "".join(f"2024-03-01,c,{an_id},1,0,{an_id},{an_id}\n" for an_id in ids)
        dataset = read(tmp_path, HEADER.replace("fraud", "fraud,id,device") + rows, mapping)
        assert len(dataset) == len(ids)


def test_hashes_are_taken_whatever_their_digits_if_the_mapping_says_that_they_are(tmp_path: Path) -> None:
    union_pay = "6200000000000000000"  # a 64-bit hash may have its prefix, its length and, by chance, its check digit
    rows = "".join(f"2024-03-01,c,{int(union_pay) + step},1,0\n" for step in range(10))
    assert "looks like a card number" in refusal(tmp_path, HEADER + rows)
    mapping = MINIMAL.replace("merchant_id: merchant", "merchant_id: {column: merchant, not_card_numbers: true}")
    assert len(read(tmp_path, HEADER + rows, mapping)) == 10
    card = MINIMAL.replace("card_id: card", "card_id: {column: card, not_card_numbers: true}")
    with pytest.raises(MappingError, match="'tokenize' makes tokens of card numbers"):
        read(tmp_path, HEADER + rows, card)


def test_card_numbers_become_tokens_if_the_mapping_says_so(tmp_path: Path) -> None:
    mapping = MINIMAL.replace("card_id: card", "card_id: {column: card, tokenize: true}")
    forms = ["4111111111111111", "4111 1111 1111 1111", "4111111111111111.0", "5500005555555559", "17"]
    path = tmp_path / "data.csv"
    path.write_text(HEADER + "".join(f"2024-03-0{day},{card},m,1,0\n" for day, card in enumerate(forms, 1)))
    (tmp_path / "mapping.yaml").write_text(mapping)
    dataset = read_dataset(path, load_mapping(tmp_path / "mapping.yaml"), failing(path))
    assert dataset.cards.tolist() == [0, 0, 0, 1, 2]
    with pytest.raises(MappingError, match=r"merchant_id.tokenize: is for transaction.card_id only"):
        read(
            tmp_path,
            HEADER,
            MINIMAL.replace("merchant_id: merchant", "merchant_id: {column: merchant, tokenize: true}"),
        )


def test_a_number_written_in_two_ways_is_not_two_cards(tmp_path: Path) -> None:
    message = refusal(tmp_path, HEADER + "2024-03-01,596,m,1,0\n2024-03-02,596.0,m,1,0\n")
    assert message.startswith("column card: '596' is written as '596.0' too")


# Columns that are joined.


def test_times_and_cards_in_several_columns_are_joined(tmp_path: Path) -> None:
    mapping = MINIMAL.replace("time", '{columns: [year, month, day, clock], format: "%Y %m %d %H:%M"}').replace(
        "card_id: card", "card_id: [user, card]"
    )
    data = "year,month,day,clock,user,card,merchant,amount,fraud\n"
    rows = ["2018,9,1,06:21,1,23,m,1,0", "2018,9,1,6:22,12,3,m,1,0", "2018,9,2,00:00,1,23,m,1,0"]
    dataset = read(tmp_path, data + "\n".join(rows), mapping)
    # 2018-09-01 is 17,775 days after 1970.
    assert dataset.columns["occurred_at"].tolist() == [
        (17_775 * 24 * 60 + minutes) * 60_000 for minutes in (6 * 60 + 21, 6 * 60 + 22, 24 * 60)
    ]
    assert dataset.cards.tolist() == [0, 1, 0]
    missing = refusal(tmp_path, data + rows[0].replace("06:21,1,", "06:21,,"), mapping)
    assert missing.startswith("row 2, column user + card: is missing")
    joined = refusal(tmp_path, data + rows[0].replace("06:21,1,", "06:21,1|2,"), mapping)
    assert joined.startswith("row 2, column user + card: '1|2|23' holds '|' in one of its columns")
    wrong = refusal(tmp_path, data + rows[0].replace("2018,9", "2018,13"), mapping)
    assert wrong.startswith("row 2, column year + month + day + clock: '2018 13 1 06:21' is not a time written")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("occurred_at: time", "occurred_at: [time, merchant]", 'transaction.occurred_at: joined columns need a format'),
        ("card_id: card", "card_id: {constant: all}", "transaction.card_id.constant: is no column; features are"),
        ("card_id: card", "card_id: {}", "transaction.card_id: needs either 'column' or 'columns'"),
        ("card_id: card", "card_id: {column: a, columns: [b, c]}", "transaction.card_id: needs either 'column' or"),
        ("amount: amount", "amount: {column: amount, strip: '-$'}", "transaction.amount.strip: '-' is part of"),
        ("amount: amount", "amount: {column: amount, strip: '()'}", "transaction.amount.strip: '(' is part of"),
        ("amount: amount", "amount: {column: amount, strip: ' k'}", "strip: ' k' stands for a factor"),
        ("amount: amount", "amount: {column: amount, strip: '$€'}", "strip: $ and €: amounts in several currencies"),
        ("amount: amount", "amount: {column: amount, strip: '.'}", "transaction.amount.strip: '.' is part of a number"),
        ("amount: amount", "amount: {column: amount, thousands_separator: 1}", "amount.thousands_separator: '1'"),
        ("amount: amount", "amount: {column: amount, decimal_separator: e}", "amount.decimal_separator: 'e'"),
    ],
)  # fmt: skip
def test_a_mapping_that_would_change_values_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(MappingError) as refused:
        read(tmp_path, HEADER, MINIMAL.replace(old, new))
    assert message in str(refused.value)


# Numbers.

GERMAN = {"decimal_separator": ",", "thousands_separator": "."}
ENGLISH = {"decimal_separator": ".", "thousands_separator": ","}
FRENCH = {"decimal_separator": ",", "thousands_separator": " "}
SWISS = {"decimal_separator": ".", "thousands_separator": "'"}
NAN = float("nan")


@pytest.mark.parametrize(
    ("locale", "text", "number"),
    [
        (GERMAN, "1.234,56", 1234.56), (GERMAN, "1234,56", 1234.56), (GERMAN, "1.234.567", 1234567),
        (GERMAN, "12.50", NAN), (GERMAN, "1.2.3,4", NAN), (GERMAN, "1234.5", NAN), (GERMAN, "1234.567", NAN),
        (GERMAN, ".500", NAN), (GERMAN, "1..234", NAN), (GERMAN, "1.234.", NAN), (GERMAN, "1,234.5", NAN),
        (ENGLISH, "1,234.56", 1234.56), (ENGLISH, "-1,234", -1234), (ENGLISH, ".5", 0.5), (ENGLISH, "5.", 5),
        (ENGLISH, "12,50", NAN), (ENGLISH, "1,2,3.4", NAN), (ENGLISH, ",5", NAN), (ENGLISH, "1,23", NAN),
        (ENGLISH, "1,234,56", NAN), (ENGLISH, "1234,567", NAN), (ENGLISH, "1.5e3", 1500), (ENGLISH, "1,500e3", NAN),
        (FRENCH, "1 234,5", 1234.5), (FRENCH, "1\u00a0234,5", 1234.5), (FRENCH, "1\u202f234\u202f567", 1234567),
        (FRENCH, "12 50", NAN), (SWISS, "1'234.5", 1234.5), (SWISS, "1\u2019234.5", 1234.5), (SWISS, "1'23", NAN),
        ({}, "1,234", NAN), ({}, "1 234", NAN), ({}, "1_234", NAN), ({}, "0x10", NAN), ({}, "inf", NAN), ({}, "", NAN),
        ({}, "(5)", NAN), ({}, "5-", NAN), ({}, "--5", NAN), ({}, "\uff15", NAN), ({}, "5%", NAN),
    ],
)  # fmt: skip
def test_a_separator_counts_only_where_it_belongs(locale: dict[str, str], text: str, number: float) -> None:
    assert parse_numbers(pa.array([text]), **locale).tolist() == pytest.approx([number], nan_ok=True)


@given(st.integers(-(10**9), 10**9), st.sampled_from([GERMAN, ENGLISH, FRENCH, SWISS]))
def test_every_amount_is_read_back_as_it_was_written(cents: int, locale: dict[str, str]) -> None:
    decimal, thousands = locale["decimal_separator"], locale["thousands_separator"]
    text = f"{abs(cents) // 100:,}".replace(",", thousands) + f"{decimal}{abs(cents) % 100:02}"
    text = f"-{text}" if cents < 0 else text
    assert np.rint(parse_numbers(pa.array([text]), **locale) * 100).tolist() == [cents]


@given(st.text("0123456789.,' -+eE", max_size=10), st.sampled_from([GERMAN, ENGLISH, FRENCH, SWISS, {}]))
def test_no_text_is_read_as_a_number_that_its_separators_do_not_give(text: str, locale: dict[str, str]) -> None:
    [number] = parse_numbers(pa.array([text]), **locale).tolist()
    if np.isnan(number):
        return
    thousands, decimal = locale.get("thousands_separator", ""), locale.get("decimal_separator", ".")
    whole = text.lstrip("+-").partition(decimal)[0]
    if thousands and thousands in whole:
        groups = whole.split(thousands)
        assert 1 <= len(groups[0]) <= 3
        assert all(len(group) == 3 for group in groups[1:])
        text = text.replace(thousands, "")
    assert float(text.replace(decimal, ".")) == number


def test_decimal_commas_are_read_in_every_number(tmp_path: Path) -> None:
    comma = 'decimal_separator: ","'
    mapping = (
        MINIMAL.replace("time", f"{{column: time, format: epoch_s, {comma}}}")
        .replace("amount: amount", f"amount: {{column: amount, {comma}}}")
        .replace("label:", f"  latitude: {{column: lat, {comma}}}\n  longitude: {{column: lon, {comma}}}\nlabel:")
        + SEMICOLON
    )
    header = "time;card;merchant;amount;fraud;lat;lon\n"
    dataset = read(tmp_path, header + "1582981506,5;c;m;12,5;0;-33,8688;151,2093\n", mapping)
    assert dataset.columns["occurred_at"].tolist() == [1_582_981_506_500]
    assert dataset.columns["amount"].tolist() == [1250]
    assert dataset.columns["latitude"].tolist() == [-33.8688]
    assert dataset.columns["longitude"].tolist() == [151.2093]
    for column, value in (("time", "1582981506.5"), ("lat", "47.5"), ("amount", "12.5")):
        row = {"time": "1582981506", "card": "c", "merchant": "m", "amount": "1", "fraud": "0", "lat": "1", "lon": "1"}
        message = refusal(tmp_path, header + ";".join((row | {column: value}).values()), mapping)
        assert message.startswith(f"row 2, column {column}: '{value}' is not a number")


def test_a_decimal_comma_that_the_mapping_does_not_expect_is_told_with_its_key(tmp_path: Path) -> None:
    header, row = "time;card;merchant;amount;fraud;lat;lon\n", "2024-03-01;c;m;1;0;47,5;8,5\n"
    mapping = MINIMAL.replace("label:", "  latitude: lat\n  longitude: lon\nlabel:") + SEMICOLON
    assert "for a decimal comma, give its decimal_separator" in refusal(tmp_path, header + row, mapping)
    epoch = mapping.replace("occurred_at: time", "occurred_at: {column: time, format: epoch_s}")
    message = refusal(tmp_path, header + row.replace("2024-03-01", "1709287200,5"), epoch)
    assert message.startswith(
        "row 2, column time: '1709287200,5' is not a number, as epoch_s needs; for a decimal comma"
    )


def test_a_time_may_have_a_decimal_comma_as_iso_8601_says(tmp_path: Path) -> None:
    dataset = read(tmp_path, HEADER + '"2024-03-01 00:00:01,250",c,m,1,0\n')
    assert dataset.columns["occurred_at"].tolist()[0] % 60_000 == 1_250


def test_seconds_are_not_read_as_milliseconds(tmp_path: Path) -> None:
    mapping = MINIMAL.replace("occurred_at: time", "occurred_at: {column: time, format: epoch_ms}")
    message = refusal(tmp_path, HEADER + "1709287200,c,m,1,0\n", mapping)
    assert "'1709287200' is a time before 1973 in milliseconds; if it is in seconds, the format is epoch_s" in message


def test_a_fraction_of_a_minor_unit_is_refused(tmp_path: Path) -> None:
    mapping = MINIMAL.replace("amount: amount", "amount: {column: amount, unit: minor}")
    assert read(tmp_path, HEADER + "2024-03-01,c,m,1250.0,0\n", mapping).columns["amount"].tolist() == [1250]
    assert "'12.50' has a fraction, though transaction.amount.unit is minor" in refusal(
        tmp_path, HEADER + "2024-03-01,c,m,12.50,0\n", mapping
    )


def test_refunds_are_refused_or_left_out_and_counted(tmp_path: Path) -> None:
    rows = "2024-03-01,c,m,$5.00,0\n2024-03-01,c,m,$-2.50,0\n2024-03-01,c,m,-$1.00,0\n2024-03-02,c,m,$0,1\n"
    mapping = MINIMAL.replace("amount: amount", "amount: {column: amount, strip: $, negative: refuse}")
    assert "row 3, column amount: '$-2.50' is negative" in refusal(tmp_path, HEADER + rows, mapping)
    dataset = read(tmp_path, HEADER + rows, mapping.replace("negative: refuse", "negative: leave_out"))
    assert (dataset.left_out, dataset.columns["amount"].tolist()) == (2, [500, 0])


def test_a_category_that_was_read_as_a_float_is_a_category(tmp_path: Path) -> None:
    mapping = MINIMAL.replace("label:", "  merchant_category: {column: mcc}\nlabel:")
    rows = "2024-03-01,c,m,1,0,5411.0\n2024-03-02,c,m,1,0,742.0\n"
    dataset = read(tmp_path, HEADER.replace("fraud", "fraud,mcc") + rows, mapping)
    assert names(dataset, "merchant_category") == ["5411", "0742"]
    assert "is not an ISO 18245 code" in refusal(
        tmp_path, HEADER.replace("fraud", "fraud,mcc") + rows + "2024-03-02,c,m,1,0,5411.5\n", mapping
    )


# Rows that are set aside.


def test_rows_that_are_all_rejected_say_why(tmp_path: Path) -> None:
    (tmp_path / "mapping.yaml").write_text(MINIMAL)
    path, rejects = tmp_path / "data.csv", tmp_path / "rejects.csv"
    path.write_text(
        HEADER + "01/03/2024,c,m,1,0\n" * 30 + "2024-03-01,4111111111111111,m,1,0\n" + "2024-03-01,c,m\n" * 2
    )
    with pytest.raises(MappingError) as refused, rejecting(rejects) as refuse:
        read_dataset(path, load_mapping(tmp_path / "mapping.yaml"), refuse)
    assert str(refused.value) == (
        f"{path}: has no row that can be used; 33 rows were rejected, see {rejects}: "
        "30 rows: column time: '01/03/2024' is not an ISO 8601 time (2018-04-01T13:05:00) (first in row 2); "
        "2 rows: has 3 columns, the header has 5 (first in row 33); "
        "1 row: column card: '************1111' looks like a card number; put an opaque token in its place, or"
        " set tokenize (first in row 32)"
    )
    assert len(rejects.read_text().splitlines()) == 34


def test_a_file_that_cannot_be_read_leaves_no_file_of_rejects(tmp_path: Path) -> None:
    path, rejects = tmp_path / "data.csv", tmp_path / "rejects.csv"
    path.write_text("a,b\n1,2\n")
    (tmp_path / "mapping.yaml").write_text(MINIMAL)
    with pytest.raises(MappingError, match="has no column 'time'"), rejecting(rejects) as refuse:
        read_dataset(path, load_mapping(tmp_path / "mapping.yaml"), refuse)
    assert not rejects.exists()


def test_free_text_with_a_card_number_in_it_is_masked_in_what_is_set_aside(tmp_path: Path) -> None:
    path, rejects = tmp_path / "data.csv", tmp_path / "rejects.csv"
    path.write_text(HEADER + "2024-03-01,c,m,1,refund to 4111 1111 1111 1111\n2024-03-01,c,m,1,0\n")
    (tmp_path / "mapping.yaml").write_text(MINIMAL)
    with rejecting(rejects) as refuse:
        read_dataset(path, load_mapping(tmp_path / "mapping.yaml"), refuse)
    assert "refund to [card number]" in rejects.read_text()
    assert "4111" not in rejects.read_text()
