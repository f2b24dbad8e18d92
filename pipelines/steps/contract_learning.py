"""The data contract of a candidate model, from the archived days of its training reference."""

from __future__ import annotations

import logging
from datetime import date
from typing import Final

from adapters.archive.day_profiles import DayProfiler, known_days, labels_observed
from adapters.archive.tables import ArchivedTables
from cardwatch.data_contract.contract import MAXIMUM_DAYS, MINIMUM_DAYS, DataContract, learn_contract
from cardwatch.data_contract.quarantine import newest_days
from cardwatch.label_maturity import end_of_day

DAYS_PER_WEEK: Final = 7

log = logging.getLogger(__name__)


def learn_data_contract(
    archive: ArchivedTables, as_of: date, excluded_days: frozenset[date] = frozenset()
) -> DataContract | None:
    """Return the contract of the newest closed days up to `as_of`, without those that are excluded.

    These are whole weeks, `MAXIMUM_DAYS` at most. Returns None, with a warning, if there are fewer than `MINIMUM_DAYS`:
    then the monitor reports that the champion has no contract.
    """
    closed = sorted(day for day in archive.closed_days() if day <= as_of)
    days = newest_days(closed, MAXIMUM_DAYS, excluded_days)
    days = days[len(days) % DAYS_PER_WEEK :]
    if len(days) < MINIMUM_DAYS:
        log.warning("there is no data contract: %d whole closed days, %d are needed", len(days), MINIMUM_DAYS)
        return None
    profiler = DayProfiler(archive)
    labels = labels_observed(archive.labels(end_of_day(as_of)), days)
    contract = learn_contract(
        [
            profiler.profile(day, known_days(closed, day, excluded_days), count)
            for day, count in zip(days, labels, strict=True)
        ]
    )
    log.info("the data contract has %d limits, from %d days up to %s", len(contract.limits), len(days), days[-1])
    return contract
