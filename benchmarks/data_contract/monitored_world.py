"""The data contract on a simulated world, in process: learned at one day, then checked on each day that follows.

It does what pipelines and monitor do, with the same functions of `cardwatch.data_contract`, but without an archive.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import date, timedelta
from typing import Final

from msgspec import Struct

from benchmarks.data_contract.simulated_records import records_of
from cardwatch.data_contract.contract import MAXIMUM_DAYS, DataContract, check_day, learn_contract
from cardwatch.data_contract.finding import DataFinding
from cardwatch.data_contract.labels import MAXIMUM_LABEL_DAYS
from cardwatch.data_contract.profile import KnownKeys, distinct_keys, profile_day, union_of_keys
from cardwatch.data_contract.quarantine import QuarantineState, after_day, with_since
from cardwatch.data_contract.records import DayRecords
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation

KNOWN_DAYS: Final = 7
"""Days before a day whose keys are known on it, as in `adapters.archive.day_profiles`."""
Change = Callable[[int, DayRecords], DayRecords]


class MonitoredWorld(Struct, frozen=True):
    """The findings of each checked day, by day number, and the state of the quarantine after the last one."""

    contract: DataContract
    findings: dict[int, list[DataFinding]]
    state: QuarantineState

    @property
    def quarantined(self) -> list[int]:
        """The numbers of the days with findings, in order."""
        return sorted(number for number, findings in self.findings.items() if findings)


def _unchanged(_number: int, records: DayRecords) -> DayRecords:
    return records


def monitor_world(
    settings: SimulationSettings,
    *,
    as_of: int,
    days: int,
    change: Change = _unchanged,
    no_labels_from: int | None = None,
) -> MonitoredWorld:
    """Learn the contract at the end of day number `as_of`, and check the days after it, `days` days in all.

    `change` returns what a source sends instead of the records of a day. From `no_labels_from` on no label arrives.
    """
    world = Simulation(settings)
    contract: DataContract | None = None
    state, findings, profiles = QuarantineState(), {}, []
    keys: deque[KnownKeys] = deque(maxlen=KNOWN_DAYS)
    labels: deque[int] = deque([0] * MAXIMUM_LABEL_DAYS, maxlen=MAXIMUM_LABEL_DAYS)
    for number in range(days):
        simulated = world.simulate_day(number)
        is_silent = no_labels_from is not None and number >= no_labels_from
        labels.appendleft(0 if is_silent else len(simulated.labels))
        if number <= as_of - MAXIMUM_DAYS - KNOWN_DAYS:
            continue
        records = change(number, records_of(simulated, world.population.merchants))
        known = union_of_keys(keys) if len(keys) == KNOWN_DAYS else None
        found: list[DataFinding] = []
        if number > as_of - MAXIMUM_DAYS:
            profile = profile_day(simulated.day, records, known=known, labels=labels[0])
            if number <= as_of:
                profiles.append(profile)
            else:
                contract = contract or learn_contract(profiles)
                found = with_since(state, check_day(contract, profile, labels_before=list(labels)[1:]))
                findings[number] = found
                state = after_day(state, simulated.day, "1", found)
        if not found:
            keys.append(distinct_keys([records]))
    if contract is None:
        raise ValueError(f"no day is checked: there are {days} days, and the contract is learned on day {as_of}")
    return MonitoredWorld(contract, findings, state)


def day_of(settings: SimulationSettings, number: int) -> date:
    """Return day number `number` of a world."""
    return settings.first_day + timedelta(days=number)
