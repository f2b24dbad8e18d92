"""Reading the archive: files that earlier versions wrote lack the columns that were added since."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
from msgspec import structs

from adapters.archive.reader import Archive
from adapters.archive.writer import ArchiveWriter, decision_row
from cardwatch.topics import DECISIONS
from tests.unit.services.records_of_others import DAY, DECISION


def test_decisions_of_before_the_control_share_are_read_as_ordinary_ones(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path) as writer:
        writer.write({DECISIONS: [decision_row(DECISION)]}, {})
        [(former, _)] = Archive(tmp_path).files(DECISIONS)
        pq.write_table(pq.read_table(former, partitioning=None).drop_columns("control_propensity"), former)
        marked = structs.replace(DECISION, offset=2, control_propensity=0.02)
        writer.write({DECISIONS: [decision_row(marked)]}, {})
    decisions = Archive(tmp_path).decisions(DAY, DAY)
    assert decisions["control_propensity"].to_pylist() == [None, 0.02]
