"""The requirements of the gate, each with one plain sentence that has its numbers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from math import inf
from typing import NamedTuple

from cardwatch.promotion.evidence import JudgedInputs, ScoringTime
from cardwatch.promotion.paired_bootstrap import SavingBound
from cardwatch.promotion.policy import PromotionPolicy
from cardwatch.promotion.score_quality import ScoreQuality
from cardwatch.promotion.verdict import SliceResult, VerdictReport


class Requirement(NamedTuple):
    """A requirement and whether it is met. `passed` is None for a sentence that requires nothing."""

    passed: bool | None
    sentence: str

    @property
    def reason(self) -> str:
        """The sentence with its result before it."""
        return f"{'noted' if self.passed is None else 'passed' if self.passed else 'FAILED'}: {self.sentence}"


def all_requirements(report: VerdictReport, inputs: JudgedInputs, policy: PromotionPolicy) -> list[Requirement]:
    """Return all requirements on the measurements in `report`, whose own verdict is not read."""
    return [
        *_amount_of_evidence(report, inputs, policy),
        *_challenger_alone(report, policy),
        *_saving(report, policy),
        *_slices(report.slices, policy),
        *_side_effects(report, inputs, policy),
        *_parity(inputs),
    ]


def _amount_of_evidence(report: VerdictReport, inputs: JudgedInputs, policy: PromotionPolicy) -> Iterator[Requirement]:
    coverage = inputs.label_coverage
    yield Requirement(
        report.rows >= policy.minimum_rows,
        f"judged on {report.rows:,} transactions, at least {policy.minimum_rows:,} are needed",
    )
    yield Requirement(
        report.frauds >= policy.minimum_frauds,
        f"judged on {report.frauds:,} frauds, at least {policy.minimum_frauds:,} are needed",
    )
    excluded = f" ({_days(report.excluded_days)} left out as quarantined)" if report.excluded_days else ""
    yield Requirement(
        report.days >= policy.minimum_days,
        f"judged on {report.days} days{excluded}, at least {policy.minimum_days} are needed",
    )
    if coverage.without_outcome > 0:
        yield Requirement(
            None,
            f"{coverage.without_outcome:,} of the {coverage.transactions:,} transactions of these days "
            "have no known outcome and were not judged",
        )
    if coverage.unpriced:
        yield Requirement(
            None,
            f"{coverage.unpriced:,} transactions of these days are in a currency for which the policy has no rate: "
            "rules decide them, whatever the model, and they were not judged",
        )


def _challenger_alone(report: VerdictReport, policy: PromotionPolicy) -> Iterator[Requirement]:
    quality = report.challenger
    precision = quality.average_precision
    shown = "unknown" if precision is None else f"{precision:.3f}"
    yield Requirement(
        precision is not None and precision >= policy.minimum_average_precision,
        f"average precision {shown}, at least {policy.minimum_average_precision:.3f} in any case",
    )
    yield Requirement(
        precision is not None and precision <= policy.maximum_average_precision,
        f"average precision {shown}; above {policy.maximum_average_precision:.3f} the features would be suspected of "
        "knowing the labels",
    )
    yield _calibration(quality, report.frauds, policy)
    for name, baseline in report.baselines.items():
        if baseline.saving is None:
            yield Requirement(quality.cost_minor <= 0, f"the baseline {name} costs nothing, and must not be exceeded")
        else:
            highest = inf if baseline.saving_at_most is None else baseline.saving_at_most
            at_most = "an unknown share" if baseline.saving_at_most is None else _percent(highest)
            yield Requirement(
                highest >= policy.minimum_gain_over_baselines,
                f"{_saves(baseline.saving)} of the cost of the baseline {name}, with "
                f"{1 - policy.baseline_error_rate:.0%} confidence at most {at_most}; a saving of "
                f"{_percent(policy.minimum_gain_over_baselines)} must be possible",
            )


def _calibration(quality: ScoreQuality, frauds: int, policy: PromotionPolicy) -> Requirement:
    lowest, highest = 1 / policy.calibration_factor, policy.calibration_factor
    happened = quality.weighted_frauds
    ratio = quality.expected_frauds / happened if happened else inf
    return Requirement(
        lowest <= ratio <= highest,
        f"expects {quality.expected_frauds:.1f} frauds where {happened:,.4g} happened, {ratio:.2f} times as many, "
        f"allowed {lowest:.2f} to {highest:.2f}; Brier score {quality.brier:.5f}, expected calibration error "
        f"{quality.calibration_error:.5f}",
    )


def _saving(report: VerdictReport, policy: PromotionPolicy) -> Iterator[Requirement]:
    saving, champion = report.saving, report.champion
    if saving is None or champion is None:
        return
    confidence = 1.0 - saving.error_rate
    yield Requirement(
        saving.lower_bound is not None and saving.lower_bound > policy.minimum_gain,
        f"{_saves(saving.saving)} of the champion's cost, with {confidence:.0%} confidence "
        f"{_at_least(saving.lower_bound)}; more than {_percent(policy.minimum_gain)} is needed",
    )
    yield Requirement(
        saving.differing_cards >= policy.minimum_differing_cards,
        f"the costs differ for {saving.differing_cards:,} cards, at least {policy.minimum_differing_cards:,} "
        "are needed",
    )
    yield Requirement(None, _power(saving, policy))
    if saving.largest_card and abs(saving.largest_card) > abs(saving.saving) / 2:
        yield Requirement(
            None, f"one card alone accounts for {_percent(saving.largest_card)} of the champion's cost in this saving"
        )
    yield Requirement(
        None,
        f"average precision {_ratio(report.challenger.average_precision)} against the champion's "
        f"{_ratio(champion.average_precision)}, recall at 0.1 % false positives {_ratio(report.challenger.recall)} "
        f"against {_ratio(champion.recall)}",
    )


def _power(saving: SavingBound, policy: PromotionPolicy) -> str:
    if saving.detectable is None or (needed := policy.minimum_gain + saving.detectable) >= 1.0:
        return "no saving would have been found with 80 % probability on rows like these: they have too few frauds"
    return f"a true saving of {_percent(needed)} would have been found with 80 % probability on rows like these"


def _slices(slices: list[SliceResult], policy: PromotionPolicy) -> Iterator[Requirement]:
    required = [each for each in slices if each.required]
    margin = _percent(policy.slice_margin)
    for each in required:
        if not each.passed:
            at_most = "unknown" if each.increase_at_most is None else _percent(each.increase_at_most)
            yield Requirement(
                False,
                f"slice {each.division} {each.name}: costs {_percent(each.increase)} of its fraud more than the "
                f"champion, with {1 - policy.slice_error_rate:.0%} confidence at most {at_most}; at most {margin} is "
                f"allowed ({each.frauds:,} frauds)",
            )
    if required and all(each.passed for each in required):
        yield Requirement(True, f"none of {len(required)} slices costs more than the champion by {margin} of its fraud")
    small = len(slices) - len(required)
    if small:
        yield Requirement(
            None, f"{small} slices have fewer than {policy.slice_minimum_frauds:,} frauds and are reported only"
        )


def _side_effects(report: VerdictReport, inputs: JudgedInputs, policy: PromotionPolicy) -> Iterator[Requirement]:
    yield from _alerts(report, inputs, policy)
    if report.champion is not None:
        yield from _latency(inputs.scoring_time, policy)


def _alerts(report: VerdictReport, inputs: JudgedInputs, policy: PromotionPolicy) -> Iterator[Requirement]:
    """Without an outcome are declined transactions only, so at worst all of them are alerts of the challenger too."""
    alerts, precision = report.challenger.alerts, report.challenger.alert_precision
    shown = "" if precision is None else f", {_percent(precision)} of them fraud"
    champion = report.champion
    before = "" if champion is None else f" against the champion's {_alerts_of(champion)}"
    yield Requirement(
        precision is None or precision >= policy.minimum_alert_precision,
        f"{alerts:,.0f} alerts{shown}{before}; at least {_percent(policy.minimum_alert_precision)} must be fraud",
    )
    if policy.maximum_alerts_per_day is not None:
        a_day = (alerts + inputs.label_coverage.without_outcome) / report.days
        yield Requirement(
            a_day <= policy.maximum_alerts_per_day,
            f"at most {a_day:,.1f} alerts a day, {policy.maximum_alerts_per_day:,g} can be checked",
        )


def _alerts_of(quality: ScoreQuality) -> str:
    precision = quality.alert_precision
    return f"{quality.alerts:,.0f}" + ("" if precision is None else f" ({_percent(precision)})")


def _latency(time: ScoringTime, policy: PromotionPolicy) -> Iterator[Requirement]:
    """The times are in the sentence only if they are too long: otherwise equal inputs would give other verdicts."""
    if time.champion_us is None:
        return
    allowed = f"at most {policy.maximum_latency_ratio:g} times the champion's time or {policy.free_latency_us:g} µs"
    is_fast = time.challenger_us <= max(policy.free_latency_us, policy.maximum_latency_ratio * time.champion_us)
    yield Requirement(
        is_fast,
        f"scores a transaction in {allowed}"
        if is_fast
        else f"scores a transaction in {time.challenger_us:.1f} µs against the champion's {time.champion_us:.1f} µs; "
        f"{allowed} is allowed",
    )


def _parity(inputs: JudgedInputs) -> Iterator[Requirement]:
    parity = inputs.feature_parity
    if not parity.rows:
        yield Requirement(None, "no decision of these days recorded features to compare the replayed ones with")
        return
    some = ", ".join(parity.features[:5])
    yield Requirement(
        not parity.differing,
        f"{parity.differing:,} of {parity.rows:,} decisions recorded other features than the replay gives"
        + (f": {some}" if some else ""),
    )


def _days(days: list[date]) -> str:
    named = ", ".join(str(day) for day in days[:7])
    return named if len(days) <= 7 else f"{named} and {len(days) - 7} more"


def _saves(share: float) -> str:
    return f"saves {_percent(share)}" if share >= 0 else f"adds {_percent(-share)}"


def _at_least(share: float | None) -> str:
    return "nothing is certain" if share is None else f"at least {_percent(share)}"


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"


def _ratio(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
