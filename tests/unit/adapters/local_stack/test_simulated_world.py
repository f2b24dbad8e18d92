"""Which simulated world the payments of presets come from."""

from __future__ import annotations

from pathlib import Path

import msgspec

from adapters.local_stack.simulated_world import DEFAULT_WORLD, simulated_world
from adapters.local_stack.stack_home import StackHome
from adapters.runtime.settings import read_settings
from cardwatch.simulation.settings import SimulationSettings

PLANS = Path(__file__).resolve().parents[4] / "examples" / "plans"


def test_the_default_is_the_world_of_the_default_plan() -> None:
    plan = msgspec.json.decode((PLANS / "endless.json").read_bytes())
    assert msgspec.convert(plan["world"], SimulationSettings) == DEFAULT_WORLD


def test_the_world_is_that_of_the_plan_with_which_the_stack_was_started(tmp_path: Path) -> None:
    settings = read_settings({}, home=tmp_path)
    assert simulated_world(settings) == DEFAULT_WORLD
    world = SimulationSettings(seed=5, cards=300)
    plan = StackHome(settings).plan
    plan.parent.mkdir(parents=True)
    plan.write_bytes(msgspec.json.encode({"world": world, "history_days": 30}))
    assert simulated_world(settings) == world
