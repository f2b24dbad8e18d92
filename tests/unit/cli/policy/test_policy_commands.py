"""`cardwatch policy`, on an archive of a few decisions."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from msgspec import structs

from adapters.archive.reader import Archive
from adapters.archive.writer import ArchiveWriter, decision_row, transaction_row
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.detector.detector import FACTS_FILE, TREES_FILE
from cardwatch.errors import Misconfigured
from cardwatch.events import Action, Channel
from cardwatch.registry import ModelVersion
from cardwatch.topics import DECISIONS, TRANSACTIONS
from cardwatch.warm_up import one_split_detector
from cli.main import main
from cli.policy.decided_rows import read_decided_rows, rescored
from cli.policy.text import capacity_lines
from tests.unit.services.records_of_others import DAY, DECISION, PAYMENT

AMOUNTS = (100_000, 50_000, 20_000, 10_000)
"""Of four online payments with a probability of 0.5; each saves 0.45 of its amount less half a challenge."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CARDWATCH_HOME", str(tmp_path))
    monkeypatch.delenv("CARDWATCH_POLICY_FILE", raising=False)
    payments = [
        structs.replace(PAYMENT, transaction_id=f"t-{i}", amount_minor=amount, channel=Channel.ECOMMERCE)
        for i, amount in enumerate(AMOUNTS)
    ]
    payments.append(structs.replace(payments[0], transaction_id="t-yen", currency="JPY"))
    decisions = [
        structs.replace(DECISION, transaction=payment, offset=i, sequence=i) for i, payment in enumerate(payments)
    ]
    decisions[3] = structs.replace(decisions[3], control_propensity=0.5)
    by_rules = structs.replace(DECISION, offset=9, probability=None, margin=None, degraded=True)
    with ArchiveWriter(tmp_path / "archive") as writer:
        rows = [transaction_row(payment, 0, i) for i, payment in enumerate(payments)]
        rows.append(transaction_row(PAYMENT, 0, 9))
        decided = [decision_row(decision) for decision in [*decisions, by_rules]]
        writer.write({TRANSACTIONS: rows, DECISIONS: decided}, {})
        writer.close_day(DAY, "table")
    return tmp_path


class OneVersion:
    """A registry with version 2, which takes every row with an amount for fraud."""

    def version(self, version: str, /) -> ModelVersion | None:
        return ModelVersion(version="2", run_id="", tags={}) if version == "2" else None

    def files(self, _version: ModelVersion, /) -> dict[str, bytes]:
        detector = one_split_detector()
        return {FACTS_FILE: msgspec.json.encode(detector.facts), TREES_FILE: detector._trees.to_bytes()}


POLICY = 'currency = "EUR"\n[decision]\ndecline_cost_minor = 1e9\n'
RULE = '[[decision.rules]]\nreason = "POLICY_HALF"\naction = "decline"\nwhen = [{ name = "amount", below = 1 }]\n'


def run(home: Path, content: str, *arguments: str) -> list[str]:
    (home / "policy.toml").write_text(content)
    found = CliRunner().invoke(main, ["policy", *arguments, "--file", str(home / "policy.toml")])
    assert found.exit_code == 0, found.output
    return found.output.splitlines()


def test_the_version_is_the_one_that_decisions_record(home: Path) -> None:
    expected = DecisionPolicy(currency="EUR", decline_cost_minor=1e9).version
    assert run(home, POLICY, "check") == [f"version {expected}"]


def test_the_price_of_an_alert_keeps_the_capacity(home: Path) -> None:
    # Of four alerts two are wanted. The third saves 0.45 * 20000 - 50 = 8950.
    about, alerts, line = run(home, POLICY, "capacity", "2")
    assert about == "4 decisions of the model on 1 days; 2 others are left out"
    assert alerts.startswith("alerts a day: 4.0 at no price, 2.0 at this one;")
    assert float(line.partition(" = ")[2]) == pytest.approx(8_950)
    priced = run(home, POLICY + line + "\n", "report")
    assert "challenge by costs: 2.0 a day" in priced
    assert run(home, POLICY, "capacity", "4")[-1] == "alert_price_minor = 0.0"


def test_a_challenger_has_a_price_of_its_own_before_it_is_promoted(home: Path) -> None:
    archive, policy = Archive(home / "archive"), DecisionPolicy(currency="EUR", decline_cost_minor=1e9)
    rows = read_decided_rows(archive, policy, 7)
    found = rescored(rows, OneVersion(), "2")
    # It is certain, so declining costs nothing: the third alert saves its amount instead of 0.45 * 20000 - 50.
    assert (rows.probabilities.tolist(), found.probabilities.tolist()) == ([0.5] * 4, [1.0] * 4)
    assert float(capacity_lines(policy, found, 2)[-1].partition(" = ")[2]) == pytest.approx(20_000)
    with pytest.raises(Misconfigured, match="no version 3"):
        rescored(rows, OneVersion(), "3")
    (home / "policy.toml").write_text(POLICY)
    arguments = ["policy", "capacity", "2", "--model", "2", "--file", str(home / "policy.toml")]
    told = CliRunner().invoke(main, arguments)
    assert told.exit_code == 2 and "CARDWATCH_MLFLOW_URL is empty" in told.output


def test_a_report_counts_actions_hits_of_rules_and_the_control_share(home: Path) -> None:
    # Every row has 0.5 as its amount feature, so the rule holds for all. The control row costs 5000 if approved.
    lines = run(home, POLICY + RULE, "report")
    assert "challenge by costs: 4.0 a day" in lines
    assert "POLICY_HALF: 4.0 a day, of which costs alone would approve 0.0" in lines
    assert lines[-1].startswith("control share: 1 approved, expected loss 5,000 minor units of EUR, ")


def test_alerts_that_rules_raise_use_up_the_capacity(home: Path) -> None:
    assert "rules of the policy file raise 4.0 of them" in run(home, POLICY + RULE, "capacity", "2")[1]


def test_without_decisions_of_the_model_the_command_says_so(home: Path) -> None:
    (home / "policy.toml").write_text('currency = "USD"\n')
    found = CliRunner().invoke(main, ["policy", "report", "--file", str(home / "policy.toml")])
    assert found.exit_code == 2
    assert "no decision of the model" in found.output
    assert Action.APPROVE.value not in found.output
