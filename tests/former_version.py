"""Data as the version before feature schema 3 wrote them: reference tables, a store of card states, a model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import msgspec
import numpy as np

from adapters.archive.reader import Archive
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.archive.writer import ArchiveWriter
from adapters.feature_store.lmdb import LmdbStore
from cardwatch.detector.calibration import Calibration
from cardwatch.detector.detector import FACTS_FILE, TREES_FILE, DetectorFacts
from cardwatch.detector.trees.flat import NODE, FlatTrees
from cardwatch.events import EPOCH
from cardwatch.features.state import empty_states

FORMER_SCHEMA = "5f0c3a5e8f7d4f02a1b6c4d2e9b7a310"
FORMER_LAYOUT = "layout of a former version"
FORMER_FEATURES = ("amount", "count_1h", "merchant_risk_1d")


def former_table(valid_from: date, label_positions: Mapping[str, int], merchants: int = 2) -> bytes:
    """A table in the stored form with one section of merchants."""
    content = {
        "values_of": ("risk_1d", "risk_7d", "risk_30d", "count_1d", "count_7d", "count_30d", "mean_amount_30d"),
        "valid_from_day": (valid_from - EPOCH.date()).days,
        "label_positions": dict(label_positions),
        "merchants": np.arange(merchants, dtype=np.uint64).tobytes(),
        "values": np.ones((merchants, 7), np.float32).tobytes(),
    }
    return msgspec.msgpack.encode(content)


def write_former_table(folder: Path, valid_from: date, content: bytes) -> str:
    """Store a table under its day and id, and return the id."""
    table_id = hashlib.sha256(content).hexdigest()[:32]
    folder.mkdir(exist_ok=True)
    (folder / f"{valid_from.isoformat()}-{table_id}.table").write_bytes(content)
    return table_id


def make_tables_former(tables: Path, archive: Path) -> dict[date, str]:
    """Replace the tables of this version by such of the former one, in the index too; return their ids by first day."""
    former = {}
    for table in ReferenceTableStore(tables).all():
        day = table.valid_from.date()
        (tables / f"{day.isoformat()}-{table.table_id}.table").unlink()
        former[day] = write_former_table(tables, day, former_table(day, table.label_positions))
    closed = {day: former[day + timedelta(days=1)] for day in Archive(archive).closed_days()}
    with closing(ArchiveWriter(archive)) as writer:
        writer.replace_table_ids(closed)
    return former


def make_states_former(path: Path, ends: Mapping[int, int], partitions: int) -> None:
    """Write a store of another layout that has applied each partition up to its end."""
    with LmdbStore(path, layout=FORMER_LAYOUT) as store:
        store.record_partitions(partitions)
        for partition, end in ends.items():
            store.apply(partition, expected=0, position=end, card_ids=[f"card-{partition}"], states=empty_states(1))


def former_model() -> dict[str, bytes]:
    """The files of a model over `FORMER_FEATURES`: margin -0.5 for a `count_1h` below 3.5 or missing, else 1.5."""
    trees = FlatTrees(
        features=len(FORMER_FEATURES),
        base_margin=np.float32(0.25),
        nodes=np.array([(3.5, 1, 1), (np.nan, 0, 0), (np.nan, 0, 1)], NODE),
        values=np.array([0.0, -0.75, 1.25], np.float32),
        roots=np.zeros(1, np.int32),
        depths=np.ones(1, np.int32),
        shares=np.array([1.0, 0.5, 0.5]),
        same=np.full(3, -1, np.int32),
        points=np.array([0.5]),
        weights=np.array([1.0]),
    )
    facts = DetectorFacts(
        schema_hash=FORMER_SCHEMA,
        feature_names=FORMER_FEATURES,
        calibration=Calibration(margins=[-0.5, 1.5], probabilities=[0.125, 0.75]),
        settings={},
        rows=8,
        frauds=1,
        fingerprint="",
    )
    return {TREES_FILE: trees.to_bytes(), FACTS_FILE: msgspec.json.encode(facts)}
