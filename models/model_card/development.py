"""Sections of the model card on development: purpose, data, method, alternatives."""

from __future__ import annotations

from msgspec import structs

from cardwatch.detector.detector import DetectorFacts
from cardwatch.promotion.evidence import JudgedInputs
from cardwatch.promotion.verdict import BaselineResult
from models.evaluation import Evaluation
from models.model_card.markdown import bullets, count, days, key_values, percent, plain, ratio, table
from models.model_card.subject import CardSubject

PURPOSE = """\
The model gives the probability that a card transaction is fraud. The decision policy turns it into the action with the
lowest expected cost: approve, challenge or decline. Its reason codes explain an alert to investigators.

**Not intended for**: judging people, credit decisions, transactions whose features were computed by other code (the
schema hash is checked), and a policy with other costs than those below without a new verdict."""


def data(subject: CardSubject) -> str:
    """Return windows, sizes, label states and origin of the rows."""
    inputs, population, coverage = subject.inputs, subject.population, subject.label_coverage
    judged = inputs.label_coverage
    windows = table(
        ["", "training", "judging"],
        [
            ["days", f"{inputs.trained_from} to before {inputs.trained_until}", _judged_days(subject)],
            ["days with rows", count(population.days), count(subject.report.days)],
            ["quarantined days left out", days(subject.excluded_training_days), days(inputs.excluded_judged_days)],
            ["transactions", count(population.rows), f"{count(judged.judged)} of {count(judged.transactions)}"],
            ["cards", count(population.cards), count(subject.report.cards)],
            [
                "frauds",
                f"{count(population.frauds)} ({_share(population.frauds, population.rows)})",
                f"{count(subject.report.frauds)} ({_share(subject.report.frauds, subject.report.rows)})",
            ],
        ],
    )
    states = structs.asdict(coverage)
    total = sum(states.values())
    labels = table(
        ["label state", "transactions", "share"],
        [[name.replace("_", " "), count(number), _share(number, total)] for name, number in states.items()],
    )
    origin = key_values(
        {
            "data known at the end of": str(inputs.as_of),
            "positions in the log of transactions": _positions(inputs.log_ends),
            "positions in the log of labels": _positions(inputs.label_ends),
            "fingerprint of the training set": f"`{inputs.fingerprint or 'none'}`",
            "features recorded by decisions and replayed": f"{count(inputs.feature_parity.rows)} compared, "
            f"{count(inputs.feature_parity.differing)} differ",
        }
    )
    return (
        f"{windows}\n\nLabels of both windows together. Censored transactions were declined and nobody said what they "
        f"were; they and immature ones are no rows.\n\n{labels}\n\nPositions are `partition: next offset`.\n\n{origin}"
    )


def method(subject: CardSubject) -> str:
    """Return how the model was made."""
    facts, training = subject.facts, subject.policies.training
    settings = {name.replace("_", " "): f"{value:g}" for name, value in facts.settings.items()}
    search = (
        f"at most {training.trials} settings, validated on the last {training.validation_days} days of the training "
        "window; `trials.json` has them"
        if training.trials
        else "none: the default settings"
    )
    return (
        "Gradient-boosted trees (XGBoost) on the features of one transaction: its own fields, the past of its card, "
        "and reference tables of merchants and devices. Margins are calibrated to probabilities. Conceptual soundness: "
        "each feature has a definition with unit and meaning (docs/features.md), is computed by the same code in "
        "training and serving, and uses nothing that was unknown at the time of the transaction.\n\n"
        + key_values(
            {
                "features": f"{len(facts.feature_names)}, schema `{facts.schema_hash}`",
                "search of settings": search,
                **settings,
                "calibration": _calibration(facts),
                "rows, frauds": f"{count(facts.rows)}, {count(facts.frauds)} ({percent(facts.base_rate)})",
                "weight of training rows": _row_weights(subject.half_life_days),
                "fingerprint of rows and settings": f"`{facts.fingerprint}`",
                "fitted again with the judged days": _fitted_again(subject.inputs),
            }
        )
    )


def _row_weights(half_life_days: float | None) -> str:
    if half_life_days is None:
        return "every day counts the same"
    return f"halves every {half_life_days:g} days into the past: the training follows a change"


def _fitted_again(inputs: JudgedInputs) -> str:
    if inputs.refit_digest is None:
        return "no: this is the judged model"
    judged = inputs.challenger_digest[:12]
    return f"yes: the figures of this card are those of the judged model `{judged}`, which has the same settings"


def alternatives(subject: CardSubject) -> str:
    """Return the figures of simpler models, and of the champion, on the judged rows."""
    models = {"this model": subject.challenger, **subject.baselines}
    if subject.champion is not None:
        models["champion before it"] = subject.champion
    figures = table(
        ["", "average precision", "recall at 0.1 % false positives", "cost over approving all"],
        [
            [
                _name(name),
                ratio(each.average_precision),
                ratio(each.recall_at_fpr_0_1_percent),
                ratio(each.expected_cost),
            ]
            for name, each in models.items()
        ],
    )
    savings = bullets(_saving(name, result, subject) for name, result in subject.report.baselines.items())
    champion = (
        f"The champion was version {plain(subject.inputs.champion_version or '')}."
        if subject.champion is not None
        else f"No champion is compared: {plain(subject.inputs.trained)}."
    )
    return (
        f"All on the judged rows, each row once, without weights. {champion}\n\n{figures}\n\nWhat this model saves of "
        f"each baseline's cost, with weights:\n\n{savings or '- no baseline was judged'}"
    )


def _saving(name: str, result: BaselineResult, subject: CardSubject) -> str:
    confidence = 1.0 - subject.policies.promotion.baseline_error_rate
    bound = (
        "no upper bound"
        if result.saving_at_most is None
        else f"with {confidence:.0%} confidence at most {percent(result.saving_at_most)}"
    )
    return f"{_name(name)}: {percent(result.saving)}, {bound}"


def further_figures(evaluation: Evaluation, champion: Evaluation | None) -> str:
    """Return the remaining metrics of an evaluation beside the champion's."""
    names = {
        "roc_auc": "ROC AUC",
        "recall_at_fpr_1_percent": "recall at 1 % false positives",
        "card_precision_at_100": "share of frauds among the 100 riskiest cards of a day",
    }
    return table(
        ["without weights", "this model", "champion"],
        [
            [title, ratio(getattr(evaluation, name)), ratio(getattr(champion, name) if champion else None)]
            for name, title in names.items()
        ],
    )


def _calibration(facts: DetectorFacts) -> str:
    if not facts.calibration_folds:
        return "on rows that the trees were not trained on"
    return f"beta calibration on out-of-fold margins, {facts.calibration_folds} folds of cards"


def _judged_days(subject: CardSubject) -> str:
    return f"{subject.inputs.judged_from} to before {subject.inputs.judged_until}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.3%}" if whole else "-"


def _positions(ends: dict[int, int]) -> str:
    return ", ".join(f"{partition}: {end:,}" for partition, end in sorted(ends.items())) or "none"


def _name(name: str) -> str:
    return plain(name.replace("_", " "))
