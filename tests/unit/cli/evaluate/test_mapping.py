"""The mapping file, and how it reads what people write in their columns."""

import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cardwatch.errors import MappingError
from cardwatch.events import to_epoch_ms
from cardwatch.features.columns import CHANNEL_CODES, country_code
from cli.evaluate.dataset import Dataset, read_dataset
from cli.evaluate.mapping_file import load_mapping
from cli.evaluate.rejects import Fault, failing

ROOT = Path(__file__).parents[4]
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


def mapped(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mapping.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def read(tmp_path: Path, data: str | bytes, mapping: str = MINIMAL) -> Dataset:
    path = tmp_path / "data.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return read_dataset(path, load_mapping(mapped(tmp_path, mapping)), failing(path))


def column_of(tmp_path: Path, spec: str, field: str, *values: str) -> list[object]:
    """These values read as `field`, whose mapping is `spec`."""
    names = {"occurred_at": "time", "amount": "amount"}
    mapping = MINIMAL.replace(f"{field}: {names[field]}", f"{field}: {{column: {names[field]}, {spec}}}")
    defaults = {"time": "2020-01-01", "card": "c1", "merchant": "m1", "amount": "1", "fraud": "0"}
    rows = [{**defaults, names[field]: f'"{value}"'} for value in values]
    data = HEADER + "".join(",".join(row.values()) + "\n" for row in rows)
    found: list[object] = read(tmp_path, data, mapping).columns[field].tolist()
    return found


def merchants(dataset: Dataset) -> list[object]:
    texts = dataset.columns["merchant_id"]
    return list(texts.names[texts.codes])


def ms(*moment: int) -> int:
    return to_epoch_ms(datetime(*moment, tzinfo=UTC))  # type: ignore[arg-type, misc]


def test_a_bare_name_is_a_column_and_what_is_absent_has_its_neutral_value(tmp_path: Path) -> None:
    mapping = load_mapping(mapped(tmp_path, MINIMAL))
    assert mapping.columns() == {
        "transaction.occurred_at": "time",
        "transaction.card_id": "card",
        "transaction.merchant_id": "merchant",
        "transaction.amount": "amount",
        "label.is_fraud": "fraud",
    }
    assert mapping.transaction.merchant_category.constant == "0000"
    assert mapping.transaction.country.constant == "ZZ"
    assert mapping.transaction.channel.constant == "ecommerce"


@pytest.mark.parametrize("name", ["handbook.yaml", "minimal.yaml"])
def test_the_examples_are_valid(name: str) -> None:
    assert load_mapping(ROOT / "examples" / "mappings" / name).columns()


def test_the_mappings_in_the_documentation_are_valid(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "evaluate.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        assert load_mapping(mapped(tmp_path, block)).columns()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            MINIMAL + "protocl: {}",
            "unknown key 'protocl'; did you mean 'protocol'? Allowed: transaction, label, file, missing, protocol",
        ),
        (MINIMAL.replace("  amount: amount\n", ""), "transaction: the key 'amount' is missing"),
        (
            MINIMAL.replace("is_fraud: fraud", "is_fraud: {colum: fraud}"),
            "label.is_fraud: unknown key 'colum'; did you mean 'column'? Allowed: column, fraud, genuine",
        ),
        (
            MINIMAL.replace("occurred_at: time", "occurred_at: {column: time, format: epoc_s}"),
            "transaction.occurred_at.format: 'epoc_s' is not one of iso, epoch_s, epoch_ms, epoch_us, seconds_since,"
            " hours_since, days_since or a pattern such as %d/%m/%Y %H:%M:%S; did you mean 'epoch_s'?",
        ),
        (
            MINIMAL.replace("occurred_at: time", "occurred_at: {column: time, format: hours_since}"),
            "transaction.occurred_at: the format hours_since needs the key 'start': the time that it counts from",
        ),
        (
            MINIMAL.replace("amount: amount", "amount: {column: amount, unit: cents}"),
            "transaction.amount.unit: 'cents' is not one of major, minor",
        ),
        (
            MINIMAL.replace("label:", "  channel: {column: c, values: {web: ecomerce}}\nlabel:"),
            "transaction.channel.values.web: 'ecomerce' is not one of chip, contactless, swipe, ecommerce, atm,"
            " recurring; did you mean 'ecommerce'?",
        ),
        (
            MINIMAL.replace("label:", "  country: {constant: Norway}\nlabel:"),
            "transaction.country.constant: 'Norway' is not an ISO 3166-1 code of 2 capital letters",
        ),
        (
            MINIMAL.replace("label:", "  country: {}\nlabel:"),
            "transaction.country: needs either 'column' or 'constant'",
        ),
        (
            MINIMAL + 'file: {delimiter: "\u00a7"}',
            "file.delimiter: '\u00a7' is not ASCII: replace it in the file by another one first",
        ),
        (
            MINIMAL + 'file: {delimiter: "\\0"}',
            "file.delimiter: '\\x00' cannot be used, because it ends a line or a text",
        ),
        (MINIMAL + "file: {quote: ','}", "file: delimiter and quote are the same"),
        (MINIMAL + 'file: {encoding: "utf\\0"}', "file.encoding: 'utf\\x00' is not the name of an encoding"),
        (MINIMAL + "file: {skip_rows: 9999999999}", "file.skip_rows: Expected a whole number <= 1000000"),
        (
            "[" * 3_000,
            "line 1: not valid YAML: more than 20 levels of nesting: use fewer brackets or less indentation",
        ),
        (MINIMAL + "a: \0", "line 9: not valid YAML: the character U+0000 is not allowed: remove it"),
        (
            MINIMAL + 'a: "\\ud800"',
            "line 9: not valid YAML: '\\ud800' has half of a surrogate pair: write the character itself",
        ),
        (
            MINIMAL.replace("is_fraud: fraud", "is_fraud: {column: fraud, fraud: [Yes, 1], genuine: [yES]}"),
            "label.is_fraud: 'yes' is among the values of both classes",
        ),
        (
            MINIMAL.replace("is_fraud: fraud", "is_fraud: {column: fraud, fraud: ['1.0'], genuine: ['1']}"),
            "label.is_fraud: '1' is among the values of both classes",
        ),
        (
            MINIMAL.replace("occurred_at: time", "occurred_at: {column: time, format: epoch_s, start: 2024-01-01}"),
            "transaction.occurred_at.start: the format epoch_s has no start; one of *_since has",
        ),
        (MINIMAL + "protocol: {folds: many}", "protocol.folds: Expected a whole number, got text"),
        (MINIMAL + "label: {}", "line 9: not valid YAML: the key 'label' is there twice: remove one of them"),
        ("- a list", "is not a mapping file: it needs the keys 'transaction' and 'label'"),
        ("a: [1", "line 1: not valid YAML: expected ',' or ']', but got '<stream end>'"),
    ],
)
def test_a_mapping_that_cannot_be_used_says_where_and_what_was_meant(tmp_path: Path, text: str, message: str) -> None:
    path = mapped(tmp_path, text)
    with pytest.raises(MappingError) as refusal:
        load_mapping(path)
    assert str(refusal.value) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("spec", "text", "expected"),
    [
        ("format: iso", "2020-02-29", ms(2020, 2, 29)),
        ("format: iso", "2020-02-29 13:05", ms(2020, 2, 29, 13, 5)),
        ("format: iso", " 2020-02-29T13:05:06.789654 ", ms(2020, 2, 29, 13, 5, 6, 789_000)),
        ("format: iso", "2020-02-29T13:05:06Z", ms(2020, 2, 29, 13, 5, 6)),
        ("format: iso", "2020-03-01T01:05:06+02:00", ms(2020, 2, 29, 23, 5, 6)),
        ("format: epoch_s", "1582981506", ms(2020, 2, 29, 13, 5, 6)),
        ("format: epoch_s", "1582981506.789", ms(2020, 2, 29, 13, 5, 6, 789_000)),
        ("format: epoch_ms", "1.582981506789e12", ms(2020, 2, 29, 13, 5, 6, 789_000)),
        ("format: epoch_us", "1582981506789000", ms(2020, 2, 29, 13, 5, 6, 789_000)),
        ("format: epoch_s", "1.5829815060E+09", ms(2020, 2, 29, 13, 5, 6)),
        ("format: '%Y%m%d%H%M%S'", "20200229010305", ms(2020, 2, 29, 1, 3, 5)),
        ("format: '%d%m%y %H:%M'", "290220 1:05", ms(2020, 2, 29, 1, 5)),
        ("format: '%Y%m%dT%H%M%S.%f%z'", "20200229T010305.5+0100", ms(2020, 2, 29, 0, 3, 5, 500_000)),
        ("format: '%d/%m/%Y %I:%M %p'", "29/02/2020 01:05 PM", ms(2020, 2, 29, 13, 5)),
        ("format: '%d.%m.%y %H:%M:%S %z'", "01.03.20 00:05:06 +0100", ms(2020, 2, 29, 23, 5, 6)),
        ("format: seconds_since, start: 2020-02-28", "86401.5", ms(2020, 2, 29, 0, 0, 1, 500_000)),
        ("format: hours_since, start: 2020-02-28T12:00:00Z", "13", ms(2020, 2, 29, 1)),
        ("format: days_since, start: 2020-02-28T00:00:00", "1.5", ms(2020, 2, 29, 12)),
    ],
)
def test_times_are_read_as_they_are_written(tmp_path: Path, spec: str, text: str, expected: int) -> None:
    assert column_of(tmp_path, spec, "occurred_at", text) == [expected]


@pytest.mark.parametrize(
    ("spec", "text", "expected"),
    [
        ("unit: major", "12.5", 1250),
        ("unit: major", "57.160000000000004", 5716),
        ("unit: major", "0", 0),
        ("unit: minor", "1250", 1250),
        ("digits: 0", "1250", 1250),
        ("digits: 3", "1.25", 1250),
        ("decimal_separator: ',', thousands_separator: .", "1.234.567,89", 123_456_789),
        ("thousands_separator: ' '", "1 234.5", 123_450),
        ("strip: '$ '", "$ 12.50", 1250),
    ],
)
def test_amounts_become_minor_units(tmp_path: Path, spec: str, text: str, expected: int) -> None:
    assert column_of(tmp_path, spec, "amount", text) == [expected]


@pytest.mark.parametrize(
    ("spec", "field", "text", "reason"),
    [
        ("format: iso", "occurred_at", "2020-02-30", "is not an ISO 8601 time (2018-04-01T13:05:00)"),
        ("format: '%d/%m/%Y'", "occurred_at", "30/02/2020", "is not a time written %d/%m/%Y"),
        (
            "format: epoch_s",
            "occurred_at",
            "1582981506789",
            "is not a time between 1970 and 2200; is the unit another one (epoch_s, epoch_ms, epoch_us)?",
        ),
        ("format: epoch_ms", "occurred_at", "soon", "is not a number, as epoch_ms needs"),
        ("format: '%d%m%Y'", "occurred_at", "1112024", "is not a time written %d%m%Y, with all zeros in front"),
        (
            "format: '%Y-%m-%d %H%M%S'",
            "occurred_at",
            "2020-02-29 10305",
            "is not a time written %Y-%m-%d %H%M%S, with all zeros in front",
        ),
        ("unit: major", "amount", "-0.004", "is negative; an amount must be 0 or more"),
        (
            "unit: major",
            "amount",
            "12,50",
            "is not a number; if it has decimal or thousands commas, say so under transaction.amount",
        ),
        ("decimal_separator: ','", "amount", "12.50", "is not a number written with ','"),
        ("unit: major", "amount", "-0.01", "is negative; an amount must be 0 or more"),
        ("unit: major", "amount", "inf", "is not a number"),
        ("unit: minor", "amount", "1000000000001", "is too large for an amount"),
    ],
)
def test_what_is_not_written_so_is_refused_with_row_column_and_value(
    tmp_path: Path, spec: str, field: str, text: str, reason: str
) -> None:
    good = {"occurred_at": "0", "amount": "1"}[field] if "epoch" in spec or field == "amount" else None
    values = (text,) if good is None else (good, text)
    with pytest.raises(MappingError) as refusal:
        column_of(tmp_path, spec, field, *values)
    column = {"occurred_at": "time", "amount": "amount"}[field]
    assert str(refusal.value) == (
        f"{tmp_path / 'data.csv'}: row {len(values) + 1}, column {column}: {text!r} {reason}."
        " (--on-error reject sets such rows aside instead.)"
    )


def test_every_faulty_row_is_told_once_with_its_place_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text(
        HEADER  # row 1
        + "2020-01-01,c1,m1,1,0\n"
        + "\n"  # row 3 is blank, and no fault
        + "2020-13-01,c1,m1,x,0\n"  # two faults: the first is told
        + "2020-01-01,c1\n"
        + "2020-01-01,4111111111111111,m1,1,0\n"
        + f"2020-01-01,c1,{'m' * 65},1,0\n"
        + "2020-01-01,c1,m1,1,perhaps\n"
        + "2020-01-01,c1,,1,0\n"
        + "2020-01-02,c2,m1,1,1\n"
    )
    faults: list[Fault] = []
    dataset = read_dataset(path, load_mapping(mapped(tmp_path, MINIMAL)), faults.append)
    assert faults == [
        (4, "time", "2020-13-01", "is not an ISO 8601 time (2018-04-01T13:05:00)"),
        (5, "", None, "has 2 columns, the header has 5"),
        (6, "card", "4111111111111111", "looks like a card number; put an opaque token in its place, or set tokenize"),
        (7, "merchant", "m" * 65, "is longer than 64 characters"),
        (8, "fraud", "perhaps", "means neither fraud (1, 1.0, true, yes) nor genuine (0, 0.0, false, no)"),
        (9, "merchant", None, "is missing"),
    ]
    assert dataset.columns["row"].tolist() == [2, 10]


def test_a_repeated_transaction_id_is_told_with_the_row_that_had_it(tmp_path: Path) -> None:
    mapping = MINIMAL.replace("label:", "  transaction_id: id\nlabel:")
    data = "id,time,card,merchant,amount,fraud\nt1,2020-01-02,c,m,1,0\nt2,2020-01-01,c,m,1,0\nt1,2020-01-01,c,m,1,0\n"
    with pytest.raises(MappingError, match=r"row 4, column id: 't1' is the transaction_id of row 2 too"):
        read(tmp_path, data, mapping)


def test_a_missing_column_is_told_with_the_one_that_was_meant(tmp_path: Path) -> None:
    with pytest.raises(MappingError) as refusal:
        read(tmp_path, HEADER.replace("merchant", "Merchnt") + "2020-01-01,c,m,1,0\n")
    assert str(refusal.value) == (
        f"{tmp_path / 'data.csv'}: has no column 'merchant', which the mapping gives for transaction.merchant_id;"
        " did you mean 'Merchnt'? Its columns: time, card, Merchnt, amount, fraud"
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (HEADER.encode(), "has no row that can be used"),
        (HEADER.replace(",", ";").encode(), 'is ";" what separates the columns?'),
        ((HEADER + "2020-01-01,\xfc,m,1,0\n").encode("latin-1"), "row 2: is not utf-8 text"),
        (HEADER.encode("utf-16"), "is not utf-8 text"),
        (b"PAR1 but no more of Parquet", "is not a readable Parquet file"),
        (HEADER.replace("merchant", "card").encode(), "2 columns are called 'card', which is transaction.card_id"),
    ],
)
def test_a_file_that_is_something_else_is_refused_in_words(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(MappingError) as refusal:
        read(tmp_path, data)
    assert message in str(refusal.value)


def test_other_separators_and_encodings_are_read_as_the_mapping_says(tmp_path: Path) -> None:
    data = HEADER.replace(",", ";") + "2020-01-01;\xfc;'m;1';1;0\n"
    dataset = read(tmp_path, data.encode("latin-1"), MINIMAL + 'file: {delimiter: ;, quote: "\'", encoding: latin-1}')
    assert merchants(dataset) == ["m;1"]
    assert dataset.card_count == 1


def test_transactions_come_in_order_of_time_and_then_of_the_file(tmp_path: Path) -> None:
    rows = ["2020-01-02,b,m,1,0", "2020-01-01,a,m,2,1", "2020-01-02,a,m,3,0", "2020-01-01,c,m,4,0"]
    dataset = read(tmp_path, HEADER + "\n".join(rows))
    assert dataset.columns["row"].tolist() == [3, 5, 2, 4]
    assert dataset.columns["amount"].tolist() == [200, 400, 100, 300]
    assert dataset.is_fraud.tolist() == [True, False, False, False]
    assert dataset.cards[0] == dataset.cards[3]
    assert len(set(dataset.cards.tolist())) == dataset.card_count == 3


def test_codes_are_translated_and_reach_the_kernel(tmp_path: Path) -> None:
    mapping = MINIMAL.replace(
        "label:",
        """  merchant_category: {column: mcc, values: {food: 5411}}
  channel: {column: how, values: {web: ecommerce, pos: chip}, otherwise: swipe}
  country: {column: where, otherwise: ZZ}
label:""",
    )
    data = (
        "time,card,merchant,amount,fraud,mcc,how,where\n"
        "2020-01-01,c,m,1,0,food,web,NO\n2020-01-02,c,m,1,0,742,pos,\n2020-01-03,c,m,1,0,5999,?,FR\n"
    )
    columns = read(tmp_path, data, mapping).kernel[:3]
    assert columns["category"].tolist() == [5411, 742, 5999]
    assert columns["channel"].tolist() == [CHANNEL_CODES[name] for name in ("ecommerce", "chip", "swipe")]
    assert columns["country"].tolist() == [country_code(name) for name in ("NO", "ZZ", "FR")]


def test_a_code_without_translation_says_where_to_put_one(tmp_path: Path) -> None:
    mapping = MINIMAL.replace("label:", "  country: {column: where}\nlabel:")
    data = "time,card,merchant,amount,fraud,where\n2020-01-01,c,m,1,0,Norway\n"
    with pytest.raises(
        MappingError, match=r"column where: 'Norway' is not an ISO 3166-1 code of 2 capital letters; tra"
    ):
        read(tmp_path, data, mapping)


def test_optional_fields_that_are_missing_in_a_row_are_missing_there(tmp_path: Path) -> None:
    mapping = MINIMAL.replace(
        "label:",
        """  latitude: lat
  longitude: lon
  device_id: device
  previous_outcome: {column: before, values: {ok: approved}}
label:""",
    )
    data = (
        "time,card,merchant,amount,fraud,lat,lon,device,before\n"
        "2020-01-01,c,m,1,0,,,,\n2020-01-02,c,m,1,0,-90,180,d,ok\n"
    )
    columns = read(tmp_path, data, mapping).kernel[:2]
    assert np.isnan(columns["latitude"]).tolist() == [True, False]
    assert columns["latitude"][1] == -90
    assert columns["longitude"][1] == 180
    assert (columns["device_hash"] == 0).tolist() == [True, False]
    assert columns["previous_outcome"].tolist() == [0, 1]


def test_fraud_is_what_the_mapping_says_and_the_rest_is_genuine(tmp_path: Path) -> None:
    mapping = MINIMAL.replace("is_fraud: fraud", "is_fraud: {column: fraud, fraud: [stolen, Lost]}")
    rows = "".join(f"2020-01-01,c,m,1,{value}\n" for value in ("STOLEN", "lost", "fine", "0"))
    assert read(tmp_path, HEADER + rows, mapping).is_fraud.tolist() == [True, True, False, False]


def test_fraud_is_known_when_it_was_observed_or_else_after_the_delay(tmp_path: Path) -> None:
    mapping = MINIMAL + "  observed_at: seen\nprotocol: {delay_days: 3}"
    data = (
        "time,card,merchant,amount,fraud,seen\n2020-01-01,c,m,1,1,2020-01-09\n2020-01-01,c,m,1,1,\n"
        "2020-01-01,c,m,1,0,2020-01-09\n"
    )
    observed = read(tmp_path, data, mapping).observed_at_ms.tolist()
    assert observed == [ms(2020, 1, 9), ms(2020, 1, 4), ms(2020, 1, 4)]
    with pytest.raises(MappingError, match=r"row 2, column seen: '2019-12-31' is before the transaction"):
        read(tmp_path, data.replace("1,2020-01-09", "1,2019-12-31"), mapping)


def test_parquet_of_any_types_reads_as_the_same_values_in_csv(tmp_path: Path) -> None:
    when = datetime(2020, 2, 29, 13, 5, 6, 789_000, tzinfo=UTC)
    table = pa.table(
        {
            "time": pa.array([when], pa.timestamp("us", "UTC")),
            "card": pa.array([596.0]),
            "merchant": pa.array([7]).cast(pa.int16()),
            "amount": pa.array([123456789.01]),
            "fraud": pa.array([True]),
        }
    )
    pq.write_table(table, tmp_path / "data.parquet")
    mapping = load_mapping(mapped(tmp_path, MINIMAL))
    typed = read_dataset(tmp_path / "data.parquet", mapping, failing(tmp_path))
    text = read(tmp_path, HEADER + "2020-02-29 13:05:06.789,596,7,123456789.01,true\n")
    assert (
        typed.columns["occurred_at"].tolist()
        == text.columns["occurred_at"].tolist()
        == [to_epoch_ms(when.replace(tzinfo=UTC))]
    )
    assert typed.columns["amount"].tolist() == text.columns["amount"].tolist() == [12_345_678_901]
    assert merchants(typed) == merchants(text) == ["7"]
    assert typed.is_fraud.tolist() == text.is_fraud.tolist() == [True]


def test_a_file_of_many_batches_keeps_its_row_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.archive.tabular.BATCH_BYTES", 256)
    rows = [f"2020-01-01,c{row},m,{row},0" for row in range(2, 102)]
    rows[40], rows[70] = "2020-01-01,broken", "2020-01-01,c,m,minus,0"  # rows 42 and 72 of the file
    faults: list[Fault] = []
    path = tmp_path / "data.csv"
    path.write_text(HEADER + "\n".join(rows) + "\n")
    dataset = read_dataset(path, load_mapping(mapped(tmp_path, MINIMAL)), faults.append)
    assert [fault.row for fault in faults] == [42, 72]
    assert (dataset.columns["amount"] == dataset.columns["row"] * 100).all()
    assert len(dataset) == 98
