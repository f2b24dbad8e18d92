"""`cardwatch cases` on an archive; only the broker is not there."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import cli.cases
from adapters.archive.case_store import CaseStore
from adapters.archive.writer import ArchiveWriter, decision_row, transaction_row
from adapters.cases.desk import CaseDesk
from cardwatch.cases.policy import CasePolicy
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.events import Action, Channel, Decision, Label, Transaction
from cardwatch.topics import DECISIONS, TRANSACTIONS
from cli.main import main

NOON = datetime(2025, 1, 6, 12, tzinfo=UTC)
IDS = ("t-0", "2:17", "turned \u202e around")
"""The second looks like a position, the third has a character that a terminal acts on."""


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Label]:
    decided = [
        Decision(
            transaction=Transaction(
                transaction_id=name, card_id="c", merchant_id="m", occurred_at=NOON, amount_minor=10_000 - offset,
                currency="EUR", merchant_category="5732", channel=Channel.ECOMMERCE, country="DE",
            ),
            partition=0, offset=offset, sequence=1, features=[], feature_schema="s", table_id="t", policy_version="p",
            probability=0.5, action=Action.DECLINE, reasons=["DEVICE_IS_NEW"], decided_at=NOON, latency_ms=1.0,
        )
        for offset, name in enumerate(IDS)
    ]  # fmt: skip
    with closing(ArchiveWriter(tmp_path)) as writer:
        paid = [transaction_row(each.transaction, 0, each.offset) for each in decided]
        writer.write({TRANSACTIONS: paid, DECISIONS: [decision_row(each) for each in decided]}, {})
    labels: list[Label] = []
    desk = CaseDesk(
        CaseStore(tmp_path), DecisionPolicy(), CasePolicy(capacity_per_day=2, decline_hours=2), labels.append,
        lambda: NOON + timedelta(hours=3),
    )  # fmt: skip
    monkeypatch.setattr(cli.cases, "_desk", lambda: desk)
    return labels


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["cases", *arguments])


def test_the_queue_is_listed_in_its_order_with_what_is_overdue(written: list[Label]) -> None:
    lines = run("list").stdout.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["0:0", "0:1", "0:2"]
    assert "5,000 minor EUR" in lines[0]
    assert "due 2025-01-06T14:00Z OVERDUE" in lines[0]
    assert "\\u202e" in lines[2]
    assert lines[3] == (
        "3 of 3 shown; in the queue 3 open, 0 assigned, 0 decided, 2 overdue within capacity; capacity 2 a day"
    )
    assert json.loads(run("list", "--json", "--limit", "1").stdout)["total"] == 3
    assert run("list", "--day", "2025-01-05").stdout.startswith("0 of 0 shown")
    assert run("list", "--state", "decided", "--assignee", "anna", "--overdue").stdout.startswith("0 of 0 shown")


def test_a_case_is_assigned_noted_released_and_decided(written: list[Label]) -> None:
    assert "assigned to anna, version 1" in run("assign", "0:0", "--to", "anna", "--as", "chief").stdout
    assert "open, version 2" in run("release", "0:0").stdout
    assert "operator  note: [card number] paid" in run("note", "t-0", "--text", "4111 1111 1111 1111 paid").stdout
    assert written == []
    decided = run("decide", "t-0", "--outcome", "fraud", "--comment", "called")
    assert "decided: fraud by operator, version 5" in decided.stdout
    assert [(label.transaction_id, label.is_fraud) for label in written] == [("t-0", True)]
    again = run("decide", "0:0", "--outcome", "genuine")
    assert (again.exit_code, "is decided (fraud, by 'operator')" in again.stderr) == (1, True)
    assert json.loads(run("show", "0:0", "--json").stdout)["case"]["version"] == 5


def test_a_case_is_named_by_position_or_id(written: list[Label]) -> None:
    assert "transaction t-0" in run("show", "transactions-0-0").stdout
    assert "there is no case at 2:17" in run("show", "2:17").stderr
    assert "case          0:1, transaction 2:17" in run("show", "--id", "2:17").stdout
    assert "no case of a transaction with the id 'nowhere'" in run("show", "nowhere").stderr
    wrong = run("show", "decisions-0-0")
    assert (wrong.exit_code, "is no transaction" in wrong.stderr) == (2, True)


def test_a_name_that_nobody_can_have_is_refused(written: list[Label]) -> None:
    refused = run("assign", "0:0", "--as", "a\nb")
    assert (refused.exit_code, "is no name" in refused.stderr) == (1, True)
