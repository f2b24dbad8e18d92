"""Values that look like others: read as what they are, or refused with the key that says what they are."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.archive import tabular
from cardwatch.errors import MappingError
from cli.evaluate.dataset import Dataset, read_dataset
from cli.evaluate.mapping_file import load_mapping
from cli.evaluate.rejects import failing, rejecting
from cli.evaluate.suggest import suggest_mapping
from tests.unit.cli.evaluate.test_files_of_others import HEADER, MINIMAL, names, read, refusal


def test_days_of_a_spreadsheet_are_not_read_as_seconds(tmp_path: Path) -> None:
    mapping = MINIMAL.replace("occurred_at: time", "occurred_at: {column: time, format: epoch_s}")
    message = refusal(tmp_path, HEADER + "45352.5,c,m,1,0\n", mapping)
    assert "'45352.5' is a time before 1973 in seconds" in message
    days = mapping.replace(
        "epoch_s", message.partition("of a spreadsheet ")[2].partition(". (")[0].replace("with ", ", ")
    )
    # 2024-03-01 is 19,783 days after 1970.
    assert read(tmp_path, HEADER + "45352.5,c,m,1,0\n", days).columns["occurred_at"] == [(19_783 * 24 + 12) * 3_600_000]


def test_a_number_that_a_spreadsheet_has_shortened_is_refused(tmp_path: Path) -> None:
    mapping = MINIMAL.replace("occurred_at: time", "occurred_at: {column: time, format: epoch_ms}")
    assert "in exponent form, whose last digits are lost" in refusal(
        tmp_path, HEADER + "1.70929E+12,c,m,1,0\n", mapping
    )
    assert "in exponent form, whose last digits are lost" in refusal(tmp_path, HEADER + "2024-03-01,c,m,1.2E+05,0\n")
    # R writes 100000 so, and loses nothing.
    assert read(tmp_path, HEADER + "2024-03-01,c,m,1e+05,0\n").columns["amount"].tolist() == [10_000_000]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("%d/%m/%Y %H:%M %p", "hours of 12 are %I with %p, hours of 24 are %H without %p"),
        ("%d/%m/%Y %I:%M", "hours of 12 are %I with %p, hours of 24 are %H without %p"),
        ("%Y-%m-%d %H:%M %Z", "%Z is not read, because names of zones are not unique"),
        ("%Y-%m", "'%Y-%m' does not say year, month and day"),
        ("%Y-%W", "'%Y-%W' does not say year, month and day"),
        ("%d/%m %H:%M", "'%d/%m %H:%M' does not say year, month and day"),
        ("%Y-%m-%d %Y", "'%Y-%m-%d %Y' has a directive twice"),
        ("%Y-%m-%Q", "'%Y-%m-%Q' is not a pattern of strptime: 'Q' is a bad directive"),
    ],
)
def test_a_pattern_with_which_strptime_would_ignore_or_invent_a_part_is_refused(
    tmp_path: Path, pattern: str, message: str
) -> None:
    mapping = MINIMAL.replace("occurred_at: time", f"occurred_at: {{column: time, format: '{pattern}'}}")
    with pytest.raises(MappingError) as refused:
        read(tmp_path, HEADER, mapping)
    assert f"transaction.occurred_at.format: {message}" in str(refused.value)


def test_thousands_are_not_read_as_decimals(tmp_path: Path) -> None:
    def rows(*amounts: str) -> str:
        return HEADER + "".join(f"2024-03-01,c,m,{amount},0\n" for amount in amounts)

    def mapping(keys: str) -> str:
        return MINIMAL.replace("amount: amount", f"amount: {{column: amount, {keys}}}")

    message = refusal(tmp_path, rows("1.234", "950", "12.000"))
    assert message.startswith("column amount: each of the 2 amounts with a point has three digits after it")
    for keys, cents in (
        ("decimal_separator: '.'", [123, 95_000]),
        ("decimal_separator: ',', thousands_separator: '.'", [123_400, 95_000]),
        ("digits: 3", [1_234, 950_000]),
    ):
        assert read(tmp_path, rows("1.234", "950"), mapping(keys)).columns["amount"].tolist() == cents
    # One amount with other decimals shows what the point means.
    for shown in ("9.5", "0.125", "1.2345"):
        assert len(read(tmp_path, rows("1.234", shown))) == 2


def test_numbers_of_parquet_need_no_separators(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({"time": ["2024-03-01"], "card": ["c"], "merchant": ["m"], "amount": [1.234],
                             "fraud": [0]}), path)  # fmt: skip
    (tmp_path / "mapping.yaml").write_text(MINIMAL)
    assert read_dataset(path, load_mapping(tmp_path / "mapping.yaml"), failing(path)).columns["amount"] == [123]


def test_a_duration_of_parquet_is_not_read_in_another_unit(tmp_path: Path) -> None:
    """As text, five seconds in a column of microseconds are 5000000."""
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({"time": pa.array([timedelta(seconds=5)]), "card": ["c"], "merchant": ["m"],
                             "amount": [1.5], "fraud": [0]}), path)  # fmt: skip
    counted = "occurred_at: {column: time, format: seconds_since, start: 2024-03-01}"
    (tmp_path / "mapping.yaml").write_text(MINIMAL.replace("occurred_at: time", counted))
    with pytest.raises(MappingError, match=r"column time: values of type duration\[us\] cannot be used; store them as"):
        read_dataset(path, load_mapping(tmp_path / "mapping.yaml"), failing(path))


def test_a_row_that_is_longer_than_a_block_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabular, "BATCH_BYTES", 200)
    rows = "2024-03-01,c,m,1,0\n" * 2 + f'2024-03-01,c,"{"m" * 1_000}",1,0\n'
    assert refusal(tmp_path, HEADER + rows).startswith("cannot be read after row 3: a row is longer than 200 bytes")


def test_labels_and_codes_that_were_read_as_floats_are_what_the_mapping_lists(tmp_path: Path) -> None:
    mapping = MINIMAL.replace("is_fraud: fraud", "is_fraud: {column: fraud, fraud: ['1']}").replace(
        "label:", "  merchant_category: {column: kind, values: {'1': '5411', '742': '5812'}}\nlabel:"
    )
    rows = "2024-03-01,c,m,1,1.0,1.0\n2024-03-02,c,m,1,0.0,742.0\n2024-03-03,c,m,1,1,763.0\n"
    dataset = read(tmp_path, HEADER.replace("fraud", "fraud,kind") + rows, mapping)
    assert dataset.is_fraud.tolist() == [True, False, True]
    assert names(dataset, "merchant_category") == ["5411", "5812", "0763"]
    # The number of a category in a list of the file's own is no code of ISO 18245.
    message = refusal(tmp_path, HEADER.replace("fraud", "fraud,kind") + rows + "2024-03-04,c,m,1,0,7\n", mapping)
    assert "row 5, column kind: '7' is not an ISO 18245 code" in message


def parquet(tmp_path: Path, mapping: str = MINIMAL, **columns: object) -> Dataset:
    path = tmp_path / "data.parquet"
    rows = {
        "time": ["2024-03-01"] * 2,
        "card": ["a", "b"],
        "merchant": ["m"] * 2,
        "amount": [1.5, 2.5],
        "fraud": [0, 1],
    }
    pq.write_table(pa.table(rows | columns), path)
    (tmp_path / "mapping.yaml").write_text(mapping)
    return read_dataset(path, load_mapping(tmp_path / "mapping.yaml"), failing(path))


@pytest.mark.parametrize("column", ["time", "card", "merchant", "amount", "fraud"])
@pytest.mark.parametrize("data", [b"Caf\xe9", b"\xed\xa0\x80", b"\xff"])
def test_texts_of_parquet_in_another_encoding_are_refused_with_row_and_column(
    tmp_path: Path, column: str, data: bytes
) -> None:
    """Programs that write Parquet do not always check that a text is UTF-8, as the format requires."""
    buffers = pa.array([b"fine", data]).buffers()
    texts = pa.Array.from_buffers(pa.string(), 2, buffers)
    expected = f"data.parquet: row 2, column {column}: is not UTF-8 text; write the file again with texts in UTF-8"
    with pytest.raises(MappingError, match=expected):
        parquet(tmp_path, **{column: texts})
    with pytest.raises(MappingError, match=expected):
        suggest_mapping(tmp_path / "data.parquet")


@pytest.mark.parametrize(
    ("kind", "exact", "rounded", "said"),
    [
        # Of 24 binary digits a float32 holds, and of 11 a float16.
        (pa.float32(), 16_777_216.0, 123_456_789.0, "1.2345679E+08"),
        (pa.float16(), 2_048.0, 2_050.0, "2.05E+03"),
    ],
)
def test_an_identifier_that_its_type_has_rounded_is_refused(
    tmp_path: Path, kind: pa.DataType, exact: float, rounded: float, said: str
) -> None:
    """Two cards whose numbers differ in the last digit would have become one."""
    cards = pa.array([exact, 7.0]).cast(kind)
    assert parquet(tmp_path, card=cards).card_names.tolist() == [str(int(exact)), "7"]
    with pytest.raises(
        MappingError, match=r"row 2, column card: .* is a number in exponent form.*digits are lost"
    ) as e:
        parquet(tmp_path, card=pa.array([exact, rounded]).cast(kind))
    assert repr(said) in str(e.value)


def test_a_time_that_its_type_has_rounded_is_refused_and_an_amount_is_as_near_as_its_type(tmp_path: Path) -> None:
    seconds = MINIMAL.replace("occurred_at: time", "occurred_at: {column: time, format: epoch_s}")
    # A float32 of this size counts in steps of 128 seconds.
    times = pa.array([1_709_287_200.0, 1_709_287_300.0])
    with pytest.raises(MappingError, match=r"row 1, column time: '1\.7092872E\+09' .* last digits are lost"):
        parquet(tmp_path, seconds, time=times.cast(pa.float32()))
    assert len(parquet(tmp_path, seconds, time=times)) == 2
    amounts = pa.array([20_000_000.0, 30_000_000.0], pa.float32())
    assert parquet(tmp_path, amount=amounts).columns["amount"].tolist() == [2_000_000_000, 3_000_000_000]


@pytest.mark.parametrize("value", ["1 " * 100_000, "4111 1111 1111 1111 " * 10_000, "1.1.1" * 40_000, "m" * 200_000])
@pytest.mark.parametrize("column", ["time", "card", "merchant", "amount", "fraud"])
def test_a_value_of_any_length_is_refused_at_once(tmp_path: Path, column: str, value: str) -> None:
    row = {"time": "01.03.2024103005", "card": "c", "merchant": "m", "amount": "1", "fraud": "0"}
    data = HEADER + "".join(",".join(each.values()) + "\n" for each in (row, row | {column: value}))
    touching = MINIMAL.replace("occurred_at: time", 'occurred_at: {column: time, format: "%d.%m.%Y%H%M%S"}')
    started = time.process_time()
    message = refusal(tmp_path, data, touching)
    assert message.startswith(f"row 3, column {column}: ")
    assert len(message) < 300
    with rejecting(tmp_path / "rejects.csv") as rejects:
        read_dataset(tmp_path / "data.csv", load_mapping(tmp_path / "mapping.yaml"), rejects)
    assert (tmp_path / "rejects.csv").stat().st_size < 2_000
    assert "4111" not in message + (tmp_path / "rejects.csv").read_text()
    if column in {"card", "merchant"}:  # which need no form
        suggest_mapping(tmp_path / "data.csv")
    assert time.process_time() - started < 10.0


def test_an_amount_beyond_every_number_is_refused_without_a_warning(tmp_path: Path) -> None:
    assert "is too large for an amount" in refusal(tmp_path, HEADER + "2024-03-01,c,m,1e308,0\n")
