"""The plan of the generator: a JSON file that says how much history and how many live days are simulated."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from adapters.runtime.renamed_keys import rename_keys
from cardwatch.errors import Misconfigured
from cardwatch.simulation.settings import SimulationSettings

Rate = Annotated[float, Meta(gt=0)]
Days = Annotated[int, Meta(ge=0)]


class Plan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """History, then live days, then a phase at a fixed rate.

    History is sent without waits, before any stream worker runs. With `history_in_step` a day is sent only when the
    day before is archived, so that running workers find the reference table of each day. This takes longer, and the
    workers decide history by the rules.

    Live days are sent in step with archive and monitor, or evenly at `live_rate_per_second` transactions a second. At a
    rate the generator waits only for an archive that is more than three days behind. Live days end
    `days_after_promotion` days after the first promotion, and after `live_days` at the latest; if both are null, when
    the process is stopped.

    With `world.labels.selection` or `world.reacting_fraudsters` the generator reads the decisions on live days: labels
    of a day are sent once all its transactions are decided. This needs live days in step, because an open loop must not
    wait for decisions. History counts as approved, and so does everything without these settings.

    A wait for another service that takes longer than `wait_timeout_seconds` ends the process with an error.
    """

    world: SimulationSettings
    history_days: Days = 60
    history_in_step: bool = False
    live_days: Days | None = 45
    live_rate_per_second: Rate | None = None
    days_after_promotion: Days | None = 12
    rate_per_second: Rate = 300.0
    rate_seconds: float = 15.0
    wait_timeout_seconds: float = 300.0

    @property
    def reads_decisions(self) -> bool:
        """Whether the simulated world depends on decisions."""
        return self.world.labels.selection is not None or self.world.reacting_fraudsters


RENAMED_KEYS: Final = {"patience_seconds": "wait_timeout_seconds"}
"""Old to new names of keys. Plan files with an old name are accepted for one version, with a warning."""


def read_plan(path: Path) -> Plan:
    """Return the plan in a JSON file; raises `Misconfigured` with the field that is wrong."""
    try:
        content = rename_keys(msgspec.json.decode(path.read_bytes()), RENAMED_KEYS, f"plan {path}")
        plan = msgspec.convert(content, Plan)
    except (OSError, msgspec.DecodeError) as error:
        raise Misconfigured(f"plan {path}: {error}") from error
    if plan.reads_decisions and plan.live_rate_per_second is not None:
        raise Misconfigured(
            f"plan {path}: world.labels.selection and world.reacting_fraudsters need live days in step, because at a "
            "rate the generator does not wait for decisions: remove them, or live_rate_per_second"
        )
    return plan
