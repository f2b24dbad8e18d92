"""What the generator is asked to do, as a file."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from cardwatch.errors import Misconfigured
from cardwatch.world.settings import WorldSettings


class Plan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """History, then live days in step, then a phase at a fixed rate.

    Live days end `days_after_promotion` days after the first promotion, and after `live_days` at the latest.
    """

    world: WorldSettings
    history_days: int = 60
    live_days: int = 45
    days_after_promotion: int = 12
    rate_per_second: float = 300.0
    rate_seconds: float = 15.0
    patience_seconds: float = 300.0


def read_plan(path: Path) -> Plan:
    """The plan in a JSON file; raises `Misconfigured` with the field that is wrong."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Plan)
    except (OSError, msgspec.DecodeError) as error:
        raise Misconfigured(f"plan {path}: {error}") from error
