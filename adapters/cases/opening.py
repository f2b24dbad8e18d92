"""The case queue of a process, made from its settings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

from adapters.archive.case_store import CaseStore
from adapters.cases.desk import CaseDesk
from adapters.records.labelling import write_label
from adapters.runtime.policy_file import Policies
from adapters.runtime.settings import Settings


def open_desk(settings: Settings, policies: Policies, now: Callable[[], datetime | None]) -> CaseDesk:
    """Return the case queue over the archive's index and the topic of labels. `now` returns the event time."""
    store = CaseStore(settings.archive, settings.index_url)
    return CaseDesk(store, policies.decision, policies.cases, partial(write_label, settings), now)
