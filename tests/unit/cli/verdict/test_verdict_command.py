"""`cardwatch verdict` as a user types it."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from adapters.model_registry.verdict_bundle import VERDICT_FILE, VerdictBundle
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.promotion.gate import judge
from cardwatch.promotion.policy import PromotionPolicy
from cardwatch.registry import digest_of
from cli.main import main
from tests.judged_evidence import evidence, inputs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = evidence()
    facts, decision, promotion = inputs(rows), DecisionPolicy(), PromotionPolicy()
    report = judge(rows, facts, decision=decision, promotion=promotion)
    bundle = VerdictBundle(evidence=rows, inputs=facts, decision=decision, promotion=promotion, report=report)
    for name, content in bundle.files().items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["verdict", *arguments])
    return result.exit_code, result.output


def test_show_prints_the_result_the_reasons_and_the_slices(folder: Path) -> None:
    code, output = run("show", str(folder))

    assert code == 0
    assert output.startswith(f"PROMOTED: model {'c' * 12} against version 1\n")
    assert "judged on 1,200 transactions, at least 1,000 are needed" in output
    assert "channel: atm" in output
    assert "saved of the cost of baseline rules: 0." in output


def test_check_of_an_intact_bundle_says_that_the_verdict_follows(folder: Path) -> None:
    digest = digest_of({path.name: path.read_bytes() for path in folder.iterdir()})

    code, output = run("check", str(folder), "--digest", digest)
    assert (code, output) == (0, f"The verdict follows from its rows and its policy. Digest of the bundle: {digest}\n")


def test_check_of_a_changed_bundle_says_what_differs_and_fails(folder: Path) -> None:
    path = folder / VERDICT_FILE
    path.write_bytes(path.read_bytes().replace(b'"promoted": true', b'"promoted": false'))

    code, output = run("check", str(folder))
    assert code == 1
    assert output.splitlines() == [
        "verdict.json was changed after the verdict",
        "verdict.verdict.promoted: the bundle says False, its rows give True",
    ]


def test_a_folder_without_a_bundle_is_refused(tmp_path: Path) -> None:
    code, output = run("check", str(tmp_path))

    assert code == 1
    assert "has no manifest.json: it is not the bundle of a verdict" in output
