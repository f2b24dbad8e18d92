"""Where a model comes from, by the tags of its version and the bundle of its verdict."""

from __future__ import annotations

import pytest

from cardwatch.audit.lineage import VerdictLine, lineage_of, promotion_of
from cardwatch.ladder.moves import Move, MoveKind
from cardwatch.registry import ModelVersion

TAGS = {
    "digest": "d" * 64,
    "trained_from": "2025-01-06",
    "trained_until": "2025-04-06",
    "judged_from": "2025-03-30",
    "judged_until": "2025-04-06",
    "code_version": "0.1.0",
    "because": '["17% of the features have drifted", "the champion has decayed"]',
    "flow_run": "653c718c",
    "verdict": "promoted",
    "verdict_digest": "v" * 64,
    "verdict_reasons": '["judged on days", "passed: rows", "noted: nothing", "FAILED: precision"]',
}


def version(**tags: str) -> ModelVersion:
    return ModelVersion(version="2", run_id="run", tags=TAGS | tags)


def test_a_promoted_version_was_promoted_by_the_flow_run_that_trained_it() -> None:
    promotion = promotion_of(version())
    assert promotion.by == "flow run 653c718c"
    assert promotion.because == ["17% of the features have drifted", "the champion has decayed"]
    assert (promotion.verdict, promotion.verdict_digest, promotion.remark) == ("promoted", "v" * 64, "")


def test_a_refused_version_that_decided_was_promoted_by_hand_and_nobody_knows_by_whom() -> None:
    promotion = promotion_of(version(verdict="refused"))
    assert promotion.by == ""
    assert promotion.remark == (
        "the verdict refused it, so somebody moved the alias by hand, and "
        "the registry does not record who set the alias"
    )


def test_tags_that_people_wrote_are_shown_as_they_are() -> None:
    assert promotion_of(version(because="I wanted to")).because == ["I wanted to"]
    assert promotion_of(ModelVersion(version="1", run_id="", tags={})).because == []


def test_the_verdict_has_a_line_for_each_check_with_its_result() -> None:
    lineage = lineage_of(version())
    assert lineage.verdict == [
        VerdictLine(result="", sentence="judged on days"),
        VerdictLine(result="passed", sentence="rows"),
        VerdictLine(result="noted", sentence="nothing"),
        VerdictLine(result="FAILED", sentence="precision"),
    ]
    assert (lineage.trained, lineage.judged) == (["2025-01-06", "2025-04-06"], ["2025-03-30", "2025-04-06"])


def test_a_verdict_holds_only_if_its_bundle_was_checked_and_nothing_was_found() -> None:
    assert not lineage_of(version()).follows
    assert lineage_of(version(), ["passed: rows"], faults=[]).follows
    changed = lineage_of(version(), ["passed: rows"], faults=["rows.parquet was changed after the verdict"])
    assert (changed.follows, changed.faults) == (False, ["rows.parquet was changed after the verdict"])


def move(
    number: int, kind: MoveKind, *, version: str = "2", share: float | None = None, digest: str = "d" * 64
) -> Move:
    return Move(
        number=number,
        kind=kind,
        version=version,
        digest=digest,
        actor=f"mover {number}",
        reason=f"reason {number}",
        at_ms=number * 1_000,
        previous="",
        share=share,
    )


MOVES = [
    move(1, MoveKind.CHALLENGE),
    move(2, MoveKind.SHADOW),
    move(3, MoveKind.CANARY, share=0.1),
    move(4, MoveKind.PROMOTE, version="3"),
    move(5, MoveKind.PROMOTE),
    move(6, MoveKind.RETIRE),
]


@pytest.mark.parametrize(
    ("decided_at_ms", "by"),
    [
        (None, "mover 5, with move 5 (promote)"),
        (5_500.0, "mover 5, with move 5 (promote)"),
        (4_999.0, "mover 3, with move 3 (canary for 10% of the cards)"),
        (
            2_000.0,
            "mover 3, with move 3 (canary for 10% of the cards)",
        ),  # the clocks differ: it is the first that could
    ],
)
def test_who_made_a_version_decide_is_the_newest_move_that_did_before_the_decision(
    decided_at_ms: float | None, by: str
) -> None:
    promotion = promotion_of(version(), MOVES, decided_at_ms)
    assert promotion.by == by
    assert promotion.verdict_digest == "v" * 64


def test_a_champion_from_before_the_move_log_was_promoted_by_what_its_tags_say() -> None:
    assert promotion_of(version(), [move(1, MoveKind.ADOPT)]).by == "flow run 653c718c"


def test_moves_of_other_versions_are_left_out_and_a_move_about_other_files_is_a_fault() -> None:
    lineage = lineage_of(version(), moves=[*MOVES[:4], move(5, MoveKind.PROMOTE, digest="other")])
    assert [step.number for step in lineage.moves] == [1, 2, 3, 5]
    assert lineage.faults == [f"move 5 is about digest other, the registry's version has {'d' * 64}"]
