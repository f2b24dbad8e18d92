"""Replays: what of a recording they show, and the file that they are."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from datetime import date
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from cardwatch.decision.cost_policy import DecisionPolicy
from cardwatch.errors import CardwatchError
from cardwatch.features.definitions import FEATURE_NAMES
from cardwatch.live.frames import EventFrame, EventKind, LiveFrame, SystemState
from cardwatch.warm_up import one_split_detector
from cli.demo.recorded_decisions import LARGEST_PARTS, explain_decisions
from cli.demo.replay import LEAD_MS, embed, for_replay, read_frames
from tests.frames import live

CHANGE_DAY = date(2025, 3, 5)
PAGE = b"<!doctype html><html><head><style>p{}</style></head><body><script>f()</script></body></html>"


def event(number: int, text: str) -> EventFrame:
    return EventFrame(number=number, at_ms=0.0, kind=EventKind.DRIFT, day=None, text=text)


def test_a_replay_begins_shortly_before_the_first_decision_and_keeps_earlier_events() -> None:
    frames = [
        live(at_ms=0.0),
        event(0, "v1 is the first champion"),
        live(at_ms=20_000.0),
        live(at_ms=20_000.0 + LEAD_MS, decisions=1),
    ]
    shown = for_replay(frames, None)
    assert [frame.at_ms for frame in shown if isinstance(frame, LiveFrame)] == [20_000.0, 20_000.0 + LEAD_MS]
    assert [frame.text for frame in shown if isinstance(frame, EventFrame)] == ["v1 is the first champion"]


def test_the_day_of_the_change_becomes_an_event_and_later_events_keep_their_order() -> None:
    frames = [
        live(at_ms=1.0, decisions=1, day=date(2025, 3, 4)),
        event(0, "before"),
        live(at_ms=2.0, decisions=2, day=CHANGE_DAY),
        live(at_ms=3.0, decisions=3, day=date(2025, 3, 6)),
        event(1, "after"),
    ]
    events = [frame for frame in for_replay(frames, CHANGE_DAY) if isinstance(frame, EventFrame)]
    assert [(each.number, each.kind, each.day) for each in events] == [
        (0, EventKind.DRIFT, None),
        (1, EventKind.CHANGE, CHANGE_DAY),
        (2, EventKind.DRIFT, None),
    ]
    assert events[1].at_ms == 2.0


def test_a_process_of_a_replay_has_no_id_and_no_actions() -> None:
    [shown] = for_replay([live(at_ms=1.0, decisions=1)], None)
    assert isinstance(shown, LiveFrame)
    [box] = shown.boxes
    assert (box.pid, box.address, box.actions, box.commands) == (None, "", [], {})
    assert SystemState.RECORDING not in shown.states


def test_a_line_that_is_still_being_written_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "recording.jsonl"
    whole = msgspec.json.encode(live(at_ms=1.0)) + b"\n"
    file.write_bytes(whole + whole[:40])
    assert read_frames(file) == [live(at_ms=1.0)]


def test_a_file_that_is_no_recording_is_named(tmp_path: Path) -> None:
    file = tmp_path / "recording.jsonl"
    file.write_bytes(b"{}\n")
    with pytest.raises(CardwatchError, match=r"recording\.jsonl is no recording"):
        read_frames(file)


def test_the_file_holds_the_page_and_the_recording_and_allows_only_its_own_script() -> None:
    file = embed(PAGE, {"format": 1, "title": "</script><script>alert(1)</script>"}).decode()
    [packed] = re.findall(r'<script type="application/octet-stream" id="recording">([A-Za-z0-9+/=]+)</script>', file)
    assert msgspec.json.decode(gzip.decompress(base64.b64decode(packed)))["title"].startswith("</script>")
    [policy] = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', file)
    own = base64.b64encode(hashlib.sha256(b"f()").digest()).decode()
    assert f"script-src 'sha256-{own}'" in policy
    assert "default-src 'none'" in policy
    assert "connect-src 'none'" in policy
    assert file.count("<script") == 2
    assert file.index("Content-Security-Policy") < file.index("<style>")


def test_the_texts_of_the_tour_are_in_a_block_of_their_own() -> None:
    file = embed(PAGE, {"format": 1}, b'{"stops": []}').decode()
    blocks = dict(re.findall(r'<script type="application/octet-stream" id="(\w+)">([A-Za-z0-9+/=]+)</script>', file))
    assert blocks.keys() == {"recording", "tour"}
    assert gzip.decompress(base64.b64decode(blocks["tour"])) == b'{"stops": []}'
    assert file.rstrip().endswith("</script></body></html>")


def test_equal_recordings_are_equal_files() -> None:
    assert embed(PAGE, {"format": 1}) == embed(PAGE, {"format": 1})


def test_a_page_without_a_body_is_refused() -> None:
    with pytest.raises(CardwatchError, match="build it again"):
        embed(b"<p>not built", {})


def archived_decisions() -> pa.Table:
    """Two decisions of v1, on amounts of 10 and of a missing amount, and one of the rules."""
    rows = np.full((3, len(FEATURE_NAMES)), np.nan, np.float32)
    rows[0, FEATURE_NAMES.index("amount")] = 10.0
    versions = ["1", "1", None]
    return pa.table({
        "partition": pa.array([0, 1, 1], pa.int32()),
        "log_offset": pa.array([5, 6, 7], pa.int64()),
        "merchant_id": ["m-1", "m-2", "m-1"],
        "merchant_category": ["5411", "5411", "6011"],
        "country": ["DE", "DE", "AT"],
        "sequence": pa.array([3, 0, 1], pa.int64()),
        "amount_minor": pa.array([1_000, 2_000, 3_000], pa.int64()),
        "currency": ["EUR"] * 3,
        "features": pa.array(rows.tolist(), pa.list_(pa.float32())),
        "feature_schema": ["schema"] * 3,
        "table_id": ["2025-03-01", "2025-03-02", "2025-03-01"],
        "model_version": pa.array(versions, pa.string()),
        "model_digest": pa.array([version and "abc" for version in versions], pa.string()),
        "policy_version": ["p"] * 3,
        "margin": pa.array([1.0, -1.0, None], pa.float32()),
        "probability": pa.array([1.0, 0.0, None], pa.float64()),
        "control_propensity": pa.array([None, None, None], pa.float64()),
    })  # fmt: skip


def test_the_parts_of_a_recorded_decision_add_up_to_its_margin() -> None:
    explained = explain_decisions(archived_decisions(), DecisionPolicy(), "EUR", lambda _: one_split_detector())
    [model] = explained.models
    for row in explained.rows[:2]:
        assert row.margin is not None
        assert len(row.parts) <= LARGEST_PARTS
        total = model.expected_margin + sum(part.contribution for part in row.parts) + row.rest
        assert total == pytest.approx(row.margin, abs=1e-4)
    assert [explained.features[part.feature].name for part in explained.rows[0].parts] == ["amount"]
    assert [explained.tables[row.table] for row in explained.rows] == ["2025-03-01", "2025-03-02", "2025-03-01"]


def test_a_decision_of_the_rules_has_no_model_no_parts_and_no_costs() -> None:
    explained = explain_decisions(
        archived_decisions().slice(2), DecisionPolicy(), "EUR", lambda _: one_split_detector()
    )
    [row] = explained.rows
    assert (row.model, row.margin, row.parts, row.costs) == (-1, None, [], [None, None, None])


def with_amount(amount_minor: int, currency: str) -> pa.Table:
    """The first of `archived_decisions`, which is certainly fraud, on another amount."""
    first = archived_decisions().slice(0, 1)
    first = first.set_column(first.schema.get_field_index("amount_minor"), "amount_minor", pa.array([amount_minor]))
    return first.set_column(first.schema.get_field_index("currency"), "currency", pa.array([currency]))


def test_costs_are_those_of_the_amount_in_the_currency_of_the_policy() -> None:
    policy = DecisionPolicy(currency="EUR", rates={"JPY": 0.5})
    yen, half, whole = (
        explain_decisions(each, policy, "EUR", lambda _: one_split_detector()).rows[0].costs
        for each in (with_amount(1_000, "JPY"), with_amount(500, "EUR"), with_amount(1_000, "EUR"))
    )
    assert yen == half
    assert yen != whole


def test_an_amount_without_a_rate_has_no_costs() -> None:
    policy = DecisionPolicy(currency="EUR")
    [row] = explain_decisions(with_amount(1_000, "JPY"), policy, "EUR", lambda _: one_split_detector()).rows
    assert row.costs == [None, None, None]
