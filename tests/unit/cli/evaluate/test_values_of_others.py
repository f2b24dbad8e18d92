"""Values that look like others: read as what they are, or refused with the key that says what they are."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.archive import tabular
from cardwatch.errors import MappingError
from cli.evaluate.dataset import read_dataset
from cli.evaluate.mapping_file import load_mapping
from cli.evaluate.rejects import failing
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
