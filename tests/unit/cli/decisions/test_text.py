"""Decisions as text: a row, and an explanation with names and meanings."""

from __future__ import annotations

from msgspec import structs

from cardwatch.events import Action, decode, encode
from cardwatch.events import Decision as DecisionRecord
from cardwatch.features.definitions import FEATURES
from cli.decisions.following import DecisionFilter
from cli.decisions.text import HEADING, described, one_line
from tests.unit.services.records_of_others import DECISION, PAYMENT

DECLINED = structs.replace(
    DECISION,
    partition=2,
    offset=17,
    sequence=1_234,
    features=[None, *[0.5] * (len(FEATURES) - 1)],
    action=Action.DECLINE,
    reasons=["PLACE_IMPOSSIBLE", "NEW_CODE"],
    probability=0.98765432,
    margin=4.25,
    model_version="3",
    model_digest="abc",
    shadow_version="4",
    shadow_probability=0.5,
    shadow_margin=0.0,
    latency_ms=12.34,
)
BY_RULES = structs.replace(
    DECISION, degraded=True, degraded_reason="no answer within 5 s", probability=None, margin=None, reasons=[]
)


def test_a_row_has_its_values_below_the_heading() -> None:
    row = one_line(DECLINED)
    assert " ".join(row.split()) == (
        "2025-01-06T12:00:00.000Z 2:17 t-1 card 1,000 EUR decline 0.9877 12.3 ms PLACE_IMPOSSIBLE, NEW_CODE"
    )
    assert row.index("PLACE") == HEADING.index("reasons")
    assert " approve by rules none 1.0 ms" in " ".join(one_line(BY_RULES).split())


def test_an_explanation_names_position_model_scores_reasons_and_features() -> None:
    text = described(DECLINED)
    for part in (
        "t-1 at transactions[2] 17",
        "card, 1,234 of its transactions were folded before",
        "decline",
        "12.3 ms after the record came into the log",
        "0.987654 of fraud (margin 4.25)",
        "version 3, digest abc",
        "version 4: 0.500000 of fraud (margin 0.0)",
        "PLACE_IMPOSSIBLE   a place that could hardly be reached from the card's last known place in the time between",
        "NEW_CODE           a code that this program does not know",
    ):
        assert part in text
    lines = {line.split()[0]: line for line in text.splitlines() if line.startswith("  ")}
    assert all(feature.name in lines for feature in FEATURES)
    assert lines["amount"].split()[1] == "missing"
    assert "amount of the transaction (major units)" in lines["amount"]


def test_a_decision_by_the_rules_says_why() -> None:
    text = described(BY_RULES)
    assert "approve by rules: no answer within 5 s" in text
    assert "\nmodel        none" in text
    assert "\nreasons      none" in text


def test_a_code_of_the_policy_file_is_named_as_one() -> None:
    text = described(structs.replace(DECLINED, reasons=["POLICY_COUNTRY_BLOCKED"]))
    assert "POLICY_COUNTRY_BLOCKED a rule of the policy file" in text


def test_a_decision_of_the_control_share_says_what_it_replaces() -> None:
    text = described(structs.replace(DECISION, control_propensity=0.02))
    assert "decision     approve instead of decline, as one of the control share of 2.00%" in text


def test_features_of_another_schema_get_no_names() -> None:
    other = structs.replace(DECLINED, feature_schema="old", features=[1.5, None])
    text = described(other)
    assert "old (not that of this program)" in text
    assert text.splitlines()[-2:] == ["  0              1.5", "  1          missing"]


def test_identifiers_cannot_act_on_the_terminal_and_stay_readable() -> None:
    # 1714557600000009 has a valid check digit by chance, and is no card number.
    odd = structs.replace(
        DECISION, transaction=structs.replace(PAYMENT, transaction_id="1714557600000009", card_id="a\x9b2J\u202e")
    )
    assert decode(encode(odd), DecisionRecord) == odd
    for text in (one_line(odd), described(odd)):
        assert "1714557600000009" in text
        assert "a\\x9b2J\\u202e" in text
        assert all(line.isprintable() for line in text.splitlines())


def test_filters_are_combined() -> None:
    everything = DecisionFilter(frozenset(), "", degraded=False)
    assert everything.admits(DECLINED)
    assert everything.admits(BY_RULES)
    assert not DecisionFilter(frozenset({Action.APPROVE}), "", degraded=False).admits(DECLINED)
    assert not DecisionFilter(frozenset(), "another", degraded=False).admits(DECLINED)
    by_rules = DecisionFilter(frozenset({Action.APPROVE, Action.DECLINE}), "card", degraded=True)
    assert (by_rules.admits(BY_RULES), by_rules.admits(DECLINED)) == (True, False)
