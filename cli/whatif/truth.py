"""The simulated truth about archived transactions: from a file, or from the world of the stack that wrote them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from adapters.archive.arrow_columns import codes_with_missing
from adapters.archive.recorded_rows import TruthOfIds
from adapters.runtime.settings import Settings
from cardwatch.decision.what_if import WhatIfRows
from cardwatch.errors import Misconfigured
from cardwatch.label_states import LabelState
from cardwatch.simulation.emitter import transaction_id
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from cardwatch.simulation.transaction_array import Typology

NO_FRAUD: Final = {Typology.GENUINE.name.lower(), Typology.FRIENDLY_FRAUD.name.lower()}
"""Typologies of payments that the holder of the card made."""


def read_truth_file(path: Path) -> TruthOfIds:
    """Return the truth of a file that `cardwatch simulate` has written. Raises `Misconfigured` if it is none."""
    try:
        table = pq.read_table(path, columns=["transaction_id", "typology"])
        names, codes = codes_with_missing(table["typology"])
    except (OSError, pa.ArrowException) as error:
        raise Misconfigured(
            f"--truth {path}: cannot be read as Parquet with transaction_id and typology: {error}"
        ) from error
    return TruthOfIds(
        transaction_ids=table["transaction_id"],
        codes=codes,
        typologies=tuple(names),
        is_fraud=tuple(name not in NO_FRAUD for name in names),
    )


def truth_of_stack(settings: Settings, last: date) -> TruthOfIds | None:
    """Return the truth up to the day `last`, simulated again from the plan of the stack or demo in CARDWATCH_HOME.

    None if there is no plan: then the transactions are not simulated. None for fraudsters who react, too: what they
    did depends on the decisions of the run.
    """
    world = _planned_world(settings)
    if world is None or world.reacting_fraudsters or last < world.first_day:
        return None
    simulation = Simulation(world)
    days = [simulation.simulate_day(number) for number in range((last - world.first_day).days + 1)]
    rows = [day.transactions for day in days]
    ids = [transaction_id(day.number, number) for day in days for number in day.transactions["number"].tolist()]
    names = tuple(typology.name.lower() for typology in Typology)
    return TruthOfIds(
        transaction_ids=pa.array(ids, pa.string()),
        codes=np.concatenate([of_day["typology"] for of_day in rows]).astype(np.int64),
        typologies=names,
        is_fraud=tuple(name not in NO_FRAUD for name in names),
        amounts_minor=np.concatenate([of_day["amount_minor"] for of_day in rows]),
    )


def require_same_world(parts: Sequence[WhatIfRows], truth: TruthOfIds) -> None:
    """Raise `Misconfigured` if most known frauds are genuine in truth: worlds share their transaction ids."""
    reported = [part.typologies[(part.states == LabelState.KNOWN_FRAUD) & (part.typologies >= 0)] for part in parts]
    codes = np.concatenate(reported)
    genuine = [code for code, name in enumerate(truth.typologies) if name == Typology.GENUINE.name.lower()]
    if 2 * np.isin(codes, genuine).sum() > len(codes):
        raise Misconfigured("the truth: most of the known frauds are genuine in it; is it of another world?")


def _planned_world(settings: Settings) -> SimulationSettings | None:
    for path in (settings.home / "run" / "plan.json", settings.home / "plan.json"):
        try:
            plan = msgspec.json.decode(path.read_bytes(), type=dict[str, msgspec.Raw])
            return msgspec.json.decode(plan["world"], type=SimulationSettings)
        except (OSError, KeyError, msgspec.DecodeError):
            continue
    return None
