"""Signals of a day: severity, and the day on which they began."""

from __future__ import annotations

from datetime import date, timedelta

from cardwatch.data_contract.finding import DataFinding
from cardwatch.drift.signals import (
    ALERT,
    DATA_CONTRACT,
    LABEL_COVERAGE,
    WATCH,
    action_signals,
    contract_signals,
    coverage_signals,
    not_compared_signals,
    null_share_signals,
    signals,
    with_beginnings,
)
from cardwatch.label_states import LabelCoverage
from cardwatch.progress import ActionShareChange, NullShareChange

MONDAY = date(2025, 3, 3)
TUESDAY = MONDAY + timedelta(days=1)


def finding(column: str, *, blocks: bool) -> DataFinding:
    return DataFinding(
        check="null_share",
        column=column,
        day=MONDAY,
        since=MONDAY,
        affects_from=MONDAY,
        sentence=f"{column} is missing",
        blocks=blocks,
    )


def test_wrong_data_are_an_alert_and_other_findings_are_watched() -> None:
    found = contract_signals(MONDAY, [finding("device_id", blocks=False), finding("amount_minor", blocks=True)])
    assert [(one.name, one.severity) for one in found] == [(DATA_CONTRACT, ALERT), (DATA_CONTRACT, WATCH)]
    assert found[0].sentence.startswith("amount_minor is missing")


def test_findings_about_features_and_actions_name_the_numbers() -> None:
    [missing] = null_share_signals(MONDAY, {"device_age": NullShareChange(reference=0.1, current=1.0)})
    [actions] = action_signals(MONDAY, {"decline": ActionShareChange(reference=0.01, current=0.025)})
    [not_compared] = not_compared_signals(MONDAY, dict.fromkeys(("hour", "amount"), "there are no rows"))
    assert missing.sentence == "the share of missing values has changed: device_age 10% to 100%"
    assert actions.sentence == "the share of decisions has changed: decline 1.00% to 2.50%"
    assert not_compared.sentence == "cannot be compared, because there are no rows: hour, amount"
    assert {one.severity for one in (missing, actions, not_compared)} == {WATCH}
    assert [*null_share_signals(MONDAY, {}), *action_signals(MONDAY, {}), *not_compared_signals(MONDAY, {})] == []


def test_labels_say_too_little_when_more_outcomes_are_lost_than_frauds_are_known() -> None:
    assert coverage_signals(MONDAY, None) == []
    assert coverage_signals(MONDAY, LabelCoverage(known_fraud=40, censored=40)) == []
    [found] = coverage_signals(MONDAY, LabelCoverage(known_fraud=40, censored=41))
    assert found.name == LABEL_COVERAGE
    assert found.sentence.startswith("41 declined transactions will never have an outcome, and only 40 frauds")


def test_a_signal_that_lasts_keeps_its_first_day_and_one_that_returns_begins_anew() -> None:
    monday = signals(MONDAY, "actions", WATCH, ["a"])
    tuesday = with_beginnings(
        [*signals(TUESDAY, "actions", ALERT, ["b"]), *signals(TUESDAY, "other", WATCH, ["c"])], monday
    )
    assert [(one.name, one.since, one.severity) for one in tuesday] == [
        ("actions", MONDAY, ALERT),
        ("other", TUESDAY, WATCH),
    ]
    wednesday = TUESDAY + timedelta(days=1)
    assert with_beginnings(signals(wednesday, "other", WATCH, ["c"]), tuesday)[0].since == TUESDAY
    assert with_beginnings(signals(wednesday, "actions", WATCH, ["a"]), [])[0].since == wednesday
