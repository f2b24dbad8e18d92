"""The audit of all decisions of some days, in bounded memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date
from typing import Final

from adapters.archive.audit_tables import AuditTables
from adapters.archive.audited_days import read_audited_days
from adapters.archive.reader import Archive
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.runtime.settings import Settings
from cardwatch.audit.decision_check import AuditSources, check_decisions
from cardwatch.audit.range_tally import RangeTally
from cardwatch.audit.stored_model import StoredModels
from cardwatch.decision.control_share import ControlSample
from cardwatch.errors import Misconfigured
from cli.audit.origin import origin_of
from cli.audit.report import DaysAudit
from cli.audit.sources import AuditedModels, KnownPolicies

BATCH_ROWS: Final = 16_384
"""Transactions that are replayed at once. Larger batches need more memory and save no time."""


def audit_days(
    settings: Settings,
    archive: Archive,
    days: tuple[date, date],
    *,
    models: AuditedModels,
    policies: KnownPolicies,
    control: ControlSample | None,
    advance: Callable[[int], None] = lambda _transactions: None,
) -> DaysAudit:
    """Audit the decisions on transactions of closed days. `advance` is told how many transactions were replayed.

    Raises `Misconfigured` if the archive has no decision on these days.
    """
    first, last = days
    tables = AuditTables(ReferenceTableStore(settings.tables), archive.closed_days())
    sources = AuditSources(models=StoredModels(models), policies=policies, tables=tables.stored, control=control)
    tally, replayed = RangeTally(), 0
    begin, begin_process = time.perf_counter(), time.process_time()
    for batch in read_audited_days(archive, tables, first, last, batch_rows=BATCH_ROWS):
        for part in batch.parts:
            tally.add(part, check_decisions(part, sources))
        tally.add_undecided(batch.undecided)
        replayed += batch.replayed
        advance(batch.replayed)
    seconds, process_seconds = time.perf_counter() - begin, time.process_time() - begin_process
    counts = tally.counts()
    if not counts.decisions:
        raise Misconfigured(f"{first} to {last}: the archive has no decisions on transactions of these days")
    versions = [version for version in counts.models if version != "none"]
    return DaysAudit(
        first_day=first,
        last_day=last,
        counts=counts,
        replayed=replayed,
        seconds=round(seconds, 3),
        decisions_per_core_second=round(counts.decisions / process_seconds, 1),
        models=[lineage for version in versions if (lineage := models.lineage(version)) is not None],
        moves_fault=models.moves_fault,
        policies={version: policies.source(version) for version in counts.policies},
        origin=origin_of(settings, models),
    )
