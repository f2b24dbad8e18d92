"""Labels after decisions: what each action lets the bank learn."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec import structs

from cardwatch.events import Action, LabelSource
from cardwatch.simulation.faults import DuplicatedRecords
from cardwatch.simulation.label_array import SOURCES, LabelArray
from cardwatch.simulation.label_settings import LabelSettings
from cardwatch.simulation.labels import simulate_labels
from cardwatch.simulation.selection import (
    APPROVE,
    CHALLENGE,
    DECLINE,
    Actions,
    SelectionSettings,
    select_labels,
)
from cardwatch.simulation.settings import SimulationSettings
from cardwatch.simulation.simulation import SimulatedDay, Simulation
from cardwatch.simulation.transaction_array import DAY_MS, TransactionArray, Typology, transaction_array

COUNT = 20_000
CUSTOMER, INVESTIGATOR = SOURCES.index(LabelSource.CUSTOMER), SOURCES.index(LabelSource.INVESTIGATOR)
WORLD = SimulationSettings(seed=3, cards=300, fraud_share=0.05, labels=LabelSettings(selection=SelectionSettings()))


def payments(typology: Typology, count: int = COUNT) -> TransactionArray:
    made = transaction_array(
        occurred_at_ms=np.arange(count),
        amount_minor=1_000 + np.arange(count),
        card=np.arange(count),
        merchant=np.arange(count),
        device=1,
        channel=3,
    )
    made["typology"] = typology
    return made


def labelled(typology: Typology, action: int, settings: SelectionSettings, count: int = COUNT) -> LabelArray:
    transactions = payments(typology, count)
    rng, more, selected = (np.random.default_rng(seed) for seed in (1, 2, 3))
    reports = simulate_labels(rng, more, 0, transactions, LabelSettings())
    return select_labels(selected, 0, transactions, np.full(count, action, np.int8), reports, settings)


def days_of(labels: LabelArray) -> np.ndarray:
    return (labels["observed_at_ms"] - labels["effective_at_ms"]) / DAY_MS


def test_the_codes_of_actions_are_their_positions() -> None:
    assert [list(Action)[code].value for code in (APPROVE, CHALLENGE, DECLINE)] == ["approve", "challenge", "decline"]


@pytest.mark.parametrize("typology", list(Typology))
def test_approved_transactions_are_labelled_as_without_decisions(typology: Typology) -> None:
    usual = simulate_labels(np.random.default_rng(1), np.random.default_rng(2), 0, payments(typology), LabelSettings())
    assert np.array_equal(labelled(typology, APPROVE, SelectionSettings()), usual)


def test_fraud_that_fails_a_challenge_is_known_within_a_day_and_the_rest_is_reported_as_usual() -> None:
    found = labelled(Typology.SKIMMING, CHALLENGE, SelectionSettings(challenge_stops_fraud=0.9))
    usual = labelled(Typology.SKIMMING, APPROVE, SelectionSettings())
    late = ~np.isin(found, usual)
    assert late.sum() / COUNT == pytest.approx(0.9, abs=0.01)
    assert days_of(found[late]).max() < 1.0 and found["is_fraud"].all()
    assert len(np.unique(found["number"])) == COUNT == len(found)


@pytest.mark.parametrize("typology", [Typology.GENUINE, Typology.BUST_OUT, Typology.FRIENDLY_FRAUD])
def test_holders_pass_challenges(typology: Typology) -> None:
    settings = SelectionSettings(challenge_stops_fraud=1.0)
    assert np.array_equal(labelled(typology, CHALLENGE, settings), labelled(typology, APPROVE, settings))


@pytest.mark.parametrize(("typology", "is_fraud"), [(Typology.GENUINE, False), (Typology.SKIMMING, True)])
def test_a_share_of_the_declined_is_answered_truly_within_a_day_and_the_rest_never_labelled(
    typology: Typology, is_fraud: bool
) -> None:
    found = labelled(typology, DECLINE, SelectionSettings(confirmed_share=0.6))
    assert len(found) / COUNT == pytest.approx(0.6, abs=0.01)
    assert (found["is_fraud"] == is_fraud).all() and (found["source"] == CUSTOMER).all()
    assert days_of(found).min() > 0.0 and days_of(found).max() < 1.0


def test_without_answers_and_investigations_nothing_is_learned_of_declined_transactions() -> None:
    nothing = SelectionSettings(confirmed_share=0.0)
    for typology in Typology:
        assert len(labelled(typology, DECLINE, nothing)) == 0


def test_holders_answer_no_question_about_their_own_fraud() -> None:
    for typology in (Typology.BUST_OUT, Typology.FRIENDLY_FRAUD):
        assert len(labelled(typology, DECLINE, SelectionSettings(confirmed_share=1.0))) == 0


def test_investigators_check_the_largest_declined_amounts_that_nobody_answered_for() -> None:
    settings = SelectionSettings(confirmed_share=0.0, investigations_per_day=3)
    found = labelled(Typology.BUST_OUT, DECLINE, settings, count=10)
    assert sorted(found["number"].tolist()) == [7, 8, 9]  # amounts grow with the number
    assert (found["source"] == INVESTIGATOR).all() and found["is_fraud"].all()
    both = SelectionSettings(confirmed_share=0.6, investigations_per_day=3)
    answered = labelled(Typology.SKIMMING, DECLINE, structs.replace(both, investigations_per_day=0), count=10)
    more = labelled(Typology.SKIMMING, DECLINE, both, count=10)
    silent = sorted(set(range(10)) - set(answered["number"].tolist()))
    assert sorted(set(more["number"].tolist()) - set(answered["number"].tolist())) == silent[-3:]


def test_a_decision_changes_only_the_labels_of_its_transaction() -> None:
    transactions = payments(Typology.SKIMMING, 1_000)
    reports = simulate_labels(np.random.default_rng(1), np.random.default_rng(2), 0, transactions, LabelSettings())
    actions = np.random.default_rng(4).integers(0, 3, 1_000).astype(np.int8)
    other = actions.copy()
    other[500] = (other[500] + 1) % 3

    def chosen(of: Actions) -> list[tuple[object, ...]]:
        found = select_labels(np.random.default_rng(3), 0, transactions, of, reports, SelectionSettings())
        return sorted(label for label in found.tolist() if label[3] != 500)

    assert chosen(actions) == chosen(other)


def test_more_answers_only_add_labels() -> None:
    few, many = (labelled(Typology.SKIMMING, DECLINE, SelectionSettings(confirmed_share=share)) for share in (0.2, 0.7))
    assert np.isin(few, many).all() and len(few) < len(many)


@pytest.mark.parametrize(
    ("settings", "refusal"),
    [
        ({"confirmed_share": 1.1}, "confirmed_share=1.1 must lie in 0..1"),
        ({"challenge_stops_fraud": -0.1}, "challenge_stops_fraud=-0.1"),
        ({"investigations_per_day": -1}, "investigations_per_day=-1"),
    ],
)
def test_values_out_of_range_are_refused(settings: dict[str, float], refusal: str) -> None:
    with pytest.raises(ValueError, match=refusal):
        SelectionSettings(**settings)  # type: ignore[arg-type]


def run(world: SimulationSettings, decide: int | None, days: int = 8) -> list[SimulatedDay]:
    simulation, found = Simulation(world), []
    for number in range(days):
        records = simulation.begin_day(number)
        actions = None if decide is None else np.full(len(records), decide, np.int8)
        found.append(simulation.end_day(actions))
    return found


def observed(days: list[SimulatedDay]) -> bytes:
    return np.concatenate([day.labels for day in days]).tobytes()


def test_a_world_where_all_is_approved_is_the_world_without_decisions() -> None:
    without = structs.replace(WORLD, labels=LabelSettings())
    assert observed(run(WORLD, APPROVE)) == observed(run(WORLD, None)) == observed(run(without, DECLINE))


def test_decisions_change_labels_and_no_transaction() -> None:
    approved, declined = run(WORLD, APPROVE), run(WORLD, DECLINE)
    for one, other in zip(approved, declined, strict=True):
        assert one.transactions.tobytes() == other.transactions.tobytes()
    assert observed(declined) != observed(approved)
    assert observed(declined) == observed(run(WORLD, DECLINE))


def test_labels_arrive_on_the_day_on_which_they_are_observed() -> None:
    start_ms = 20_094 * DAY_MS  # 6 January 2025
    for day in run(WORLD, CHALLENGE):
        assert ((day.labels["observed_at_ms"] - start_ms) // DAY_MS == day.number).all()


def test_of_a_repeated_record_the_first_action_counts() -> None:
    fault = DuplicatedRecords(name="twice", from_day=0, is_harmful=False, share=1.0)
    simulation = Simulation(structs.replace(WORLD, timeline=(fault,)))
    records = simulation.begin_day(0)
    _, first = np.unique(records["number"], return_index=True)
    actions = np.full(len(records), APPROVE, np.int8)
    actions[first] = DECLINE
    assert simulation.end_day(actions).reports.tobytes() == run(WORLD, DECLINE, 1)[0].reports.tobytes()


def test_a_day_ends_before_the_next_one_begins() -> None:
    simulation = Simulation(WORLD)
    with pytest.raises(ValueError, match="no day has begun"):
        simulation.end_day()
    records = simulation.begin_day(0)
    with pytest.raises(ValueError, match="day 0 is next, not 1"):
        simulation.begin_day(1)
    with pytest.raises(ValueError, match=f"day 0 has {len(records)} records"):
        simulation.end_day(np.zeros(1, np.int8))
