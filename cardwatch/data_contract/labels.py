"""The check of labels: whether their source has fallen silent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final

from cardwatch.data_contract.finding import Check, DataFinding

CERTAIN_LABELS: Final = 20.0
"""Expected number of labels of the newest days that are compared: enough that chance does not explain their absence."""
SILENT_PART: Final = 0.1
"""Threshold: with less than this part of the expected labels their source is silent. Less fraud is no silence."""
MINIMUM_LABEL_DAYS: Final = 3
"""Minimum number of newest days that are compared, because labels may arrive some days after their observation."""
MAXIMUM_LABEL_DAYS: Final = 14
"""Maximum number of newest days that are compared. A portfolio with fewer labels in that time is not checked."""


def find_silent_labels(
    day: date, labels: int | None, before: Sequence[int], per_day: float | None
) -> DataFinding | None:
    """Return the finding that too few labels were observed on the newest days, None if there were enough.

    `labels` were observed on `day`, `before` on the days before, newest first; `per_day` are usual. The fewest days are
    compared that let expect `CERTAIN_LABELS`. The finding affects all of them: their labels may never arrive.
    """
    if labels is None or not per_day:
        return None
    days = max(math.ceil(CERTAIN_LABELS / per_day), MINIMUM_LABEL_DAYS)
    if days > MAXIMUM_LABEL_DAYS or len(before) < days - 1:
        return None
    seen, expected = labels + sum(before[: days - 1]), per_day * days
    if seen >= SILENT_PART * expected:
        return None
    return DataFinding(
        check=Check.LABELS.value,
        column="labels",
        low=SILENT_PART * expected,
        high=expected,
        seen=float(seen),
        day=day,
        since=day,
        affects_from=day - timedelta(days=days - 1),
        sentence=f"{seen} labels were observed in {days} days, {expected:.0f} are usual: their source is silent",
    )
