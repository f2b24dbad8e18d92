"""The truth about archived transactions is simulated again from the plan of the stack."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec
import pyarrow as pa
from msgspec import structs

from adapters.runtime.settings import read_settings
from cardwatch.simulation.emitter import transaction_id
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import Simulation
from cardwatch.simulation.transaction_array import Typology
from cli.whatif.truth import truth_of_stack

WORLD = SimulationSettings(seed=3, cards=60, fraud_share=0.05)
LAST = WORLD.first_day + timedelta(days=2)


def test_the_typology_of_each_transaction_is_that_of_the_planned_world(tmp_path: Path) -> None:
    settings = read_settings({}, home=tmp_path)
    assert truth_of_stack(settings, LAST) is None
    (tmp_path / "plan.json").write_bytes(msgspec.json.encode({"world": WORLD, "live_days": 3}))
    truth = truth_of_stack(settings, LAST)
    assert truth is not None
    simulation = Simulation(WORLD)
    rows = [simulation.simulate_day(number).transactions for number in range(3)][2]
    decisions = pa.table({
        "transaction_id": [transaction_id(2, number) for number in rows["number"].tolist()] + ["by-hand"],
        "amount_minor": [*rows["amount_minor"].tolist(), 500],
    })  # fmt: skip
    assert truth.of(decisions).tolist() == [*rows["typology"].tolist(), -1]
    assert truth.is_fraud[Typology.SKIMMING] and not truth.is_fraud[Typology.FRIENDLY_FRAUD]
    # Ids are the same in every world, so another amount is a transaction of another one.
    dearer = decisions.set_column(1, "amount_minor", pa.array([1_000_000_000] * len(decisions)))
    assert set(truth.of(dearer).tolist()) == {-1}


def test_fraudsters_who_react_have_no_truth_that_can_be_simulated_again(tmp_path: Path) -> None:
    world = structs.replace(WORLD, reacting_fraudsters=True)
    (tmp_path / "plan.json").write_bytes(msgspec.json.encode({"world": world}))
    assert truth_of_stack(read_settings({}, home=tmp_path), LAST) is None
