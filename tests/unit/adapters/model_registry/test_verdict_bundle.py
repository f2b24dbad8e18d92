"""The contract of a verdict's bundle: it comes back as it was, says the same again, and shows every change."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from adapters.model_registry.verdict_bundle import (
    INPUTS_FILE,
    MANIFEST_FILE,
    POLICY_FILE,
    ROWS_FILE,
    VERDICT_FILE,
    VerdictBundle,
    check_bundle,
)
from cardwatch.decision.control_share import ControlShare
from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.errors import CorruptVerdict
from cardwatch.promotion.gate import judge
from cardwatch.promotion.policy import PromotionPolicy
from cardwatch.registry import digest_of
from tests.judged_evidence import evidence, inputs

Files = dict[str, bytes]


def bundle(*, first: bool = False) -> VerdictBundle:
    rows = evidence(cards=700, frauds=300)
    rows = replace(rows, champion=None) if first else rows
    facts, decision, promotion = inputs(rows), DecisionPolicy(), PromotionPolicy()
    return VerdictBundle(
        evidence=rows,
        inputs=facts,
        decision=decision,
        promotion=promotion,
        report=judge(rows, facts, decision=decision, promotion=promotion),
    )


@pytest.fixture(scope="module")
def files() -> Files:
    return bundle().files()


def test_a_bundle_holds_exactly_the_documented_files(files: Files) -> None:
    assert sorted(files) == sorted([ROWS_FILE, POLICY_FILE, INPUTS_FILE, VERDICT_FILE, MANIFEST_FILE])
    assert pq.read_table(pa.BufferReader(files[ROWS_FILE])).column_names == [
        "day",
        "card",
        "amount_minor",
        "channel",
        "is_fraud",
        "weight",
        "challenger_margin",
        "challenger_probability",
        "challenger_action",
        "champion_margin",
        "champion_probability",
        "champion_action",
        "baseline_rules_action",
        "slice_channel",
    ]


@pytest.mark.parametrize("first", [False, True])
def test_a_bundle_comes_back_byte_for_byte_and_its_verdict_holds(first: bool) -> None:
    stored = bundle(first=first).files()

    assert VerdictBundle.from_files(stored).files() == stored
    assert check_bundle(stored, digest_of(stored)) == []


def test_the_verdict_of_a_former_version_holds_whatever_the_control_share_of_its_policy() -> None:
    """It judged the cost policy alone, and its files have neither rows of rules nor a model that was fitted again."""
    stored = bundle()
    shared = replace(stored.decision, control=ControlShare(share=0.1, cap_minor=10_000.0))
    facts = msgspec.json.decode(stored.files()[INPUTS_FILE])
    report = msgspec.json.decode(stored.files()[VERDICT_FILE])
    del facts["refit_digest"], facts["label_coverage"]["unpriced"], report["refit"]
    former = {
        **replace(stored, decision=shared).files(),
        INPUTS_FILE: msgspec.json.encode(facts),
        VERDICT_FILE: msgspec.json.encode(report),
    }

    assert check_bundle(with_manifest(former)) == []
    assert check_bundle(replace(stored, decision=shared).files()) != []  # a verdict of today counts the share


def test_the_manifest_has_the_digests_of_the_files(files: Files) -> None:
    manifest = msgspec.json.decode(files[MANIFEST_FILE], type=dict[str, str])

    assert manifest == {
        name: hashlib.sha256(content).hexdigest() for name, content in files.items() if name != MANIFEST_FILE
    }


@pytest.mark.parametrize("name", [ROWS_FILE, POLICY_FILE, INPUTS_FILE, VERDICT_FILE])
def test_a_changed_byte_of_any_file_is_found(files: Files, name: str) -> None:
    content = bytearray(files[name])
    place = content.rindex(b"0") if name != ROWS_FILE else 200
    content[place] ^= 1
    try:
        faults = check_bundle({**files, name: bytes(content)})
    except CorruptVerdict as error:
        faults = [str(error)]
    assert any(name in fault for fault in faults)


def with_manifest(files: Files) -> Files:
    listed = {name: content for name, content in files.items() if name != MANIFEST_FILE}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(listed.items())}
    return {**listed, MANIFEST_FILE: msgspec.json.encode(digests)}


def promoted(files: Files) -> Files:
    return {**files, VERDICT_FILE: files[VERDICT_FILE].replace(b'"FAILED', b'"passed').replace(b": false", b": true")}


def cheaper_challenges(files: Files) -> Files:
    return {**files, POLICY_FILE: files[POLICY_FILE].replace(b'"minimum_gain": 0.05', b'"minimum_gain": 0.04')}


def without_frauds_of_the_first_day(files: Files) -> Files:
    table = pq.read_table(pa.BufferReader(files[ROWS_FILE]))
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.filter(pc.or_(pc.invert(table["is_fraud"]), pc.not_equal(table["day"], table["day"][0]))), sink
    )
    return {**files, ROWS_FILE: bytes(sink.getvalue())}


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda files: {**files, VERDICT_FILE: files[VERDICT_FILE].replace(b"at least", b"about")}, "verdict.verdict"),
        (cheaper_challenges, "verdict.verdict.reasons"),
        (without_frauds_of_the_first_day, "verdict.frauds"),
        (
            lambda files: {
                **files,
                INPUTS_FILE: files[INPUTS_FILE].replace(b'"judged_from": "2025-03-03"', b'"judged_from": "2025-03-04"'),
            },
            "rows of days that are not among the judged ones",
        ),
    ],
)
def test_a_change_that_the_manifest_follows_is_found_by_computing_the_verdict_again(
    files: Files, change: Callable[[Files], Files], where: str
) -> None:
    changed = with_manifest(change(files))

    assert changed != files
    assert any(where in fault for fault in check_bundle(changed))


def test_a_consistent_forgery_is_found_by_the_digest_of_the_registry(files: Files) -> None:
    rows = evidence(cards=700, frauds=300, challenger_misses=0.0)
    facts = inputs(rows)
    report = judge(rows, facts, decision=DecisionPolicy(), promotion=PromotionPolicy())
    forged = replace(bundle(), evidence=rows, inputs=facts, report=report).files()

    assert check_bundle(forged) == []
    [fault] = check_bundle(forged, digest_of(files))
    assert "the registry recorded" in fault


@pytest.mark.parametrize("name", [ROWS_FILE, POLICY_FILE, INPUTS_FILE, VERDICT_FILE, MANIFEST_FILE])
def test_a_missing_file_is_named(files: Files, name: str) -> None:
    with pytest.raises(CorruptVerdict, match=f"{name} is missing"):
        check_bundle({file: content for file, content in files.items() if file != name})


def test_cards_have_numbers_only(files: Files) -> None:
    table = pq.read_table(pa.BufferReader(files[ROWS_FILE]))

    assert table["card"].type == pa.int64()
    assert np.unique(table["card"].to_numpy()).tolist() == list(range(700))
