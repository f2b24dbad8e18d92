"""The benchmark of the data contract: its scenarios, its tables, and a small set of worlds."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from benchmarks.data_contract.__main__ import HELD_OUT_SEEDS, CheckedWorld, markdown, measure_world
from benchmarks.data_contract.scenarios import CALM, FAULT, HARMLESS, scenarios

ROOT = Path(__file__).parents[3]
CALM_WORLD = CheckedWorld(
    scenario="nothing changes",
    kind=CALM,
    seed=1,
    checked=100,
    quarantined=0,
    quarantined_before=0,
    delay=None,
    sentences=[],
)


def test_scenarios_have_names_of_their_own_and_faults_a_column() -> None:
    found = scenarios()
    assert len({scenario.name for scenario in found}) == len(found)
    assert all(bool(scenario.column) == (scenario.kind == FAULT) for scenario in found)
    assert {scenario.kind for scenario in found} == {CALM, HARMLESS, FAULT}


def test_the_tables_count_quarantined_days_and_show_delays() -> None:
    fault = structs.replace(CALM_WORLD, scenario="amounts / 100", kind=FAULT, delay=0)
    lines = markdown([CALM_WORLD, structs.replace(CALM_WORLD, quarantined=1), fault]).splitlines()
    # Wilson for 1 of 200: 0.0009 to 0.0278.
    assert "| nothing changes | 2 | 200 | 1 | 0.0009 to 0.0278 |" in lines
    assert "| all | 2 | 200 | 1 | 0.0009 to 0.0278 |" in lines
    assert "| amounts / 100 | `amount_minor` | 1 | 0 | 0 |" in lines


@pytest.mark.parametrize("scenario", ["the change of the demo", "amounts x 100, e-commerce", "clock + 6 h, atm"])
def test_a_small_portfolio_is_checked_too(scenario: str) -> None:
    [chosen] = [each for each in scenarios() if each.name == scenario]
    result = measure_world(chosen, seed=77, cards=1_000)
    assert result.quarantined_before == 0
    assert (result.quarantined, result.delay) == ((0, None) if chosen.kind == HARMLESS else (3, 0))


def test_the_documentation_shows_the_measured_figures() -> None:
    content = (ROOT / "benchmarks" / "results" / "data_contract.json").read_bytes()
    worlds = msgspec.json.decode(content, type=list[CheckedWorld])
    assert {world.seed for world in worlds} == set(HELD_OUT_SEEDS)
    assert markdown(worlds).strip() in (ROOT / "docs" / "data-contract.md").read_text(encoding="utf-8")
