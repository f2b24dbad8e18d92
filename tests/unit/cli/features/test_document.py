"""The generated page and picture match the code, and their examples match the kernel."""

from __future__ import annotations

from datetime import UTC, datetime, time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner

from cardwatch.errors import Misconfigured
from cardwatch.events import Channel, Transaction
from cardwatch.features.columns import encode
from cardwatch.features.definitions import FAMILIES, FEATURE_NAMES, SCHEMA_HASH, column
from cardwatch.features.kernel import fold
from cardwatch.features.reference_table import ReferenceTable
from cardwatch.features.state import STATE, empty_states
from cli.features import features
from cli.features.document import document
from cli.features.example import worked_update
from cli.features.picture import picture
from cli.features.state_fields import STATE_FIELDS, state_rows

DOCS = Path(__file__).parents[4] / "docs"


def test_the_published_page_and_picture_match_the_code() -> None:
    assert (DOCS / "features.md").read_text(encoding="utf-8") == document(), "run `cardwatch features`"
    assert (DOCS / "images" / "update.svg").read_text(encoding="utf-8") == picture(), "run `cardwatch features`"


def test_every_family_feature_and_field_has_its_line() -> None:
    lines = document().splitlines()
    assert [line[4:] for line in lines if line.startswith("### ")] == [family.capitalize() for family in FAMILIES]
    for name in FEATURE_NAMES:
        assert sum(line.startswith(f"| `{name}` |") for line in lines) == 1, name
    for name in STATE.names or ():
        assert sum(f" | `{name}` | " in line for line in lines) == 1, name
    assert SCHEMA_HASH in document()


def test_every_field_of_the_state_is_explained_and_no_other() -> None:
    assert list(STATE_FIELDS) == list(STATE.names or ())
    offsets, sizes = [row[0] for row in state_rows()], [row[1] for row in state_rows()]
    assert [*offsets[1:], STATE.itemsize] == np.cumsum(sizes).tolist()  # packed, without gaps


def paying(at: time) -> Transaction:
    return Transaction(
        transaction_id=str(at),
        card_id="card",
        merchant_id="shop",
        occurred_at=datetime.combine(datetime(2025, 1, 6, tzinfo=UTC), at, UTC),
        amount_minor=100,
        currency="EUR",
        merchant_category="5411",
        channel=Channel.CHIP,
        country="DE",
    )


def test_the_kernel_treats_the_edge_of_a_window_as_documented() -> None:
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in document().splitlines()]
    edge = {row[0]: row[3] for row in cells if len(row) == 4 and row[1].startswith("11:")}
    assert list(edge) == ["12:00:00", "12:05:59", "12:06:00"]
    for when, result in edge.items():
        two = [paying(time(11, 6)), paying(time.fromisoformat(when))]
        folded = fold(empty_states(1), np.zeros(2, np.int64), encode(two), ReferenceTable.empty())
        assert folded.features[1, column("count_1h")] == (1 if result == "counts" else 0), when


def test_the_picture_shows_a_real_update() -> None:
    """By hand: 12 + 30 + 8.50 + 4 + 19.90 + 45 = 119.40; at 12:07 the tiles of the first two payments have left."""
    update = worked_update()
    assert (update.before.count, update.before.amount_minor) == (6, 11_940)
    assert (update.advanced.count, update.advanced.amount_minor) == (4, 7_740)
    assert (update.read_count, update.read_amount) == (4.0, pytest.approx(77.40))
    assert (update.after.count, update.after.amount_minor) == (5, 13_740)
    texts = [element.text for element in ElementTree.fromstring(picture()).iter() if element.text]  # noqa: S314 (ours)
    assert "count_1h = 4, amount_1h = 77.40" in texts
    assert "tiles 11:00 and 11:06 leave the window" in texts


def test_the_command_writes_both_into_an_existing_folder(tmp_path: Path) -> None:
    result = CliRunner().invoke(features, ["--folder", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "features.md").read_text(encoding="utf-8") == document()
    assert (tmp_path / "images" / "update.svg").read_text(encoding="utf-8") == picture()

    missing = CliRunner().invoke(features, ["--folder", str(tmp_path / "none")])
    assert isinstance(missing.exception, Misconfigured)
    assert "no such folder" in str(missing.exception)
