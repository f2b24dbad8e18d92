"""The simulated world of the stack, for payments that suit its cards."""

from __future__ import annotations

from typing import Final

import msgspec

from adapters.local_stack.stack_home import StackHome
from adapters.runtime.settings import Settings
from cardwatch.simulation.settings import SimulationSettings

DEFAULT_WORLD: Final = SimulationSettings(seed=7, cards=1_000, fraud_share=0.01, change_day=50)
"""The world of `examples/plans/endless.json`, which `cardwatch up` and the containers simulate if no other is given."""


def simulated_world(settings: Settings) -> SimulationSettings:
    """Return the world of the plan that the stack in CARDWATCH_HOME was started with, else `DEFAULT_WORLD`."""
    try:
        plan = msgspec.json.decode(StackHome(settings).plan.read_bytes(), type=dict[str, msgspec.Raw])
        return msgspec.json.decode(plan["world"], type=SimulationSettings)
    except (OSError, KeyError, msgspec.DecodeError):
        return DEFAULT_WORLD
