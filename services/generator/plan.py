"""What the generator is asked to do, as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from cardwatch.errors import Misconfigured
from cardwatch.simulation.settings import SimulationSettings

Rate = Annotated[float, Meta(gt=0.0)]
Days = Annotated[int, Meta(ge=0)]


class Plan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """History, then live days, then a phase at a fixed rate.

    History goes into the log at once, before any stream worker runs; `history_in_step` sends a day of it only when the
    day before is archived, so that workers that run already find the reference table of each day. It takes longer, and
    they decide history by the rules.

    Live days go in step with archive and monitor, or with `live_rate_per_second` transactions a second, evenly, whoever
    keeps up; only an archive that is more than three days behind is waited for. They end `days_after_promotion` days
    after the first promotion, and after `live_days` at the latest; if both are null, when somebody stops the process.

    A wait for somebody else that takes longer than `patience_seconds` ends the process.
    """

    world: SimulationSettings
    history_days: Days = 60
    history_in_step: bool = False
    live_days: Days | None = 45
    live_rate_per_second: Rate | None = None
    days_after_promotion: Days | None = 12
    rate_per_second: Rate = 300.0
    rate_seconds: float = 15.0
    patience_seconds: float = 300.0


def read_plan(path: Path) -> Plan:
    """The plan in a JSON file; raises `Misconfigured` with the field that is wrong."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Plan)
    except (OSError, msgspec.DecodeError) as error:
        raise Misconfigured(f"plan {path}: {error}") from error
