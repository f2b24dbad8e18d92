"""The model card: every section, figures that are counted by hand, and the cases that lack something."""

from __future__ import annotations

import re
from datetime import date

import numpy as np
import pytest
from markdown_it import MarkdownIt
from msgspec import structs
from numpy.typing import NDArray

from cardwatch.decision.control_share import ControlShare
from cardwatch.decision.cost_policy import CHANNELS, DecisionPolicy
from cardwatch.detector.calibration import Calibration
from cardwatch.detector.detector import DetectorFacts
from cardwatch.drift.missed_frauds import MissedFrauds
from cardwatch.drift.performance import MeasuredPerformance
from cardwatch.drift.policy import DriftPolicy
from cardwatch.events import Channel
from cardwatch.features.definitions import FEATURE_NAMES
from cardwatch.label_states import LabelCoverage
from cardwatch.promotion.evidence import Evidence, JudgedModel
from cardwatch.promotion.gate import judge
from cardwatch.promotion.policy import PromotionPolicy
from cardwatch.training_policy import TrainingPolicy
from models.evaluation import Evaluation
from models.model_card.page import SECTIONS, model_card
from models.model_card.subject import CardPolicies, CardSubject, TrainingPopulation
from models.training import TrainingSettings
from tests.judged_evidence import APPROVE, DECLINE, FIRST_DAY, inputs, model
from tests.promotion_policies import ANY_CHALLENGER_WINS

CARD = np.repeat(np.arange(30), 2)
IS_FRAUD = (np.arange(60) % 2 == 1) & (CARD < 25)
PERMISSIVE = structs.replace(ANY_CHALLENGER_WINS, slice_minimum_frauds=12)


def deciding(declined: NDArray[np.bool_]) -> JudgedModel:
    return model(np.where(declined, DECLINE, APPROVE), np.where(declined, 0.9, 0.005))


def evidence() -> Evidence:
    """Thirty cards pay 100.00 twice, and 25 of them lose the second payment to fraud.

    The challenger declines the frauds of 20 cards. The champion declines those of 10, and a genuine payment.
    """
    genuine_of_last = np.arange(60) == 59
    return Evidence(
        days=(FIRST_DAY - date(1970, 1, 1)).days + np.arange(60) % 7,
        cards=CARD,
        amount_minor=np.full(60, 10_000),
        channels=np.full(60, CHANNELS.index(Channel.CHIP)),
        is_fraud=IS_FRAUD,
        weight=np.ones(60),
        challenger=deciding(IS_FRAUD & (CARD < 20)),
        champion=deciding((IS_FRAUD & (CARD < 10)) | genuine_of_last),
        baselines={"rules": np.zeros(60, np.int8)},
        slices={"channel": np.where(CARD < 15, "chip", "swipe")},
    )


def evaluation(average_precision: float) -> Evaluation:
    return Evaluation(
        rows=60, frauds=25, roc_auc=0.9, average_precision=average_precision, recall_at_fpr_0_1_percent=0.4,
        recall_at_fpr_1_percent=None, card_precision_at_100=0.04, expected_cost=0.25,
    )  # fmt: skip


def subject(
    rows: Evidence | None = None,
    promotion: PromotionPolicy = PERMISSIVE,
    decision: DecisionPolicy | None = None,
    **changes: object,
) -> CardSubject:
    rows, decision = rows or evidence(), decision or DecisionPolicy()
    judged = inputs(rows, excluded_days=[date(2025, 2, 10)])
    first = rows.champion is None
    if first:
        judged = structs.replace(
            judged, champion_version=None, champion_digest=None, trained="there is no champion to compare with"
        )
    facts = DetectorFacts(
        schema_hash="schema", feature_names=("a", "b"), rows=4_000, frauds=40, fingerprint="rows-and-settings",
        settings=structs.asdict(TrainingSettings(trees=77)),
        calibration=Calibration(margins=[0.0, 1.0], probabilities=[0.1, 0.2]),
        calibration_folds=5, calibration_quality={"brier": 0.00123, "expected_calibration_error": 0.00045},
    )  # fmt: skip
    values: dict[str, object] = {
        "digest": "0123456789abcdef",
        "facts": facts,
        "population": TrainingPopulation(
            rows=4_000, frauds=40, cards=321, days=59, slice_frauds={"channel": {"chip": 38, "swipe": 2}}
        ),
        "evidence": rows,
        "inputs": judged,
        "report": judge(rows, judged, decision=decision, promotion=promotion),
        "challenger": evaluation(0.75),
        "champion": None if first else evaluation(0.5),
        "baselines": {"rules": evaluation(0.25), "logistic_regression": evaluation(0.35)},
        "label_coverage": LabelCoverage(known_fraud=65, presumed_genuine=4_000, censored=35, immature=0),
        "measurable": MeasuredPerformance(average_precision=0.625, frauds=21),
        "missed": MissedFrauds(frauds=12, decisions=4_000),
        "policies": CardPolicies(
            decision=decision, promotion=promotion, drift=DriftPolicy(), training=TrainingPolicy(), owner=None
        ),
        "because": ["performance lost 31 %"],
        "flow_run": "run-7",
        "verdict_digest": "feed",
        **changes,
    }
    return CardSubject(**values)  # type: ignore[arg-type]


def section(page: str, title: str) -> str:
    number = SECTIONS.index(title) + 1
    return page.partition(f"## {number}. {title}\n")[2].partition("\n## ")[0]


def require_readable(page: str) -> None:
    """Fail unless the page has each section once, and all of its tables are tables for a Markdown parser."""
    tokens = MarkdownIt("commonmark").enable("table").parse(page)
    titles = [tokens[place + 1].content for place, token in enumerate(tokens) if token.type == "heading_open"]
    assert titles[0].startswith("Card-fraud detector ")
    assert titles[1:] == [f"{number}. {title}" for number, title in enumerate(SECTIONS, 1)]
    paragraphs = [tokens[place + 1].content for place, token in enumerate(tokens) if token.type == "paragraph_open"]
    assert not [text for text in paragraphs if "|" in text and text.startswith("|")]
    rows = [line for line in page.splitlines() if line.startswith("|")]
    in_tables = sum(token.type == "tr_open" for token in tokens)
    assert in_tables == len(rows) - sum("---" in line for line in rows) > 50
    assert not re.findall(r"\b(?:None|nan|inf)\b|[{}]", page)


def test_the_page_has_all_sections_and_readable_tables() -> None:
    require_readable(model_card(subject()))


def test_the_performance_is_that_of_the_judged_rows() -> None:
    """Counted by hand: a missed fraud costs 10,000, a declined genuine payment 500 and 5 % of it, so 1,000."""
    text = section(model_card(subject()), "Performance")
    # 5 frauds are missed, of 25: 50,000 of 250,000. The champion misses 15 and declines one genuine payment: 151,000.
    assert "| cost, minor units | 50,000 | 151,000 |" in text
    assert "cost over approving all | 0.200 (" in text
    assert "0.604 (" in text
    assert "**Saving**: 66.9 % of the champion's cost" in text  # (151,000 - 50,000) / 151,000
    # Of 20 alerts all are fraud, which finds 20 of 25; the others have equal scores: 0.8 x 1 + 0.2 x 25 / 60.
    assert "| average precision | 0.883 (" in text
    assert "| recall at 0.1 % false positives | 0.800 (" in text
    assert "| alerts | 20 | 11 |" in text
    assert "| share of alerts that is fraud | 100.0 % | 90.9 % |" in text
    assert "The costs of 11 of 30 cards differ" in text  # ten more frauds are found, and one customer is not declined
    assert "| recall at 1 % false positives | - | - |" in text


def test_the_calibration_is_counted_from_the_probabilities() -> None:
    # Brier: (20 x 0.1² + 5 x 0.995² + 35 x 0.005²) / 60. Expected: 20 x 0.9 + 40 x 0.005 = 18.2 of 25 frauds.
    text = section(model_card(subject()), "Calibration")
    assert "| Brier score | 0.08585 | 0.00123 |" in text
    assert "| expected over observed frauds | 0.73 | - |" in text


def test_slices_are_required_from_the_policy_s_number_of_frauds_on() -> None:
    text = section(model_card(subject()), "Slices")
    required, reported = text.split("*Reported only*:")
    # 15 cards with 15 frauds: the challenger finds all, the champion misses five.
    assert "| channel chip | 30 | 15 | 0.000 | 0.333 | -33.3 % |" in required
    assert "passed |" in required
    # 15 cards with 10 frauds: the challenger misses five, the champion all, and it declines a genuine payment.
    assert "| channel swipe | 30 | 10 | 0.500 | 1.010 | -51.0 % |" in reported
    assert "| channel swipe | 2 |" in reported  # frauds in training


def test_data_and_alternatives_come_from_the_comparison() -> None:
    page = model_card(subject())
    data = section(page, "Data and population")
    assert "| days | 2025-01-02 to before 2025-03-03 | 2025-03-03 to before 2025-03-10 |" in data
    assert "| quarantined days left out | 2025-02-10 | none |" in data
    assert "| transactions | 4,000 | 60 of 60 |" in data
    assert "| cards | 321 | 30 |" in data
    assert "| frauds | 40 (1.000%) | 25 (41.667%) |" in data
    assert "| censored | 35 | 0.854% |" in data  # of 4,100
    assert "| positions in the log of transactions | 0: 100, 1: 120 |" in data
    assert "| positions in the log of labels | 0: 7 |" in data
    alternatives = section(page, "Alternatives and baselines")
    assert "| this model | 0.750 | 0.400 | 0.250 |" in alternatives
    assert "| logistic regression | 0.350 |" in alternatives
    assert "| champion before it | 0.500 |" in alternatives
    assert "- rules: 80.0 %, with 95% confidence at most" in alternatives  # 250,000 without, 50,000 with the model
    assert "| trees | 77 |" in section(page, "Method")


def test_a_model_that_was_fitted_again_says_which_model_the_figures_are_of() -> None:
    judged = subject()
    again = structs.replace(judged, inputs=structs.replace(judged.inputs, refit_digest="e" * 64))
    assert "| fitted again with the judged days | no: this is the judged model |" in model_card(judged)
    page = model_card(again)
    assert "| yes: the figures of this card are those of the judged model `cccccccccccc`, which has" in page
    assert "| days | 2025-01-02 to before 2025-03-10 |" in page


def test_the_half_life_of_training_rows_is_stated() -> None:
    assert "| weight of training rows | every day counts the same |" in model_card(subject())
    aged = model_card(subject(half_life_days=7.0))
    assert "| weight of training rows | halves every 7 days into the past: the training follows a change |" in aged


def test_each_judged_day_has_its_cost() -> None:
    # On the third day, rows 2, 9, ... 58: frauds are the odd ones with a card below 25, so 9, 23, 37; none is missed.
    text = section(model_card(subject()), "Stability")
    assert "| 2025-03-05 | 9 | 3 | 0.000 | 0.667 |" in text
    assert text.count("| 2025-03-") == 7


def test_a_retraining_policy_is_the_monitoring_plan() -> None:
    policies = structs.replace(subject().policies, drift=DriftPolicy(judge_days=14, new_training_days=5))
    text = section(model_card(subject(policies=policies)), "Monitoring plan")
    assert "19 days of loss in a row, of which 14 are judged" in text
    assert "average precision 0.625 over 21 frauds" in text
    assert "30.0 missed frauds per 10,000 decisions (12 in 4,000)" in text
    assert "| volume | factor 2 |" in text
    assert "| clock | 2 h |" in text
    unknown = section(model_card(subject(measurable=None, missed=None)), "Monitoring plan")
    assert "the first measured week will be it; missed frauds unknown" in unknown


def test_a_first_champion_is_compared_with_nothing_and_the_page_says_so() -> None:
    page = model_card(subject(structs.replace(evidence(), champion=None)))
    require_readable(page)
    assert "No champion is compared: there is no champion to compare with." in page
    assert "Nothing is saved over a champion" in section(page, "Performance")
    assert "| cost, minor units | 50,000 | - |" in page
    assert "| power | no champion is compared |" in page
    assert "| the one before | - | there is no champion to compare with |" in page
    assert "Verdict: **promoted**" in page


def test_a_refused_challenger_is_not_approved_and_its_failures_are_known() -> None:
    rows = evidence()
    swapped = structs.replace(rows, challenger=rows.champion, champion=rows.challenger)
    page = model_card(subject(swapped, promotion=structs.replace(PERMISSIVE, minimum_gain=0.05)))
    require_readable(page)
    assert "Verdict: **refused**" in page
    assert "| approval | **not approved**: refused by the promotion gate of code version 0" in page
    failures = section(page, "Limitations and known failures")
    assert "Known failure: the gate's requirement is not met: adds 202.0 % of the champion's cost" in failures
    assert "in channel chip (33.3 %), channel swipe (51.0 %)" in failures


def test_a_model_that_costs_more_than_a_baseline_says_so() -> None:
    rows = evidence()
    declines_all = np.where(IS_FRAUD, DECLINE, APPROVE).astype(np.int8)
    page = model_card(subject(structs.replace(rows, baselines={"logistic_regression": declines_all})))
    assert "Known failure: costs more than the baseline logistic regression" not in page  # it costs nothing: no share
    one_missed = np.where(IS_FRAUD & (CARD > 0), DECLINE, APPROVE).astype(np.int8)
    page = model_card(subject(structs.replace(rows, baselines={"logistic_regression": one_missed})))
    assert "Known failure: costs more than the baseline logistic regression" in page


def test_slices_that_were_rare_in_training_are_limitations() -> None:
    text = section(model_card(subject()), "Limitations and known failures")
    assert "Fewer than 12 frauds in training: channel swipe (2)." in text
    assert "the outcome of 35 declined transactions is unknown" in text


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        (
            ControlShare(),
            "There is no control share, so no figure holds for declined payments whose outcome nobody reports",
        ),
        (
            ControlShare(share=0.02, cap_minor=5_000),
            "Control rows stand for declines by the model up to 5000 minor units",
        ),
    ],
)
def test_without_a_control_share_no_figure_holds_for_declined_payments(control: ControlShare, expected: str) -> None:
    page = model_card(subject(decision=DecisionPolicy(control=control)))
    assert expected in section(page, "Limitations and known failures")


def test_the_owner_is_the_policy_file_s_and_never_invented() -> None:
    assert "| owner | not named |" in model_card(subject())
    policies = structs.replace(subject().policies, owner="Fraud | team\n# of <b>the bank</b>")
    page = model_card(subject(policies=policies))
    require_readable(page)
    assert r"| owner | Fraud \| team # of \<b\>the bank\</b\> |" in page


def test_texts_of_others_break_no_table() -> None:
    page = model_card(subject(because=["a | b\n| c |", "`code` [link](x)"], flow_run="a`|b"))
    require_readable(page)
    assert r"trained because: a \| b \| c \|; \`code\` \[link\](x) |" in page


def test_a_population_counts_cards_days_and_frauds_of_every_slice() -> None:
    features = np.zeros((4, len(FEATURE_NAMES)), np.float32)
    features[:3, FEATURE_NAMES.index("is_atm")] = 1.0
    features[3, FEATURE_NAMES.index("is_chip")] = 1.0
    found = TrainingPopulation.of(
        features, np.array([True, False, True, False]), ["a", "a", "b", "c"], np.array([7, 7, 8, 9])
    )
    assert (found.rows, found.frauds, found.cards, found.days) == (4, 2, 3, 3)
    assert found.slice_frauds["channel"] == {"atm": 2, "chip": 0}
