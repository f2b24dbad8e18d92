"""Sections of the model card on use and governance: monitoring, limitations, policy, approval, history."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Final

import msgspec

from cardwatch.data_contract.finding import Check
from cardwatch.data_contract.thresholds import THRESHOLDS
from cardwatch.drift.missed_frauds import MissedFrauds
from cardwatch.drift.policy import EvidenceThreshold
from cardwatch.promotion.policy import MONTH_DAYS, PromotionPolicy, trials_per_month
from models.model_card.markdown import bullets, count, key_values, percent, plain, ratio, table
from models.model_card.subject import CardSubject

_FACTORS: Final = (Check.AMOUNT_SCALE, Check.VOLUME)
_HOURS: Final = (Check.CLOCK, Check.LOG_ORDER)


def monitoring(subject: CardSubject) -> str:
    """Return what is watched every day, and what starts a retraining."""
    drift, measurable = subject.policies.drift, subject.measurable
    baseline = (
        "unknown: the first measured week will be it"
        if measurable is None
        else f"average precision {ratio(measurable.average_precision)} over {count(measurable.frauds)} frauds: that of "
        "the judged rows which this model would not decline, or for which control rows stand"
    )
    plan = key_values(
        {
            "data contract": "before anything else; a finding quarantines its days and blocks retraining",
            "data drift": f"the newest {drift.drift_days} days against the reference of the model; drift from "
            f"{percent(drift.drift_share)} drifted features on, relevant for {drift.drift_memory_days} days; never "
            "retrains alone",
            "performance": f"average precision and missed frauds of the newest {drift.performance_days} mature days, "
            f"from {drift.minimum_frauds} frauds on; labels are mature after {drift.maturity_days} days",
            "baseline of performance": f"{baseline}; {_missed(subject.missed)}",
            "retraining, while a drift is relevant": _evidence(drift.with_drift),
            "retraining, without a drift": _evidence(drift.without_drift),
            "and in any case": f"{drift.judge_days + drift.new_training_days} days of loss in a row, of which "
            f"{drift.judge_days} are judged",
            "no retraining": f"{drift.cooldown_days_after_promotion} days after a promotion, "
            f"{drift.cooldown_days_after_refusal} after a refusal",
        }
    )
    contract = table(["check of the data contract", "threshold"], _thresholds())
    return f"{plan}\n\n{contract}"


def limitations(subject: CardSubject) -> str:
    """Return what the figures above do not say, and what is known to be bad."""
    return bullets([*_limits(subject), *_known_failures(subject)])


def policy(subject: CardSubject) -> str:
    """Return costs of decisions, error rates and power."""
    decision, promotion = subject.policies.decision, subject.policies.promotion
    saving = subject.report.saving
    power = (
        "no champion is compared"
        if saving is None
        else "no saving would have been found with 80 % probability: too few frauds"
        if saving.detectable is None or promotion.minimum_gain + saving.detectable >= 1
        else f"a true saving of {percent(promotion.minimum_gain + saving.detectable)} would have been found with 80 % "
        "probability"
    )
    costs = key_values(
        {
            "version": f"`{decision.version}`",
            "currency": decision.currency or "not named: amounts are taken as they are",
            "challenge of a genuine customer": f"{decision.challenge_cost_minor:g} minor units",
            "share of fraud that a challenge stops": f"{decision.challenge_stops_fraud:g}",
            "channels with a challenge": ", ".join(channel.value for channel in decision.challenge_channels) or "none",
            "decline of a genuine customer": f"{decision.decline_cost_minor:g} minor units and "
            f"{decision.lost_margin:g} of the amount",
            "approved fraud": f"{_liability(subject)} of the amount and {decision.chargeback_fee_minor:g} minor units",
            "alert": f"{decision.alert_cost_minor + decision.alert_price_minor:g} minor units",
            "rules over the model": count(len(decision.rules)),
            "control share": f"{decision.control.share:g} of would-be declines up to "
            f"{decision.control.cap_minor:g} minor units"
            if decision.control.share
            else "none",
        }
    )
    rates = key_values(
        {
            "version of the promotion policy": f"`{version_of(promotion)}`",
            "promotion of a challenger that saves too little": f"{promotion.error_rate_per_trial:g} per trial, at most "
            f"{promotion.error_rate_per_trial * trials_per_month(subject.policies.drift):g} in {MONTH_DAYS} days",
            "promotion in spite of harm in a slice": f"{promotion.slice_error_rate:g}",
            "refusal for one baseline, in spite of the gain": f"{promotion.baseline_error_rate:g}",
            "power": power,
        }
    )
    return (
        f"Costs are assumptions of the policy file, not accounts.\n\n{costs}\n\nError rates of the verdict:\n\n{rates}"
    )


def approval(subject: CardSubject) -> str:
    """Return owner, verdict and origin."""
    verdict, inputs = subject.report.verdict, subject.inputs
    gate = f"the promotion gate of code version {plain(inputs.code_version)}, promotion policy " + (
        f"`{version_of(subject.policies.promotion)}`, decision policy `{subject.policies.decision.version}`"
    )
    facts = key_values(
        {
            "owner": "not named" if subject.policies.owner is None else plain(subject.policies.owner),
            "approval": f"promoted by {gate}" if verdict.promoted else f"**not approved**: refused by {gate}",
            "approval by a person": "none is recorded on this page",
            "verdict": f"digest `{subject.verdict_digest}`; `cardwatch verdict check` computes it again",
            "run that trained it": plain(subject.flow_run) or "not known",
        }
    )
    because = plain("; ".join(subject.because)) or "not said"
    history = table(
        ["model", "identity", "remark"],
        [
            [
                "this one",
                f"`{subject.digest[:12]}`",
                f"trained because: {because}",
            ],
            _champion(subject),
        ],
    )
    sentences = bullets(plain(reason) for reason in verdict.reasons)
    return f"{facts}\n\nRequirements of the gate:\n\n{sentences}\n\nChange history:\n\n{history}"


def version_of(promotion: PromotionPolicy) -> str:
    """Return the first 12 hexadecimal digits of a hash over all values, like the version of a decision policy."""
    return hashlib.sha256(msgspec.json.encode(promotion, order="sorted")).hexdigest()[:12]


def _champion(subject: CardSubject) -> list[str]:
    inputs = subject.inputs
    if inputs.champion_version is None:
        return ["the one before", "-", plain(inputs.trained)]
    return [
        "the one before",
        f"version {plain(inputs.champion_version)}, `{(inputs.champion_digest or '')[:12]}`",
        plain(inputs.trained),
    ]


def _evidence(threshold: EvidenceThreshold) -> str:
    return (
        f"a loss of {percent(threshold.loss)} of the baseline and {threshold.standard_errors:g} standard errors, or "
        f"{threshold.missed_ratio:g} times the missed frauds and {threshold.missed_standard_errors:g} standard errors, "
        f"on {threshold.days} days in a row"
    )


def _missed(missed: MissedFrauds | None) -> str:
    if missed is None:
        return "missed frauds unknown"
    return f"{missed.per_10000:.1f} missed frauds per 10,000 decisions ({missed.frauds:.0f} in {missed.decisions:,})"


def _thresholds() -> Iterator[list[str]]:
    for check, threshold in THRESHOLDS.items():
        if check in _FACTORS:
            shown = f"factor {math.exp(threshold):g}"
        else:
            shown = f"{threshold:g} h" if check in _HOURS else f"{threshold:g}"
        yield [check.value.replace("_", " "), shown]


def _limits(subject: CardSubject) -> Iterator[str]:
    decision, coverage = subject.policies.decision, subject.label_coverage
    yield (
        f"Selective labels: the outcome of {count(coverage.censored)} declined transactions is unknown, and they are "
        "in no figure of this page."
    )
    if decision.control.share:
        yield (
            f"Control rows stand for declines by the model up to {decision.control.cap_minor:g} minor units; for "
            "larger amounts, and for declines by rules, the figures do not hold."
        )
    else:
        yield (
            "There is no control share, so no figure holds for declined payments whose outcome nobody reports: a kind "
            "of fraud that is always declined is not learned from, and a loss of performance on it is not seen."
        )
    rare = _rare_slices(subject)
    if rare:
        yield (
            f"Fewer than {subject.policies.promotion.slice_minimum_frauds:,} frauds in training: {rare}. What is rare "
            "there is learned badly."
        )
    yield (
        "Labels name no method of fraud, so kinds of fraud are not counted. A new kind appears as drift first, then as "
        "lower recall, and at worst not before its labels arrive."
    )
    yield (
        "Cards are taken to be independent; fraud that many cards suffer at one merchant makes intervals too narrow, "
        "and the bound of the saving too high."
    )
    yield (
        "Probabilities are calibrated on the training window; they are wrong when the fraud rate changes. Labels may "
        "be wrong or incomplete in the same way for all models."
    )


def _known_failures(subject: CardSubject) -> Iterator[str]:
    for sentence in subject.report.verdict.reasons:
        if sentence.startswith("FAILED"):
            yield f"Known failure: the gate's requirement is not met: {plain(sentence.removeprefix('FAILED: '))}."
    slices = [each for each in subject.report.slices if each.increase > 0]
    if slices:
        worse = plain(", ".join(f"{each.division} {each.name} ({percent(each.increase)})" for each in slices))
        yield f"Known failure: costs more than the champion, as a share of the slice's fraud, in {worse}."
    cheaper = [
        name.replace("_", " ")
        for name, each in subject.report.baselines.items()
        if each.saving is not None and each.saving < 0
    ]
    if cheaper:
        yield f"Known failure: costs more than the baseline {plain(', '.join(cheaper))} on the judged rows."


def _rare_slices(subject: CardSubject) -> str:
    minimum = subject.policies.promotion.slice_minimum_frauds
    return plain(
        ", ".join(
            f"{division} {name} ({frauds})"
            for division, names in sorted(subject.population.slice_frauds.items())
            for name, frauds in names.items()
            if frauds < minimum
        )
    )


def _liability(subject: CardSubject) -> str:
    shares = msgspec.to_builtins(subject.policies.decision.liability)
    values = set(shares.values())
    return f"{values.pop():g}" if len(values) == 1 else ", ".join(f"{name} {share:g}" for name, share in shares.items())
