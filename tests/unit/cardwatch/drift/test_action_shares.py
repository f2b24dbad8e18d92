from __future__ import annotations

from cardwatch.drift.action_shares import action_share_changes
from cardwatch.progress import ActionShareChange


def test_a_share_has_changed_if_the_ratio_is_large_and_certain() -> None:
    # 1 to 2 % of 10,000: the standard error of the difference is 0.0017, and 0.01 is six of them.
    before, now = {"approve": 9_900, "decline": 100}, {"approve": 9_800, "decline": 200}
    assert action_share_changes(before, now) == {"decline": ActionShareChange(reference=0.01, current=0.02)}


def test_a_few_decisions_prove_no_change() -> None:
    assert action_share_changes({"approve": 990, "decline": 10}, {"approve": 98, "decline": 2}) == {}


def test_a_small_ratio_is_no_change_however_certain() -> None:
    assert action_share_changes({"approve": 990_000, "decline": 10_000}, {"approve": 987_000, "decline": 13_000}) == {}


def test_an_action_that_vanishes_or_appears_has_changed() -> None:
    some, none = {"approve": 9_000, "decline": 1_000}, {"approve": 10_000}
    assert action_share_changes(some, none)["decline"] == ActionShareChange(reference=0.1, current=0.0)
    assert action_share_changes(none, some)["decline"] == ActionShareChange(reference=0.0, current=0.1)


def test_correlated_decisions_need_a_larger_difference() -> None:
    before, now = {"approve": 9_900, "decline": 100}, {"approve": 9_800, "decline": 200}
    assert action_share_changes(before, now, design_effect=4.0) == {}


def test_without_decisions_on_one_side_nothing_has_changed() -> None:
    assert action_share_changes({}, {"approve": 5}) == {}
    assert action_share_changes({"approve": 5}, {}) == {}
