"""Decisions that were really made are reproduced to the bit, and every change of a record is found and named."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from adapters.archive.audit_tables import AuditTables
from adapters.archive.audited_days import read_audited_days
from adapters.archive.audited_decision import find_archived_decision, replay_archived_decision
from adapters.archive.reader import Archive
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.archive.writer import ArchiveWriter, decision_row
from cardwatch.audit.checks import CheckName, CheckStatus
from cardwatch.audit.decision_check import AuditSources, check_decisions
from cardwatch.audit.outcome_checks import NO_KEY, OUTAGE
from cardwatch.audit.outcomes_again import NOT_IN_LOG, OTHER_SCHEMA
from cardwatch.audit.range_tally import RangeCounts, RangeTally
from cardwatch.audit.stored_model import StoredModels
from cardwatch.decision.control_share import ControlSample
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.errors import CardwatchError
from cardwatch.events import Action, Decision
from cardwatch.features.definitions import FEATURE_NAMES, column
from cardwatch.registry import ModelVersions
from cardwatch.topics import DECISIONS, TRANSACTIONS
from stress.memory_registry import MemoryRegistry
from tests.audited_world import FIRST_DECIDED, KEY, LAST_DAY, AuditedWorld, change_rows, write_rows
from tests.former_version import FORMER_SCHEMA, former_model

Row = dict[str, Any]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> AuditedWorld:
    return AuditedWorld(tmp_path_factory.mktemp("audited"))


class Copy:
    """A copy of the world's files that a test may change, and its audit."""

    def __init__(self, world: AuditedWorld, folder: Path) -> None:
        shutil.copytree(world.home / "archive", folder / "archive")
        shutil.copytree(world.home / "tables", folder / "tables")
        self.world, self.archive, self.tables = world, folder / "archive", folder / "tables"

    def change(self, is_changed: Callable[[Row], bool], change: Callable[[Row], None]) -> int:
        return change_rows(self.archive, DECISIONS, is_changed, change)

    def audit(
        self,
        *,
        key: str = KEY,
        policies: dict[str, DecisionPolicy] | None = None,
        models: ModelVersions | None = None,
        batch_rows: int = 500,
    ) -> RangeCounts:
        archive, tables, sources = self._sources(key, policies, models)
        tally = RangeTally()
        for batch in read_audited_days(archive, tables, FIRST_DECIDED, LAST_DAY, batch_rows=batch_rows):
            for part in batch.parts:
                tally.add(part, check_decisions(part, sources))
            tally.add_undecided(batch.undecided)
        return tally.counts()

    def audit_one(self, transaction_id: str, **sources: Any) -> dict[CheckName, tuple[CheckStatus, str, str, str]]:
        archive, tables, found_sources = self._sources(**{"key": KEY, "policies": None, "models": None, **sources})
        found = find_archived_decision(archive, transaction_id)
        assert found is not None
        decision = replay_archived_decision(archive, tables, found)
        checks = [check for each in check_decisions(decision, found_sources) if (check := each.check(0)) is not None]
        return {check.name: (check.status, check.recorded, check.computed, check.why) for check in checks}

    def _sources(
        self, key: str, policies: dict[str, DecisionPolicy] | None, models: ModelVersions | None
    ) -> tuple[Archive, AuditTables, AuditSources]:
        archive, policy = Archive(self.archive), self.world.policy
        tables = AuditTables(ReferenceTableStore(self.tables), archive.closed_days())
        sources = AuditSources(
            models=StoredModels(self.world.registry if models is None else models),
            policies={policy.version: policy} if policies is None else policies,
            tables=tables.stored,
            control=ControlSample(key.encode()) if key else None,
        )
        return archive, tables, sources


@pytest.fixture
def copy(world: AuditedWorld, tmp_path: Path) -> Copy:
    return Copy(world, tmp_path)


def first(decisions: list[Decision], where: Callable[[Decision], bool]) -> Decision:
    return next(decision for decision in decisions if where(decision))


def differences(counts: RangeCounts) -> dict[CheckName, int]:
    return {check.name: check.different for check in counts.checks if check.different}


def unchecked(counts: RangeCounts) -> dict[CheckName, dict[str, int]]:
    return {check.name: check.not_checked for check in counts.checks if check.not_checked}


def test_the_decisions_of_the_world_are_of_every_kind(world: AuditedWorld) -> None:
    """Else the tests below would show less than they say."""
    decisions = world.decisions
    assert {decision.action for decision in decisions} == set(Action)
    assert {decision.model_version for decision in decisions} == {None, "1", "2"}
    assert {decision.shadow_version for decision in decisions} == {None, "1", "2"}
    by_canary = {decision.model_version for decision in decisions if decision.canary_version == "2"}
    assert by_canary == {"1", "2"}
    assert {decision.control_propensity for decision in decisions} == {None, 0.5}
    causes = {(decision.degraded_reason or "").partition(" of ")[0].partition(",")[0] for decision in decisions}
    assert causes == {"", "the reference table", "the policy", "no answer within 250 ms"}
    reasons = {reason for decision in decisions for reason in decision.reasons}
    assert {"POLICY_LARGE", "POLICY_CASH", "RULE_ALL_NEW"} <= reasons


@pytest.mark.parametrize("batch_rows", [64, 100_000])
def test_every_decision_is_reproduced_to_the_bit(world: AuditedWorld, copy: Copy, batch_rows: int) -> None:
    counts = copy.audit(batch_rows=batch_rows)
    decisions = world.decisions
    assert counts.decisions == len(decisions)
    assert (counts.differences, counts.differing, counts.undecided) == (0, 0, 0)
    assert counts.degraded == sum(decision.degraded for decision in decisions)
    assert counts.control == sum(decision.control_propensity is not None for decision in decisions)
    outage = sum(decision.degraded_reason == "no answer within 250 ms" for decision in decisions)
    assert unchecked(counts) == {CheckName.DEGRADED: {OUTAGE: outage}}
    equal = {check.name: check.equal for check in counts.checks}
    scored = sum(decision.margin is not None for decision in decisions)
    assert equal[CheckName.FEATURES] == equal[CheckName.ACTION] == equal[CheckName.REASONS] == len(decisions)
    assert equal[CheckName.MARGIN] == equal[CheckName.PROBABILITY] == equal[CheckName.MODEL] == scored
    assert equal[CheckName.SHADOW] == sum(decision.shadow_version is not None for decision in decisions)
    assert equal[CheckName.CANARY] == sum(decision.canary_version is not None for decision in decisions) > 0
    assert equal[CheckName.CONTROL] > counts.control  # some were asked about and not drawn
    assert counts.models == Counter(decision.model_version or "none" for decision in decisions)


def test_one_decision_is_audited_like_the_decisions_of_a_range(world: AuditedWorld, copy: Copy) -> None:
    kinds = [
        first(world.decisions, lambda each: each.action is Action.DECLINE and each.model_version == "1"),
        first(world.decisions, lambda each: each.control_propensity is not None),
        first(world.decisions, lambda each: "POLICY_CASH" in each.reasons),
        first(world.decisions, lambda each: each.canary_version == each.model_version == "2"),
        first(world.decisions, lambda each: bool(each.degraded_reason) and bool(each.reasons)),
        world.decisions[-1],
    ]
    for decision in kinds:
        checks = copy.audit_one(decision.transaction.transaction_id)
        found = {name: status for name, (status, *_) in checks.items()}
        expected = dict.fromkeys(found, CheckStatus.EQUAL)
        if decision.degraded_reason == "no answer within 250 ms":
            expected[CheckName.DEGRADED] = CheckStatus.NOT_CHECKED
        assert found == expected
        assert (CheckName.MARGIN in found) == (CheckName.MODEL in found) == (decision.margin is not None)
        assert checks[CheckName.SEQUENCE][1] == f"{decision.sequence:,}"


def _feature(row: Row) -> None:
    row["features"][column("count_24h")] = (row["features"][column("count_24h")] or 0.0) + 1.0


def _one_bit_of_the_margin(row: Row) -> None:
    row["margin"] = float(np.nextafter(np.float32(row["margin"]), np.float32(np.inf)))


def _one_bit_of_the_probability(row: Row) -> None:
    row["probability"] = float(np.nextafter(row["probability"], 0.0))


def _set(**values: object) -> Callable[[Row], None]:
    return lambda row: row.update(values)


def _by_model(row: Row) -> bool:
    return row["margin"] is not None


CHANGES: list[tuple[str, Callable[[Row], bool], Callable[[Row], None], set[CheckName]]] = [
    ("features", lambda _: True, _feature, {CheckName.FEATURES}),
    ("model version", lambda row: row["model_version"] == "1", _set(model_version="2"), {CheckName.MODEL}),
    ("margin", _by_model, _one_bit_of_the_margin, {CheckName.MARGIN}),
    ("probability", _by_model, _one_bit_of_the_probability, {CheckName.PROBABILITY}),
    ("shadow", lambda row: row["shadow_version"] is not None, _set(shadow_margin=0.5), {CheckName.SHADOW}),
    ("canary", lambda row: row["canary_version"] == row["model_version"] == "2", _set(canary_share=1e-12),
     {CheckName.CANARY}),
    ("champion beside a canary", lambda row: row["canary_version"] not in {None, row["model_version"]},
     _set(canary_share=1.0), {CheckName.CANARY}),
    ("canary without a share", lambda row: row["canary_version"] is not None, _set(canary_share=None),
     {CheckName.CANARY}),
    ("sequence", lambda _: True, lambda row: row.update(sequence=row["sequence"] + 1), {CheckName.SEQUENCE}),
    ("amount", _by_model, lambda row: row.update(amount_minor=row["amount_minor"] + 1), {CheckName.TRANSACTION}),
    ("merchant", _by_model, _set(merchant_id="another"), {CheckName.TRANSACTION}),
    ("table", lambda _: True, _set(table_id="0" * 32), {CheckName.TABLE}),
    ("action", lambda row: row["action"] == "decline", _set(action="challenge"), {CheckName.ACTION}),
    ("reasons", lambda row: row["action"] == "decline", _set(reasons=["AMOUNT"]), {CheckName.REASONS}),
    ("order of reasons", lambda row: len(row["reasons"]) > 1, lambda row: row["reasons"].reverse(),
     {CheckName.REASONS}),
    ("propensity", lambda row: row["control_propensity"] is not None, _set(control_propensity=0.25),
     {CheckName.CONTROL}),
    ("digest", _by_model, _set(model_digest="0" * 64), {CheckName.MODEL}),
    ("degraded", _by_model, _set(degraded=True), {CheckName.DEGRADED}),
    ("score of rules", lambda row: row["degraded"], _set(margin=0.0, probability=0.5), {CheckName.DEGRADED}),
    ("stale table", lambda row: "days old" in (row["degraded_reason"] or ""), _set(degraded_reason="other"),
     {CheckName.DEGRADED}),
]  # fmt: skip


@pytest.mark.parametrize(("is_changed", "change", "found"), [each[1:] for each in CHANGES], ids=[c[0] for c in CHANGES])
def test_a_changed_record_is_found_and_named(
    copy: Copy, is_changed: Callable[[Row], bool], change: Callable[[Row], None], found: set[CheckName]
) -> None:
    """All rows of a kind are changed at once: each of them is found, and no other one."""
    changed = copy.change(is_changed, change)
    counts = copy.audit()
    assert changed > 0
    assert counts.differing == changed
    assert found <= set(differences(counts))
    for name in found:
        assert differences(counts)[name] == changed


def test_each_change_of_one_record_is_shown_with_both_values(world: AuditedWorld, copy: Copy) -> None:
    decision = first(world.decisions, lambda each: each.action is Action.DECLINE and each.margin is not None)
    name = decision.transaction.transaction_id
    copy.change(lambda row: row["transaction_id"] == name, _feature)
    checks = copy.audit_one(name)
    status, recorded, computed, why = checks[CheckName.FEATURES]
    before = decision.features[column("count_24h")] or 0.0
    assert status is CheckStatus.DIFFERENT
    assert (recorded, computed) == (f"count_24h {before + 1.0}", f"count_24h {before}")
    assert why == f"1 of {len(FEATURE_NAMES)} features differ"


def test_a_model_whose_files_were_changed_is_found_and_does_not_score(world: AuditedWorld, copy: Copy) -> None:
    registry = world.registry.branch()
    registry._files["2"] = {**registry._files["2"], "extra": b""}
    counts = copy.audit(models=registry)
    by_second = counts.models["2"]
    assert differences(counts) == {
        CheckName.MODEL: by_second,
        CheckName.SHADOW: sum(decision.shadow_version == "2" for decision in world.decisions),
    }
    reason = "the files of version 2 do not have its digest"
    assert unchecked(counts)[CheckName.MARGIN] == unchecked(counts)[CheckName.PROBABILITY] == {reason: by_second}


def test_another_model_under_the_number_of_a_version_is_found(world: AuditedWorld, copy: Copy) -> None:
    registry = MemoryRegistry()
    for model in reversed(world.models):
        registry.register(model.files, {}, promoted=True)
    counts = copy.audit(models=registry)
    assert differences(counts)[CheckName.MODEL] == counts.models["1"] + counts.models["2"]
    assert CheckName.MARGIN not in differences(counts)  # it cannot be checked, which is said
    assert sum(unchecked(counts)[CheckName.MARGIN].values()) == counts.models["1"] + counts.models["2"]


def test_a_deleted_version_is_no_difference_and_the_rest_is_checked(world: AuditedWorld, copy: Copy) -> None:
    registry = MemoryRegistry()
    registry.register(world.models[0].files, {}, promoted=True)
    counts = copy.audit(models=registry)
    reason = "the registry does not have version 2 (any more)"
    assert differences(counts) == {}
    assert unchecked(counts)[CheckName.MODEL] == unchecked(counts)[CheckName.MARGIN] == {reason: counts.models["2"]}
    actions = next(check for check in counts.checks if check.name is CheckName.ACTION)
    assert actions.equal == counts.decisions  # by the recorded probability
    alerts = sum(
        decision.model_version == "2" and decision.action is not Action.APPROVE for decision in world.decisions
    )
    only_by_rules = sum(
        decision.model_version == "2" and decision.action is not Action.APPROVE
        and all(reason.startswith("POLICY_") for reason in decision.reasons)
        for decision in world.decisions
    )  # fmt: skip
    assert sum(unchecked(counts)[CheckName.REASONS].values()) == alerts - only_by_rules


def test_without_the_key_the_draw_is_not_checked_and_actions_are(copy: Copy) -> None:
    asked = next(check.equal for check in copy.audit().checks if check.name is CheckName.CONTROL)
    counts = copy.audit(key="")
    assert differences(counts) == {}
    assert unchecked(counts)[CheckName.CONTROL] == {NO_KEY: asked}


def test_another_key_draws_others(copy: Copy) -> None:
    counts = copy.audit(key="another key, as long as needed")
    assert set(differences(counts)) == {CheckName.CONTROL}
    [control] = [check for check in counts.checks if check.different]
    assert control.examples[0].why == "is CARDWATCH_CONTROL_KEY the key of that day?"


def test_a_policy_that_is_not_at_hand_leaves_what_it_decides_unchecked(world: AuditedWorld, copy: Copy) -> None:
    counts = copy.audit(policies={})
    reason = f"policy {world.policy.version} is not at hand: name its file with --decided-by"
    assert differences(counts) == {}
    for name in (CheckName.POLICY, CheckName.ACTION, CheckName.REASONS):
        assert unchecked(counts)[name] == {reason: counts.decisions}


def test_decisions_of_a_former_schema_are_scored_again_and_not_compared(world: AuditedWorld, copy: Copy) -> None:
    """The expected score, by hand: `count_1h` is 4.0, so the leaf of 1.25 is added to 0.25."""
    registry = world.registry.branch()
    files = former_model()
    former = registry.register(files, {}, promoted=False)
    changed = copy.change(
        lambda row: row["model_version"] == "1",
        lambda row: row.update(
            features=[12.5, 4.0, None],
            feature_schema=FORMER_SCHEMA,
            model_version=former.version,
            model_digest=former.digest,
            margin=1.5,
            probability=0.75,
        ),
    )
    counts = copy.audit(models=registry)
    assert changed > 0
    assert CheckName.MARGIN not in differences(counts) and CheckName.PROBABILITY not in differences(counts)
    for name in (CheckName.FEATURES, CheckName.SEQUENCE, CheckName.ACTION):  # a rule of the policy names a feature
        assert name not in differences(counts)
        assert unchecked(counts)[name] == {OTHER_SCHEMA: changed}
    margins = next(check for check in counts.checks if check.name is CheckName.MARGIN)
    assert margins.equal == changed + counts.models["2"]


def test_a_missing_decision_and_one_without_a_transaction_are_found(world: AuditedWorld, copy: Copy) -> None:
    decision = world.decisions[20]
    end = max(each.offset for each in world.decisions) + 1_000
    place = decision.partition, decision.offset
    copy.change(lambda row: (row["partition"], row["log_offset"]) == place, _set(log_offset=end))
    for path in (copy.archive / DECISIONS).rglob("*.parquet"):
        _sort(path)
    counts = copy.audit()
    assert (counts.undecided, counts.first_undecided) == (1, [place])
    assert differences(counts) == {CheckName.TRANSACTION: 1}
    [example] = next(check for check in counts.checks if check.different).examples
    assert (example.offset, example.why) == (end, NOT_IN_LOG)


def _sort(path: Path) -> None:
    rows = pq.read_table(path, partitioning=None).to_pylist()
    write_rows(path, DECISIONS, sorted(rows, key=lambda row: (row["partition"], row["log_offset"])))


def test_a_changed_log_is_found(copy: Copy, world: AuditedWorld) -> None:
    decision = first(world.decisions, lambda each: each.margin is not None)
    name = decision.transaction.transaction_id
    change_rows(
        copy.archive, TRANSACTIONS, lambda row: row["transaction_id"] == name, lambda row: row.update(amount_minor=7)
    )
    checks = copy.audit_one(name)
    status, recorded, logged, _ = checks[CheckName.TRANSACTION]
    assert status is CheckStatus.DIFFERENT
    assert (recorded, logged) == (f"amount_minor {decision.transaction.amount_minor}", "amount_minor 7")
    assert checks[CheckName.FEATURES][0] is CheckStatus.DIFFERENT


def test_a_damaged_table_is_a_difference_and_a_lost_one_cannot_be_checked(world: AuditedWorld, copy: Copy) -> None:
    decision = first(world.decisions, lambda each: each.model_version == "2")
    [file] = copy.tables.glob(f"*-{decision.table_id}.table")
    of_table = sum(each.table_id == decision.table_id for each in world.decisions)
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    counts = copy.audit()
    assert differences(counts) == {CheckName.TABLE: of_table}
    file.unlink()
    counts = copy.audit()
    assert differences(counts) == {}
    assert sum(unchecked(counts)[CheckName.TABLE].values()) == of_table
    assert sum(unchecked(counts)[CheckName.FEATURES].values()) == of_table


def test_the_table_of_another_day_is_found_by_its_features_or_its_first_day(world: AuditedWorld, copy: Copy) -> None:
    newest = ReferenceTableStore(copy.tables).all()[-1]
    changed = copy.change(lambda row: row["model_version"] == "1", _set(table_id=newest.table_id))
    counts = copy.audit()
    assert differences(counts)[CheckName.TABLE] == changed
    [table] = [check for check in counts.checks if check.name is CheckName.TABLE]
    assert table.examples[0].why == f"it is valid from {newest.valid_from.date()} on"
    before = next(each for each in world.store.all() if each.valid_from.date() == FIRST_DECIDED)
    changed = copy.change(lambda row: row["model_version"] == "2", _set(table_id=before.table_id))
    assert differences(copy.audit())[CheckName.FEATURES] > changed // 2  # it has older days of every merchant


def test_a_second_decision_about_a_transaction_is_found(world: AuditedWorld, copy: Copy) -> None:
    decision = world.decisions[0]
    with closing(ArchiveWriter(copy.archive)) as writer:
        writer.write({DECISIONS: [decision_row(decision)]}, {})
    checks = copy.audit_one(decision.transaction.transaction_id)
    assert checks[CheckName.ONE_DECISION] == (CheckStatus.DIFFERENT, "2 decisions", "1 decision", "")
    with pytest.raises(CardwatchError, match="is in the archive twice"):
        copy.audit()
