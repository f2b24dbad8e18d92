"""`cardwatch send --preset`: payments of the simulated world with a chosen card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import uuid4

from adapters.local_stack.simulated_world import simulated_world
from adapters.runtime.settings import Settings
from cardwatch.errors import Misconfigured
from cardwatch.events import Transaction
from cardwatch.simulation.presets import PresetBuilder
from cli.decisions.following import newest_event_time
from cli.send.fields import event_time_from_option

_FIELDS: Final = ("card_id", "occurred_at")
"""The fields that may be given with a preset; all others follow from it."""


def preset_transactions(settings: Settings, name: str, given: Mapping[str, str], seed: int) -> list[Transaction]:
    """Return the payments of a preset, at the newest event time of the running system unless one is given.

    Raises `Misconfigured` for an unknown preset, and if a field is missing or none of a preset's.
    """
    if others := [field for field in given if field not in _FIELDS]:
        raise Misconfigured(
            f"--preset sets --{others[0].replace('_', '-')} itself; only --card-id and --occurred-at are yours"
        )
    if "card_id" not in given:
        raise Misconfigured(
            "--preset needs --card-id: `cardwatch decisions tail --no-follow` shows cards that are in use"
        )
    at = event_time_from_option(given["occurred_at"]) if "occurred_at" in given else newest_event_time(settings.kafka)
    if at is None:
        raise Misconfigured("there is no decision yet, so that the world's time is not known: give --occurred-at")
    return PresetBuilder(simulated_world(settings)).build(
        name, given["card_id"], at, seed=seed, prefix=f"sent-{uuid4().hex[:12]}"
    )
