"""The published false alarms of data drift, and the benchmark that measures them, on a small world."""

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from benchmarks import feature_drift
from benchmarks.feature_drift import CHANGE_DAY, DriftOfWorld, measure_world
from cardwatch.drift.policy import DriftPolicy
from monitoring.feature_drift import DAYS_PER_WEEK

ROOT = Path(feature_drift.__file__).parents[1]
DECISION = " ".join((ROOT / "docs" / "decisions" / "0005-when-a-model-has-decayed.md").read_text("utf-8").split())


def test_the_decision_states_what_was_measured() -> None:
    content = (ROOT / "benchmarks" / "results" / "feature_drift.json").read_bytes()
    worlds = msgspec.json.decode(content, type=list[DriftOfWorld])
    calm, changed = ([world for world in worlds if world.changes is changes] for changes in (False, True))
    assert [world.seed for world in calm] == [world.seed for world in changed] == [701, 702, 703, 704, 705]
    most = max(max(world.shares.values()) for world in calm)
    after = [share for world in changed for day, share in world.shares.items() if day >= CHANGE_DAY + DAYS_PER_WEEK]
    columns: Counter[str] = Counter()
    for world in calm:
        columns.update(world.columns)
    often = max(columns.values()) / sum(len(world.shares) for world in calm)
    assert most < DriftPolicy().drift_share <= min(after)
    assert f"at most {most:.1%} of the columns".replace("%", " %") in DECISION
    assert f"15 to {max(after):.1%}".replace("%", " %") in DECISION
    assert f"up to {often:.1%} of the calm days".replace("%", " %") in DECISION


@pytest.mark.long
def test_a_small_world_is_measured() -> None:
    found = measure_world(3, 500, changes=True)
    assert len(found.shares) == 27
    assert max(found.shares.values()) > 0.0
    assert sum(found.columns.values()) > 0
