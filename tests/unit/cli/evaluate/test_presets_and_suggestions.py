"""Presets and `--suggest`, on small self-made files in the columns of public data sets."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from cardwatch.card_numbers import looks_like_card_number
from cardwatch.errors import MappingError, Misconfigured
from cli.evaluate import PRESETS
from cli.evaluate.dataset import Dataset, Text, read_dataset
from cli.evaluate.mapping_file import load_mapping
from cli.evaluate.presets import NAMES, NOTES, load_preset, preset_file
from cli.evaluate.rejects import failing
from cli.evaluate.suggest import suggest_mapping

ROOT = Path(__file__).parents[4]
START = datetime(2020, 3, 1)  # noqa: DTZ001 (as files have it)
Row = dict[str, object]


def card_number(number: int) -> str:
    """A number with a check digit, as Sparkov's generator makes them."""
    body = f"4{number:014d}"
    return next(body + str(digit) for digit in range(10) if looks_like_card_number(body + str(digit)))


def moments(count: int) -> Iterator[tuple[int, datetime, random.Random]]:
    rng = random.Random(17)
    for number in range(count):
        yield number, START + timedelta(hours=7 * number, minutes=rng.randrange(60)), rng


def handbook() -> Iterator[Row]:
    for number, when, rng in moments(60):
        yield {"TRANSACTION_ID": number, "TX_DATETIME": when, "CUSTOMER_ID": number % 7, "TERMINAL_ID": number % 5,
               "TX_AMOUNT": round(rng.uniform(1, 200), 2), "TX_TIME_SECONDS": number, "TX_TIME_DAYS": number // 4,
               "TX_FRAUD": int(number % 9 == 0), "TX_FRAUD_SCENARIO": 0}  # fmt: skip


def paysim() -> Iterator[Row]:
    kinds = ("PAYMENT", "TRANSFER", "CASH_OUT", "DEBIT", "CASH_IN")
    for number, _, rng in moments(60):
        yield {"step": 1 + 7 * number, "type": kinds[number % 5], "amount": round(rng.uniform(1, 9999), 2),
               "nameOrig": f"C{10**9 + number}", "oldbalanceOrg": 170136.0, "newbalanceOrig": 0.0,
               "nameDest": f"M{10**9 + number % 11}", "oldbalanceDest": 0.0, "newbalanceDest": 0.0,
               "isFraud": int(number % 9 == 1), "isFlaggedFraud": 0}  # fmt: skip


def banksim() -> Iterator[Row]:
    for number, _, rng in moments(60):
        yield {"step": number // 3, "customer": f"'C{number % 7}'", "gender": "'M'", "zipcodeOri": "'28007'",
               "merchant": f"'M{number % 5}'", "zipMerchant": "'28007'", "category": "'es_transportation'",
               "amount": round(rng.uniform(0, 99), 2), "fraud": int(number % 9 == 0)}  # fmt: skip


def ieee_cis() -> Iterator[Row]:
    for number, when, rng in moments(60):
        yield {"TransactionID": 2987000 + number, "isFraud": int(number % 9 == 0),
               "TransactionDT": 86400 + int((when - START).total_seconds()), "TransactionAmt": rng.uniform(1, 99),
               "ProductCD": "WCRHS"[number % 5], "card1": 13926 + number % 7, "card2": "" if number % 4 else 361.0,
               "card4": "visa", "addr1": "" if number % 9 else 315.0, "P_emaildomain": "", "C1": 1.0, "D1": 14.0,
               "V1": 1.0, "V339": ""}  # fmt: skip


def sparkov() -> Iterator[Row]:
    categories = ("misc_net", "grocery_pos", "gas_transport", "travel")
    for number, when, rng in moments(60):
        yield {"": number, "trans_date_trans_time": when, "cc_num": card_number(number % 7),
               "merchant": f"fraud_Rippin, Kub and {number % 5}", "category": categories[number % 4],
               "amt": round(rng.uniform(1, 99), 2), "first": "J", "last": "B", "gender": "F", "street": "1 Road",
               "city": "Moravian Falls", "state": "NC", "zip": 28654, "lat": 36.0788, "long": -81.1781, "city_pop": 9,
               "job": "Psychologist, counselling", "dob": "1988-03-09", "trans_num": f"{rng.getrandbits(128):032x}",
               "unix_time": int((when - datetime(1977, 1, 1)).total_seconds()), "merch_lat": 36.011293,  # noqa: DTZ001
               "merch_long": -82.048315, "is_fraud": int(number % 9 == 0)}  # fmt: skip


def tabformer() -> Iterator[Row]:
    uses = ("Swipe Transaction", "Chip Transaction", "Online Transaction")
    merchants = [random.Random(number).randrange(-(2**63), 2**63) for number in range(30)]
    for number, when, rng in moments(60):
        yield {"User": number % 3, "Card": number % 2, "Year": when.year, "Month": when.month, "Day": when.day,
               "Time": f"{when:%H:%M}", "Amount": f"${'-' if number % 10 == 5 else ''}{rng.uniform(1, 999):.2f}",
               "Use Chip": uses[number % 3], "Merchant Name": merchants[number % 30], "Merchant City": "La Verne",
               "Merchant State": "CA", "Zip": 91750.0, "MCC": (5300, 763, 5411)[number % 3],
               "Errors?": "" if number % 8 else "Bad PIN,", "Is Fraud?": ("No", "Yes")[number % 9 == 0]}  # fmt: skip


def baf() -> Iterator[Row]:
    for number, _, rng in moments(20):
        yield {"fraud_bool": number % 2, "income": 0.3, "name_email_similarity": rng.random(), "customer_age": 40,
               "intended_balcon_amount": 102.45, "payment_type": "AA", "velocity_6h": 13096.03, "month": 0}  # fmt: skip


def creditcard() -> Iterator[Row]:
    for number, _, rng in moments(20):
        yield {"Time": float(number), **{f"V{part}": rng.gauss(0, 1) for part in range(1, 29)}, "Amount": 1.5,
               "Class": number % 2}  # fmt: skip


FORMATS = {"handbook": handbook, "paysim": paysim, "banksim": banksim, "ieee-cis": ieee_cis, "sparkov": sparkov,
           "tabformer": tabformer}  # fmt: skip


def written(folder: Path, rows: Iterator[Row], delimiter: str = ",") -> Path:
    table = list(rows)
    path = folder / "data.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, table[0], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(table)
    return path


def names(dataset: Dataset, field: str) -> list[str]:
    texts: Text = dataset.columns[field]
    return list(texts.names[texts.codes])


def suggested(folder: Path, path: Path) -> tuple[str, Dataset]:
    """What is proposed for a file, and the file as the proposal reads it."""
    text = suggest_mapping(path)
    mapping = folder / "suggested.yaml"
    mapping.write_text(text, encoding="utf-8")
    return text, read_dataset(path, load_mapping(mapping), failing(path))


def test_the_command_offers_every_preset_and_each_has_its_file() -> None:
    assert PRESETS == NAMES
    assert {path.stem for path in preset_file("handbook").parent.glob("*.yaml")} == set(NOTES)
    # The example of the documentation is the preset.
    assert load_mapping(ROOT / "examples" / "mappings" / "handbook.yaml") == load_mapping(preset_file("handbook"))


@pytest.mark.parametrize("name", FORMATS)
def test_a_preset_reads_every_row_of_its_format(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, FORMATS[name]())
    dataset = read_dataset(path, load_preset(name, path), failing(path))
    refunds = 6 if name == "tabformer" else 0
    assert (len(dataset), dataset.left_out) == (60 - refunds, refunds)
    assert dataset.is_fraud.sum() == 7 - (name == "tabformer")  # its row 45 is a refund
    cards = {"paysim": 60, "tabformer": 6}.get(name, 7)
    assert dataset.card_count == cards


def test_a_preset_gives_the_values_that_the_format_means(tmp_path: Path) -> None:
    day, hour = 86_400_000, 3_600_000
    for name, first_ms, merchant, amounts in (
        ("paysim", (16_801 * 24 + 1) * hour, "M1000000000", None),  # 2016-01-01 is day 16,801
        ("banksim", 15_645 * day, "M0", None),  # 2012-11-01
        ("ieee-cis", None, "W", None),
        ("sparkov", None, "fraud_Rippin, Kub and 0", None),
    ):
        path = written(tmp_path, FORMATS[name]())
        dataset = read_dataset(path, load_preset(name, path), failing(path))
        if first_ms is not None:
            assert dataset.columns["occurred_at"][0] == first_ms
        assert names(dataset, "merchant_id")[0] == merchant
        assert amounts is None
    path = written(tmp_path, tabformer())
    dataset = read_dataset(path, load_preset("tabformer", path), failing(path))
    first = next(tabformer())
    assert dataset.columns["amount"][0] == round(float(str(first["Amount"]).lstrip("$")) * 100)
    assert names(dataset, "merchant_category")[:3] == ["5300", "0763", "5411"]
    assert names(dataset, "channel")[:3] == ["swipe", "chip", "ecommerce"]
    assert names(dataset, "merchant_id")[0].lstrip("-").isdecimal()


def test_a_format_without_cards_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = written(tmp_path, baf())
    with pytest.raises(Misconfigured, match=r"--preset baf: refused. .* no card, no merchant and no amount"):
        load_preset("baf", path)
    for rows, what in ((baf(), "Bank Account Fraud"), (creditcard(), "the anonymised card transactions of ULB")):
        path = written(tmp_path, rows)
        with pytest.raises(MappingError, match=f"is not of the format handbook. It looks like {what}"):
            load_preset("handbook", path)
        with pytest.raises(MappingError, match=f"no mapping can be proposed. It looks like {what}"):
            suggest_mapping(path)


def test_a_file_of_another_public_format_is_told_with_its_preset(tmp_path: Path) -> None:
    path = written(tmp_path, sparkov())
    with pytest.raises(MappingError, match="is not of the format paysim; its columns are those of --preset sparkov"):
        load_preset("paysim", path)


def test_a_category_that_the_preset_does_not_know_is_refused_not_guessed(tmp_path: Path) -> None:
    path = written(tmp_path, sparkov())
    path.write_text(path.read_text().replace("gas_transport", "space_travel"))
    with pytest.raises(MappingError, match="column category: 'space_travel' is not an ISO 18245 code"):
        read_dataset(path, load_preset("sparkov", path), failing(path))


@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize("name", FORMATS)
def test_the_preset_is_proposed_for_a_file_of_its_format(tmp_path: Path, name: str, delimiter: str) -> None:
    path = written(tmp_path, FORMATS[name](), delimiter)
    text, dataset = suggested(tmp_path, path)
    assert f"this is `--preset {name}`" in text
    assert "60 of the first 60 rows can be read" in text or name == "tabformer"
    assert len(dataset) + dataset.left_out == 60
    assert "4000" not in text  # no card number of Sparkov


@pytest.mark.parametrize("name", FORMATS)
def test_renamed_columns_of_every_format_are_recognised_by_names_and_values(tmp_path: Path, name: str) -> None:
    """Nothing but a column that the preset needs is renamed, so that the values have to tell the rest."""
    renamed = {"handbook": "TX_DATETIME", "paysim": "nameDest", "banksim": "customer", "ieee-cis": "TransactionAmt",
               "sparkov": "trans_num", "tabformer": "Use Chip"}[name]  # fmt: skip
    new = {"TX_DATETIME": "tx time", "nameDest": "merchant account", "customer": "client", "TransactionAmt": "sum",
           "trans_num": "reference", "Use Chip": "entry"}[renamed]  # fmt: skip
    path = written(
        tmp_path, ({new if key == renamed else key: value for key, value in row.items()} for row in FORMATS[name]())
    )
    text, dataset = suggested(tmp_path, path)
    preset = load_mapping(preset_file(name))
    assert "--preset" not in text
    assert "# Proposed from the first 60 rows of data.csv. Check every line" in text
    mapping = load_mapping(tmp_path / "suggested.yaml")
    for field in ("occurred_at", "card_id", "merchant_id"):
        expected = [new if column == renamed else column for column in getattr(preset.transaction, field).names]
        assert list(getattr(mapping.transaction, field).names) == expected, text
    assert mapping.transaction.amount.column == (new if name == "ieee-cis" else preset.transaction.amount.column)
    assert mapping.label.is_fraud.column == preset.label.is_fraud.column
    assert len(dataset) + dataset.left_out == 60


# Files of no known format.


def lines(*rows: str) -> str:
    return "\n".join(rows) + "\n"


GERMAN = lines(
    "zeit;karte;haendler;betrag;betrug;breite;laenge",
    *(f"{1 + n}.03.2024 10:0{n % 10}:00;k{n % 5};h{n % 3};1.{n:03},50;{int(n == 7)};48,{n};11,{n}" for n in range(30)),
)
SPLIT = lines(
    "Export of card 4111 1111 1111 1111",
    "Date\tTime\tCustomer ID\tVendor\tAmount (USD)\tStatus\tMCC\tCurrency",
    *(f"{1 + n}/03/2024\t10:{10 + n}\tc{n % 5}\tv{n % 3}\t$1,{100 + n}.25\t{'fine' if n % 9 else 'stolen'}\t742\tUSD"
      for n in range(30)),
)  # fmt: skip
CARDS = lines(
    "Transaction Date,Card Number,Merchant,Amount,Fraud?",
    *(f"03/{1 + n}/2024 01:10 PM,{card_number(n % 4)},m{n % 3},{n}.5,{'N' if n % 9 else 'Y'}" for n in range(30)),
)
BARE = lines(*(f"2024-03-{1 + n:02},card-{n % 6},shop-{n % 3},{n}.50,{int(n % 9 == 0)}" for n in range(30)))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (GERMAN, {"occurred_at": "zeit", "card_id": "karte", "merchant_id": "haendler", "amount": "betrag",
                  "latitude": "breite", "longitude": "laenge", "is_fraud": "betrug"}),
        (SPLIT, {"occurred_at": "Date Time", "card_id": "Customer ID", "merchant_id": "Vendor",
                 "amount": "Amount (USD)", "merchant_category": "MCC", "is_fraud": "Status"}),
        (CARDS, {"occurred_at": "Transaction Date", "card_id": "Card Number", "merchant_id": "Merchant",
                 "amount": "Amount", "is_fraud": "Fraud?"}),
        (BARE, {"occurred_at": "column_1", "card_id": "column_2", "merchant_id": "column_3", "amount": "column_4",
                "is_fraud": "column_5"}),
    ],
    ids=["German", "title, tabs, date apart", "card numbers", "no names"],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_proposal_for_an_unknown_file_reads_all_its_rows(
    tmp_path: Path, content: str, expected: dict[str, str], encoding: str
) -> None:
    path = tmp_path / "export.csv"
    path.write_bytes(content.encode(encoding))
    text, dataset = suggested(tmp_path, path)
    used: dict[str, str] = {}
    for field, column in load_mapping(tmp_path / "suggested.yaml").columns().items():
        name = field.split(".")[1]
        used[name] = f"{used[name]} {column}" if name in used else column
    assert used == expected, text
    assert len(dataset) == 30
    assert "30 of the first 30 rows can be read" in text
    comments = [line for line in text.splitlines() if "#" in line]
    assert len(comments) >= len(expected)  # every guess says why
    assert not any(card_number(n) in text for n in range(4))
    assert "4111" not in text


def test_what_is_guessed_has_the_values_that_the_file_means(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_text(GERMAN)
    _, german = suggested(tmp_path, path)
    assert german.columns["amount"][:2].tolist() == [100_050, 100_150]
    assert german.columns["latitude"][1] == 48.1
    path.write_text(SPLIT)
    _, split = suggested(tmp_path, path)
    assert split.columns["amount"][0] == 110_025
    assert split.columns["occurred_at"][0] == 19_783 * 86_400_000 + 610 * 60_000  # 2024-03-01 10:10
    assert (split.is_fraud.sum(), split.fields.currency) == (4, "USD")
    path.write_text(CARDS)
    _, cards = suggested(tmp_path, path)
    assert (cards.card_count, cards.is_fraud.sum()) == (4, 4)


def test_days_and_months_that_cannot_be_told_apart_are_told(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_text(lines("date,card,shop,amount,fraud", *(f"0{n}/0{n + 1}/2024,c,s,1,{n % 2}" for n in range(1, 9))))
    assert "no day is above 12 so far, so it may be %m/%d/%Y too: check" in suggest_mapping(path)


@pytest.mark.parametrize(
    ("field", "values", "line"),
    [
        (
            "time",
            [f"{45_352 + day}.5" for day in range(8)],
            'occurred_at: {column: time, format: days_since, start: "1899-12-30"}',
        ),
        (
            "time",
            [f"{1_709_287_200_000_000 + step}" for step in range(8)],
            "occurred_at: {column: time, format: epoch_us}",
        ),
        (
            "amount",
            ["1.234", "950", "12.000"] * 3,
            'amount: {column: amount, decimal_separator: ",", thousands_separator: "."}',
        ),
    ],
)
def test_numbers_that_could_be_taken_for_others_are_proposed_as_what_they_are(
    tmp_path: Path, field: str, values: list[str], line: str
) -> None:
    path = tmp_path / "export.csv"
    row = {"time": "2024-03-01", "card": "c", "merchant": "m", "amount": "1", "fraud": "0"}
    rows = [";".join((row | {field: value, "fraud": str(number % 2)}).values()) for number, value in enumerate(values)]
    path.write_text(lines(";".join(row), *rows))
    assert line in suggest_mapping(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("a\n1\n2\n", "no column looks like a time (occurred_at). Its columns: a."),
        (
            "time,card,merchant,amount\n2024-03-01,c,m,1\n",
            "no column looks like a label with two values, such as 1 and 0",
        ),
        ("time,fraud,amount\n2024-03-01,1,5.00\n", "no column looks like a card, an account or a customer (card_id)"),
        ("PK\x03\x04", "is a zip archive that is damaged or incomplete"),
        (
            "time,card,merchant,amount,fraud\n2024-03-01,c,m,1,0,\n",
            "no rows to propose a mapping from; row 2 has 6 columns",
        ),
        ("time,card,merchant,amount,fraud", "it has no row below the names of its columns"),
        ("name" * 20_000, "its first line is longer than 65,536 bytes"),
        (
            "time,card,merchant,amount,fraud\n2024-03-01,c,m,$5,0\n2024-03-02,c,m,€5,1\n",
            "column amount has amounts in several currencies ($ and €): evaluate a file for each",
        ),
    ],
)
def test_what_no_mapping_can_be_proposed_for_is_refused_with_what_lacks(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "export.csv"
    path.write_text(content)
    with pytest.raises(MappingError) as refused:
        suggest_mapping(path)
    assert message in str(refused.value)
