"""A decision of a former feature schema is scored again with its own model, and replayed with the table of its day."""

from __future__ import annotations

from contextlib import closing
from datetime import date
from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec import structs

from adapters.archive.reader import Archive
from adapters.archive.writer import ArchiveWriter, decision_row
from adapters.model_registry.model_folder import ModelFolder, write_model
from cardwatch.admission import admit_decision
from cardwatch.detector.detector import FACTS_FILE, Detector
from cardwatch.errors import CardwatchError, InvalidRecord, SchemaMismatch
from cardwatch.events import Decision, encode
from cardwatch.features.definitions import FEATURES, SCHEMA_HASH
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.features.replay import FORMER_EMPTY_TABLES, ReferenceTables
from cardwatch.records import Record
from cardwatch.registry import ModelVersion, digest_of
from tests.former_version import FORMER_FEATURES, FORMER_SCHEMA, former_model, former_table, write_former_table
from tests.unit.services.records_of_others import DAY, DECISION

FILES = former_model()
RECORDED = structs.replace(
    DECISION,
    features=[12.5, 4.0, None],
    feature_schema=FORMER_SCHEMA,
    model_version="1",
    model_digest=digest_of(FILES),
    margin=1.5,
    probability=0.75,
)


def as_record(decision: Decision) -> Record:
    return Record("decisions", decision.partition, 7, 0, b"card", encode(decision))


def test_an_archived_decision_gets_the_same_margin_and_probability_from_the_files_of_its_model(tmp_path: Path) -> None:
    """The expected margin, by hand: `count_1h` is 4.0, not below 3.5, so the leaf of 1.25 is added to 0.25."""
    with closing(ArchiveWriter(tmp_path / "archive")) as archive:
        archive.write({"decisions": [decision_row(admit_decision(as_record(RECORDED)))]}, {})
    version = ModelVersion(version="1", run_id="", tags={"digest": digest_of(FILES), "schema_hash": FORMER_SCHEMA})
    write_model(tmp_path / "model", version, FILES)

    [row] = Archive(tmp_path / "archive").decisions(DAY, DAY).to_pylist()
    found = ModelFolder(tmp_path / "model").version("1")
    assert found is not None
    assert found.digest == row["model_digest"]
    files = ModelFolder(tmp_path / "model").files(found)
    detector = Detector.from_files(files, schema_hash=row["feature_schema"])
    margins = detector.margins(np.array([row["features"]], np.float32))

    assert margins.tolist() == [row["margin"]] == [1.5]
    assert detector.probabilities(margins).tolist() == [row["probability"]] == [0.75]


def test_a_missing_value_of_a_former_row_takes_the_branch_of_missing_values() -> None:
    detector = Detector.from_files(FILES, schema_hash=FORMER_SCHEMA)
    rows = np.array([[12.5, 3.25, 1.0], [12.5, np.nan, 1.0]], np.float32)
    assert detector.margins(rows).tolist() == [-0.5, -0.5]
    assert detector.features == len(FORMER_FEATURES)


def test_contributions_of_a_former_row_name_its_own_features_and_add_up_to_the_margin() -> None:
    """The expected values, by hand: half of the training rows went each way, so the mean margin is 0.5."""
    detector = Detector.from_files(FILES, schema_hash=FORMER_SCHEMA)
    [found] = detector.contributions(np.array([[12.5, 4.0, 1.0]], np.float32))
    assert dict(zip(detector.facts.feature_names, found.tolist(), strict=True)) == {
        "amount": 0.0,
        "count_1h": 1.0,
        "merchant_risk_1d": 0.0,
    }
    assert detector.expected_margin() == 0.5


def test_a_former_detector_gives_no_reason_codes_instead_of_wrong_ones() -> None:
    detector = Detector.from_files(FILES, schema_hash=FORMER_SCHEMA)
    with pytest.raises(SchemaMismatch, match=f"reason codes of features of schema {FORMER_SCHEMA} are not known"):
        detector.reasons(np.zeros((1, 3), np.float32))


def test_a_former_model_is_refused_for_rows_of_this_version_with_the_remedy() -> None:
    with pytest.raises(SchemaMismatch, match=f"schema {FORMER_SCHEMA}, this code computes {SCHEMA_HASH}: run `cardwa"):
        Detector.from_files(FILES)


def test_a_model_is_refused_for_rows_of_a_schema_that_is_not_its_own() -> None:
    with pytest.raises(SchemaMismatch, match=f"needs features of schema {FORMER_SCHEMA}, the rows have another"):
        Detector.from_files(FILES, schema_hash="another")
    facts = FILES[FACTS_FILE].replace(FORMER_SCHEMA.encode(), SCHEMA_HASH.encode())
    with pytest.raises(CardwatchError, match=f"the trees need 3 features, the schema has {len(FEATURES)}"):
        Detector.from_files({**FILES, FACTS_FILE: facts})


def test_decisions_with_the_numbers_of_features_of_former_schemas_are_admitted_and_only_these() -> None:
    assert admit_decision(as_record(RECORDED)).features == [12.5, 4.0, None]
    with pytest.raises(InvalidRecord, match=f"3 features, not {len(FEATURES)}"):
        admit_decision(as_record(structs.replace(RECORDED, feature_schema=SCHEMA_HASH)))


def test_the_table_of_a_former_decision_is_replayed_as_the_rebuilt_one_of_the_same_day(tmp_path: Path) -> None:
    days = [date(2025, 1, 6), date(2025, 1, 8)]
    rebuilt = [ReferenceTable((day - date(1970, 1, 1)).days, label_positions={"0": 5}) for day in days]
    former = {write_former_table(tmp_path, day, former_table(day, {"0": 5})): day for day in days}
    tables = ReferenceTables(rebuilt, former)

    newest_first = [*reversed(former), *FORMER_EMPTY_TABLES, rebuilt[0].table_id]
    assert tables.by_id(newest_first).tolist() == [2, 1, 0, 0, 1]
    with pytest.raises(CardwatchError, match="used reference table 0000, which is not stored any more"):
        tables.by_id(["0000"])


def test_the_former_empty_tables_are_known_by_the_hashes_of_their_stored_forms(tmp_path: Path) -> None:
    oldest = write_former_table(tmp_path, date(1970, 1, 1), former_table(date(1970, 1, 1), {}, merchants=0))
    columns = (
        "risk_recent risk_7d risk_30d days_since_fraud fraud_run fraud_run_days fraud_cards"
        " count_1d count_7d count_30d mean_amount_30d",
        "cards frauds count_1d cards_1d age",
        "velocity_1d risk_recent risk_7d",
        "compromise",
    )
    sections = [{"values_of": names.split(), "hashes": b"", "values": b""} for names in columns]
    content = {"valid_from_day": 0, "label_positions": {}, "sections": sections}
    with_card_ranges = write_former_table(tmp_path, date(1970, 1, 1), msgspec.msgpack.encode(content))
    assert {oldest, with_card_ranges} == FORMER_EMPTY_TABLES
