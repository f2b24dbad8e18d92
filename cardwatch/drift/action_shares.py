"""Shares of the actions in the newest decisions, against those that the same model and policy give before them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from cardwatch.progress import ActionShareChange

STANDARD_ERRORS: Final = 4.0
"""How many standard errors a share must differ by."""
LEAST_RATIO: Final = 1.5
"""Least ratio of two shares that counts as a change, in either direction."""


def action_share_changes(
    reference: Mapping[str, int], current: Mapping[str, int], design_effect: float = 1.0
) -> dict[str, ActionShareChange]:
    """Return the actions whose share has changed: by `LEAST_RATIO`, and by `STANDARD_ERRORS` of two proportions.

    Both map actions to counts of decisions. Decisions on a card's payments are alike, which multiplies the variance of
    a share by `design_effect` (Kish, "Survey sampling", 1965). Nothing has changed where one side has no decision.

    >>> action_share_changes({"approve": 9_900, "decline": 100}, {"approve": 9_500, "decline": 500})
    {'decline': ActionShareChange(reference=0.01, current=0.05)}
    """
    before, now = sum(reference.values()), sum(current.values())
    if not before or not now:
        return {}
    changes = {}
    for action in sorted({*reference, *current}):
        was, is_now = reference.get(action, 0) / before, current.get(action, 0) / now
        pooled = (reference.get(action, 0) + current.get(action, 0)) / (before + now)
        error = math.sqrt(design_effect * pooled * (1.0 - pooled) * (1.0 / before + 1.0 / now))
        least, most = sorted((was, is_now))
        if most >= LEAST_RATIO * least and most > least and most - least >= STANDARD_ERRORS * error:
            changes[action] = ActionShareChange(reference=was, current=is_now)
    return changes
