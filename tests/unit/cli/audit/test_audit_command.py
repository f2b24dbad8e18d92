"""`cardwatch audit` as a user types it, over an archive and a folder with one of the two models that decided."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from adapters.move_log.sql import SqlMoveLog
from adapters.runtime.ports import LOOPBACK, free_ports
from cardwatch.events import Action, Decision
from cardwatch.features.definitions import FEATURES
from cardwatch.ladder.mover import Mover
from cardwatch.ladder.moves import MoveKind
from cardwatch.ladder.stage_verdict import StageCheck, StageVerdict
from cardwatch.topics import DECISIONS
from cli.main import main
from tests.audited_world import FIRST_DECIDED, KEY, LAST_DAY, OUTAGE_DAY, WORLD, AuditedWorld, change_rows
from tests.ladders import MemoryProjection

WHOLE_RANGE = f"{FIRST_DECIDED}..{LAST_DAY}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> AuditedWorld:
    world = AuditedWorld(tmp_path_factory.mktemp("audited"))
    world.write_model_folder(world.home / "model", "1")
    return world


@pytest.fixture
def world(made: AuditedWorld, monkeypatch: pytest.MonkeyPatch) -> AuditedWorld:
    monkeypatch.setenv("CARDWATCH_HOME", str(made.home))
    monkeypatch.setenv("CARDWATCH_POLICY_FILE", str(made.policy_file))
    monkeypatch.setenv("CARDWATCH_CONTROL_KEY", KEY)
    monkeypatch.setenv("CARDWATCH_MODEL_FOLDER", str(made.home / "model"))
    return made


@pytest.fixture
def changed(world: AuditedWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the home that a test may change."""
    home = tmp_path / "home"
    shutil.copytree(world.home, home)
    monkeypatch.setenv("CARDWATCH_HOME", str(home))
    return home


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["audit", *arguments])


def ok(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def id_of(world: AuditedWorld, where: Callable[[Decision], bool]) -> str:
    return next(each for each in world.decisions if where(each)).transaction.transaction_id


def declined(world: AuditedWorld) -> str:
    return id_of(world, lambda each: each.model_version == "1" and each.action is Action.DECLINE)


def test_a_decision_is_shown_with_its_checks_its_reasons_and_where_its_model_comes_from(world: AuditedWorld) -> None:
    name = declined(world)
    decision = next(each for each in world.decisions if each.transaction.transaction_id == name)
    text = ok(name)
    assert text.startswith(
        f"{name}: Reproduced to the bit: 13 checks equal, 0 differences; 1 check could not be made\n"
    )
    assert f"transactions[{decision.partition}] {decision.offset}" in text
    assert f"policy          {world.policy.version}, found in policy file {world.policy_file}" in text
    assert "not checked: shadow: the registry does not have version 2 (any more)" in text
    for code in decision.reasons:
        assert f"  {code}, by the model: " in text
    assert " of the margin\n" in text
    assert "made to decide by      the registry does not record who set the alias" in text


def test_the_result_as_json_has_the_record_every_check_and_every_feature(world: AuditedWorld) -> None:
    name = declined(world)
    found = msgspec.json.decode(ok(name, "--json"))
    decision = next(each for each in world.decisions if each.transaction.transaction_id == name)
    assert (found["transaction_id"], found["record"]["action"]) == (name, "decline")
    assert found["record"]["probability"] == decision.probability
    assert [check["status"] for check in found["checks"]].count("equal") == 13
    assert [each["recorded"] for each in found["features"]] == pytest.approx(decision.features, nan_ok=True)
    assert all(each["recorded"] == each["replayed"] and each["is_equal"] for each in found["features"])
    shares = sum(each["contribution"] for each in found["features"])
    assert found["expected_margin"] + shares == pytest.approx(decision.margin, abs=1e-4)
    assert [reason["code"] for reason in found["reasons"]] == decision.reasons
    for reason in found["reasons"]:
        assert reason["values"], reason["code"]


def test_a_decision_of_the_rules_needs_no_model_and_says_what_cannot_be_known(
    world: AuditedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CARDWATCH_MODEL_FOLDER")
    text = ok(id_of(world, lambda each: each.degraded_reason == "no answer within 250 ms"))
    assert "approve, by rules: no answer within 250 ms" in text
    assert "not checked: degraded: only the record tells what failed at that moment" in text
    by_rule = id_of(world, lambda each: "RULE_ALL_NEW" in each.reasons)
    assert "  RULE_ALL_NEW, by a degraded rule: rule: device, merchant and country are all new to the card\n" in ok(
        by_rule
    )
    assert "    merchant_is_new = 1 0 or 1, = 1\n" in ok(by_rule)


def test_a_rule_of_the_policy_file_is_shown_with_the_values_that_it_names(world: AuditedWorld) -> None:
    text = ok(id_of(world, lambda each: "POLICY_CASH" in each.reasons and each.degraded))
    assert "  POLICY_CASH, by a rule of the policy file: a rule of the policy file\n" in text
    assert "    channel = atm, one of atm\n    currency = JPY, one of JPY\n" in text


def test_a_difference_is_shown_and_ends_with_status_1(world: AuditedWorld, changed: Path) -> None:
    name = declined(world)
    number = change_rows(
        changed / "archive",
        DECISIONS,
        lambda row: row["transaction_id"] == name,
        lambda row: row.update(action="approve"),
    )
    assert number == 1
    result = run(name)
    assert result.exit_code == 1
    assert f"{name}: 1 difference, 12 checks equal" in result.output
    assert "DIFFERENT: action\n  recorded: approve\n  computed: decline\n" in result.output


def test_replayed_features_that_give_the_recorded_score_say_that_the_record_was_changed(
    world: AuditedWorld, changed: Path
) -> None:
    name = declined(world)
    change_rows(
        changed / "archive",
        DECISIONS,
        lambda row: row["transaction_id"] == name,
        lambda row: row.update(features=[1.0] * len(FEATURES)),
    )
    result = run(name)
    assert result.exit_code == 1
    assert "which is the recorded one: so it was them that the model scored" in result.output


def test_a_range_counts_every_check(world: AuditedWorld) -> None:
    text = ok("--range", WHOLE_RANGE)
    assert f"{FIRST_DECIDED} to {LAST_DAY}: {len(world.decisions):,} decisions audited, 0 differences" in text
    by_second = sum(each.model_version == "2" for each in world.decisions)
    assert f"not checked: margin, {by_second:,} decisions: the registry does not have version 2 (any more)" in text
    found = msgspec.json.decode(ok("--range", str(OUTAGE_DAY), "--json"))
    assert (found["first_day"], found["last_day"]) == (str(OUTAGE_DAY), str(OUTAGE_DAY))
    of_day = [each for each in world.decisions if each.transaction.occurred_at.date() == OUTAGE_DAY]
    assert found["counts"]["decisions"] == found["counts"]["degraded"] == len(of_day)
    assert found["replayed"] > len(of_day)  # the history before it, too


def test_a_range_with_differences_names_the_first_of_each_kind_and_ends_with_status_1(
    world: AuditedWorld, changed: Path
) -> None:
    number = change_rows(
        changed / "archive",
        DECISIONS,
        lambda row: row["model_version"] == "1",
        lambda row: row.update(margin=row["margin"] + 1.0),
    )
    page = changed / "days.html"
    result = run("--range", WHOLE_RANGE, "--as-html", str(page))
    assert result.exit_code == 1
    assert f"{len(world.decisions):,} decisions audited, {number:,} differences" in result.output
    assert f"DIFFERENT: margin, {number:,} decisions; the first:" in result.output
    shown = page.read_text(encoding="utf-8")
    assert f"margin: {number:,} decisions, the first" in shown
    first = next(each for each in world.decisions if each.model_version == "1")
    assert first.transaction.transaction_id in shown


def test_the_move_log_says_who_made_a_model_decide_and_by_which_verdict(world: AuditedWorld, changed: Path) -> None:
    """Decisions were made in November 2023: version 1 was promoted before, and again in January 2024."""
    projection = MemoryProjection()
    projection.versions = {each: found for each in ("1", "2") if (found := world.registry.version(each))}
    times = iter([1_690_000_000_000, 1_695_000_000_000, 1_704_067_200_000, 1_704_067_200_000, 1_704_153_600_000])
    mover = Mover(SqlMoveLog(changed), projection, lambda: next(times))
    evidence = StageVerdict(checks=[StageCheck(name="rows", passed=True, sentence="900 decisions")], rows=900)
    mover.move(MoveKind.CHALLENGE, "1", actor="flow run 17", reason="its offline verdict has passed")
    mover.move(MoveKind.PROMOTE, "1", actor="ada", reason="it found more fraud", evidence=evidence)
    mover.move(MoveKind.CHALLENGE, "2", actor="flow run 18", reason="its offline verdict has passed")
    mover.move(MoveKind.PROMOTE, "2", actor="grace", reason="trained on newer days")
    mover.move(MoveKind.ROLLBACK, "1", actor="ada", reason="version 2 challenged too many")
    text = ok(declined(world))
    assert "made to decide by      ada, with move 2 (promote)\n" in text
    assert "on                     2023-09-18 01:20:00 UTC\n  why                    it found more fraud\n" in text
    assert (
        "    move 2, 2023-09-18 01:20:00 UTC: promote, by ada: it found more fraud\n      passed: 900 decisions\n"
        in text
    )
    assert "move 5, 2024-01-02 00:00:00 UTC: rollback, by ada: version 2 challenged too many" in text
    page = changed / "audit.html"
    ok(declined(world), "--as-html", str(page))
    assert "Moves of version 1 on the ladder" in page.read_text(encoding="utf-8")

    with closing(sqlite3.connect(changed / "moves.sqlite")) as database, database:
        database.execute(
            "UPDATE model_moves SET content = CAST(replace(content, 'ada', 'eve') AS BLOB) WHERE number = 2"
        )
    result = run(declined(world))
    assert result.exit_code == 1
    assert "DIFFERENT: the log of moves was changed: move 3 does not follow from those before it" in result.output


def test_decision_is_meant_without_a_sub_command_and_can_be_written(world: AuditedWorld) -> None:
    name = declined(world)
    assert ok("decision", name, "--json").partition('"record"')[2] == ok(name, "--json").partition('"record"')[2]
    result = run("decision", "decision")
    assert result.exit_code == 1
    assert "has no decision about a transaction 'decision'" in result.output
    assert "give the id of a transaction, or --range" in run("decision").output
    assert "Usage" in run("--help").output


def test_a_former_policy_is_found_by_its_version(world: AuditedWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    other = world.home / "other.toml"
    other.write_text('currency = "EUR"\n')
    monkeypatch.setenv("CARDWATCH_POLICY_FILE", str(other))
    name = declined(world)
    text = ok(name)
    assert f"not checked: action: policy {world.policy.version} is not at hand: name its file with --decided-by" in text
    text = ok(name, "--decided-by", str(world.policy_file))
    assert f"found in policy file {world.policy_file}" in text
    assert "not checked: action" not in text


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "Usage"),
        (("t-1", "--range", "2025-01-13"), 2, "give the id of a transaction, or --range"),
        (("--range", "March"), 2, "is neither a day nor a range of days like 2025-03-01..2025-03-07"),
        (("--range", "2025-01-14..2025-01-13"), 2, "2025-01-14 is after 2025-01-13"),
        (("--range", f"{FIRST_DECIDED}..2025-03-01"), 2, f"archive's closed days are {WORLD.first_day} to {LAST_DAY}"),
        (("--range", str(WORLD.first_day)), 2, "the archive has no decisions on transactions of these days"),
        (("nobody",), 1, "has no decision about a transaction 'nobody'. The topics were not asked"),
        (("t-1", "--decided-by", "nowhere.toml"), 2, "policy file nowhere.toml"),
    ],
)
def test_what_cannot_be_audited_is_refused_with_the_reason(
    world: AuditedWorld, arguments: tuple[str, ...], code: int, message: str
) -> None:
    assert WORLD.first_day.isoformat() == "2025-01-06"  # so the days above are some of the world
    result = run(*arguments)
    assert result.exit_code == code
    assert message in " ".join(result.output.split())


def test_a_transaction_of_the_history_is_said_to_be_one(world: AuditedWorld) -> None:
    table = world.archive.transactions(WORLD.first_day, WORLD.first_day)
    name = str(table["transaction_id"][0].as_py())
    result = run(name)
    assert result.exit_code == 1
    assert "the transaction is in the archived log, at transactions[0] 0, and the first archived decision of this" in (
        " ".join(result.output.split())
    )
    assert "it is history, which was not decided" in result.output


def test_a_registry_that_is_missing_or_down_is_named_with_the_remedy(
    world: AuditedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CARDWATCH_MODEL_FOLDER")
    missing = run(declined(world))
    assert missing.exit_code == 2
    assert "CARDWATCH_MLFLOW_URL is empty, and an audit scores with the models of the registry" in missing.output
    [port] = free_ports(1)
    monkeypatch.setenv("CARDWATCH_MLFLOW_URL", f"http://{LOOPBACK}:{port}")
    down = run(declined(world))
    assert down.exit_code == 1
    assert f"the model registry at http://{LOOPBACK}:{port} does not answer" in down.output
    assert "start it (`cardwatch up` starts that of the local stack, with its data)" in down.output


def test_without_an_archive_the_command_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARDWATCH_HOME", str(tmp_path))
    result = run("t-1")
    assert result.exit_code == 2
    assert f"{tmp_path / 'archive'}: there is no archive" in result.output


class Elements(HTMLParser):
    """The elements of a page: tags, what they refer to, and levels of headings in their order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.referred: list[str] = []
        self.headings: list[int] = []
        self.headers_without_scope = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found: dict[str, Any] = dict(attrs)
        self.referred += [str(found[name]) for name in ("src", "href") if name in found]
        if tag in {"h1", "h2", "h3"}:
            self.headings.append(int(tag[1]))
        self.headers_without_scope += tag == "th" and "scope" not in found


@pytest.mark.parametrize("arguments", [("declined",), ("--range", WHOLE_RANGE)], ids=["decision", "days"])
def test_the_page_is_one_file_that_refers_to_nothing_and_is_marked_up_for_everybody(
    world: AuditedWorld, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    page = tmp_path / "audit.html"
    ok(*(declined(world) if each == "declined" else each for each in arguments), "--as-html", str(page))
    text = page.read_text(encoding="utf-8")
    elements = Elements(text)
    assert elements.referred == []
    assert not {"script", "link", "img", "iframe"} & set(elements.tags)
    assert "@import" not in text and "url(" not in text
    assert elements.headings[0] == 1 and elements.headings.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(elements.headings, elements.headings[1:], strict=False))
    assert elements.headers_without_scope == 0
    assert 'lang="en"' in text and "<title>Audit of " in text
    assert "prefers-color-scheme: dark" in text and "@media print" in text


def test_texts_of_others_do_not_become_markup_or_commands_of_a_terminal(world: AuditedWorld, changed: Path) -> None:
    name = declined(world)
    change_rows(
        changed / "archive",
        DECISIONS,
        lambda row: row["transaction_id"] == name,
        lambda row: row.update(merchant_id="<b>shop\x1b[2J"),
    )
    page = changed / "audit.html"
    result = run(name, "--as-html", str(page))
    assert "merchant_id <b>shop\\x1b[2J" in result.output and "\x1b" not in result.output
    assert "&lt;b&gt;shop" in page.read_text(encoding="utf-8")
    assert "<b>" not in page.read_text(encoding="utf-8")
