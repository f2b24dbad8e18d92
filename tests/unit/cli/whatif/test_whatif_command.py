"""`cardwatch whatif`, on an archive of payments that the decision path has decided."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from msgspec import structs

from adapters.archive.writer import ArchiveWriter, decision_row, label_row, transaction_row
from adapters.runtime.policy_file import read_policy_file
from cardwatch.decision.cost_policy import ACTIONS
from cardwatch.decision.decide import Outcome
from cardwatch.decision.folding import FoldedTransactions
from cardwatch.detector.detector import FACTS_FILE, TREES_FILE
from cardwatch.events import Action, Channel, Label, LabelSource
from cardwatch.registry import ModelVersion
from cardwatch.topics import DECISIONS, LABELS, TRANSACTIONS
from cardwatch.warm_up import one_split_detector
from cli.main import main
from tests.recorded_decisions import DAY, NOON, decided, folded_payments, recorded

CURRENT = """
currency = "EUR"
[decision]
challenge_cost_minor = 300
[decision.rates]
JPY = 0.6
[decision.control]
share = 0.5
cap_minor = 50000
[[decision.rules]]
reason = "POLICY_LARGE"
action = "challenge"
else_decline = true
when = [{ name = "amount", at_least = 800 }, { name = "currency", one_of = ["EUR"] }]
"""
OTHER = 'currency = "EUR"\n[decision]\ndecline_cost_minor = 0\nlost_margin = 0\n'
KEY = "a key that only the test knows"
PAYMENTS = 60
FORMER, CHANGED, LABELLED = 3, 7, 12
"""Offsets of a decision of another policy, of one with another action, and of one with a label."""


class Recorded:
    """A home with two days of decisions, and what decided them."""

    def __init__(self, home: Path) -> None:
        random = np.random.default_rng(5)
        self.home = home
        self.policy_file, self.other_file = home / "policy.toml", home / "other.toml"
        self.policy_file.write_text(CURRENT)
        self.other_file.write_text(OTHER)
        self.policy, self.other = (read_policy_file(path).decision for path in (self.policy_file, self.other_file))
        self.folded: FoldedTransactions = folded_payments(
            [
                {
                    "card_id": f"c-{number % 7}",
                    "amount_minor": int(random.integers(100, 100_000)),
                    "currency": ("EUR", "JPY", "XTS")[number % 3],
                    "channel": list(Channel)[number % len(Channel)],
                    "occurred_at": NOON + timedelta(days=number // (PAYMENTS // 2), seconds=number),
                }
                for number in range(PAYMENTS)
            ]
        )
        probabilities = [None if number % 10 == 4 else float(random.random() ** 2) for number in range(PAYMENTS)]
        self.outcomes = decided(self.policy, self.folded, probabilities)
        self.probabilities = [outcome.probability for outcome in self.outcomes]
        self.decisions = recorded(self.policy, self.folded, self.outcomes)

    def write(self) -> None:
        rows = [transaction_row(payment, 0, number) for number, payment in enumerate(self.folded.transactions)]
        label = Label(
            transaction_id=f"t-{LABELLED}",
            card_id="c-4",
            merchant_id="example",
            is_fraud=True,
            effective_at=NOON,
            observed_at=NOON,
            source=LabelSource.CUSTOMER,
        )
        made = [decision_row(decision) for decision in self.decisions]
        with ArchiveWriter(self.home / "archive") as writer:
            writer.write({TRANSACTIONS: rows, DECISIONS: made, LABELS: [label_row(label, 0, 0)]}, {})
            writer.close_day(DAY, "table")
            writer.close_day(DAY + timedelta(days=1), "table")
            writer.close_day(DAY + timedelta(days=9), "table")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    world = Recorded(tmp_path)
    monkeypatch.setenv("CARDWATCH_HOME", str(tmp_path))
    monkeypatch.setenv("CARDWATCH_POLICY_FILE", str(world.policy_file))
    monkeypatch.setenv("CARDWATCH_CONTROL_KEY", KEY)
    return world


def run(*arguments: str, first: str = "2025-03-01", last: str = "2025-03-02") -> Result:
    return CliRunner().invoke(main, ["whatif", "--from", first, "--to", last, *arguments])


def figures(world: Recorded, *arguments: str) -> dict[str, Any]:
    found = run(*arguments, "--json", str(world.home / "whatif.json"))
    assert found.exit_code == 0, found.output
    result: dict[str, Any] = msgspec.json.decode((world.home / "whatif.json").read_bytes())["result"]
    return result


def counts_of(outcomes: list[Outcome]) -> dict[str, float]:
    actions = [outcome.action for outcome in outcomes]
    drawn = sum(outcome.control_propensity is not None for outcome in outcomes)
    return {action.value: float(actions.count(action)) for action in ACTIONS} | {"control": float(drawn)}


def test_the_policy_in_force_reproduces_every_recorded_action(world: Recorded) -> None:
    world.write()
    result = figures(world, "--capacity", "1000")
    assert (result["rows"], result["reproduced"], result["left_out"]) == (PAYMENTS, PAYMENTS, [])
    changes = result["changes"]
    recorded_counts = counts_of(world.outcomes)
    assert recorded_counts["control"] > 0 and None in world.probabilities  # else the test would show less
    assert changes["recorded"]["actions"] == changes["instead"]["actions"] == recorded_counts
    assert result["alert_price_minor"] == 0.0
    assert changes["cost_minor"] == [0.0, 0.0]


def test_another_policy_gives_what_deciding_again_gives(world: Recorded) -> None:
    world.write()
    result = figures(world, "--policy", str(world.other_file))
    again = decided(world.other, world.folded, world.probabilities)
    assert result["changes"]["instead"]["actions"] == counts_of(again) != counts_of(world.outcomes)
    moves = np.zeros((3, 3))
    for before, after in zip(world.outcomes, again, strict=True):
        moves[ACTIONS.index(before.action), ACTIONS.index(after.action)] += 1
    assert result["changes"]["moves"] == moves.tolist()


def test_without_the_key_the_record_tells_what_was_drawn_and_the_new_share_is_an_expectation(
    world: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write()
    monkeypatch.delenv("CARDWATCH_CONTROL_KEY")
    world.other_file.write_text(OTHER + "[decision.control]\nshare = 0.25\ncap_minor = 1e9\n")
    result = figures(world, "--policy", str(world.other_file))
    assert (result["reproduced"], result["expected_control"]) == (PAYMENTS, True)
    declines = counts_of(decided(world.other, world.folded, world.probabilities))["decline"]
    actions = result["changes"]["instead"]["actions"]
    assert (actions["decline"], actions["control"]) == (0.75 * declines, 0.25 * declines)
    assert "The control share is an expectation" in run("--policy", str(world.other_file)).output


def test_another_key_is_named_as_the_reason_for_what_it_draws_differently(
    world: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write()
    monkeypatch.setenv("CARDWATCH_CONTROL_KEY", "another key, as long as needed")
    result = figures(world, "--capacity", "1000")
    assert [left["cause"] for left in result["left_out"]] == ["control_share"]
    assert result["reproduced"] == PAYMENTS - result["left_out"][0]["rows"] < PAYMENTS


def test_decisions_that_are_not_reproduced_are_left_out_and_named(world: Recorded) -> None:
    former = decided(world.other, world.folded, world.probabilities)[FORMER]
    world.decisions[FORMER] = structs.replace(
        world.decisions[FORMER], policy_version=world.other.version, action=former.action, control_propensity=None
    )
    stricter = Action.CHALLENGE if world.decisions[CHANGED].action is Action.APPROVE else Action.APPROVE
    world.decisions[CHANGED] = structs.replace(world.decisions[CHANGED], action=stricter, control_propensity=None)
    world.write()
    result = figures(world, "--capacity", "1000")
    assert result["reproduced"] == PAYMENTS - 2
    by_other = {"cause": "other_policy", "rows": 1, "by_version": {world.other.version: 1}, "first": [[0, FORMER]]}
    differs = {"cause": "action", "rows": 1, "by_version": {world.policy.version: 1}, "first": [[0, CHANGED]]}
    assert result["left_out"] == [by_other, differs]
    told = run("--capacity", "1000").output
    assert "left out: 1 decided by a policy that is not known (name its file with --decided-by)" in told
    assert f"by policy version {world.other.version} 1; first at 0:{FORMER}\n" in told
    assert "the policy that decided gives another action or control share now" in told
    result = figures(world, "--capacity", "1000", "--decided-by", str(world.other_file))
    assert result["left_out"] == [differs]


class OneVersion:
    """A registry with version 2, which takes every row with an amount for fraud."""

    def __init__(self, _url: str) -> None:
        pass

    def version(self, version: str, /) -> ModelVersion | None:
        return ModelVersion(version="2", run_id="", tags={}) if version == "2" else None

    def files(self, _version: ModelVersion, /) -> dict[str, bytes]:
        detector = one_split_detector()
        return {FACTS_FILE: msgspec.json.encode(detector.facts), TREES_FILE: detector._trees.to_bytes()}

    def close(self) -> None:
        pass


def test_another_model_decides_what_a_model_has_decided(world: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    world.write()
    monkeypatch.setattr("adapters.model_registry.mlflow_registry.MlflowRegistry", OneVersion)
    monkeypatch.setenv("CARDWATCH_MLFLOW_URL", "http://registry")
    result = figures(world, "--model", "2")
    certain = [None if probability is None else 1.0 for probability in world.probabilities]
    assert result["changes"]["instead"]["actions"] == counts_of(decided(world.policy, world.folded, certain))
    unknown = run("--model", "3")
    assert (unknown.exit_code, unknown.output) == (2, "cardwatch: the registry has no version 3 of the model\n")


def test_a_capacity_keeps_the_alerts_a_day(world: Recorded) -> None:
    world.write()
    by_rules = sum("POLICY_LARGE" in outcome.reasons for outcome in world.outcomes)
    result = figures(world, "--capacity", str(by_rules))  # of two days, so there is room for as many of the model
    actions = result["changes"]["instead"]["actions"]
    assert result["alert_price_minor"] > 0.0
    assert actions["challenge"] + actions["decline"] <= 2 * by_rules
    priced = structs.replace(world.policy, alert_price_minor=result["alert_price_minor"])
    assert actions == counts_of(decided(priced, world.folded, world.probabilities))


def test_the_truth_is_shown_by_typology(world: Recorded) -> None:
    world.write()
    truth = world.home / "truth.parquet"
    typologies = ["skimming" if number == LABELLED else "genuine" for number in range(PAYMENTS)]
    pq.write_table(pa.table({"transaction_id": [f"t-{i}" for i in range(PAYMENTS)], "typology": typologies}), truth)
    result = figures(world, "--policy", str(world.other_file), "--truth", str(truth))
    [skimming] = result["changes"]["typologies"]
    assert (skimming["typology"], skimming["frauds"]) == ("skimming", 1)
    shown = run("--policy", str(world.other_file), "--truth", str(truth)).output
    assert "in truth" in shown and "skimming" in shown
    assert f"figures in truth are those of {PAYMENTS - PAYMENTS // 3} of {PAYMENTS} transactions" in shown
    others = ["genuine"] * PAYMENTS
    pq.write_table(pa.table({"transaction_id": [f"t-{i}" for i in range(PAYMENTS)], "typology": others}), truth)
    refused = run("--policy", str(world.other_file), "--truth", str(truth))
    assert refused.exit_code == 2 and "is it of another world?" in refused.output


@pytest.mark.parametrize(
    ("arguments", "days", "message"),
    [
        ([], {}, "give one of --policy, --model and --capacity"),
        (["--policy", "policy.toml", "--capacity", "3"], {}, "give one of --policy, --model and --capacity"),
        (["--policy", "nowhere.toml"], {}, "policy file nowhere.toml"),
        (["--model", "3"], {}, "CARDWATCH_MLFLOW_URL is empty"),
        (["--capacity", "3", "--truth", "nowhere.parquet"], {}, "--truth nowhere.parquet: cannot be read"),
        (["--capacity", "3"], {"first": "2025-03-10", "last": "2025-03-10"}, "the archive has no decisions"),
        (["--capacity", "3"], {"last": "2025-03-03"}, "2025-03-03 is not closed: the archive's closed days are"),
        (["--capacity", "3"], {"first": "2025-03-03"}, "2025-03-03 is after --to 2025-03-02"),
        (["--capacity", "3"], {"first": "March"}, "'March' does not match"),
    ],
)
def test_what_cannot_be_replayed_is_refused_with_the_reason(
    world: Recorded, arguments: list[str], days: dict[str, str], message: str
) -> None:
    world.write()
    found = run(*arguments, **days)
    assert found.exit_code == 2
    assert message in " ".join(found.output.split())


def test_without_an_archive_the_command_says_so(world: Recorded) -> None:
    found = run("--capacity", "3")
    assert found.exit_code == 2
    assert "there is no archive" in found.output
