"""Model card of a detector, a page of Markdown for reviewers (Mitchell et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import structs

from cardwatch.detector.detector import DetectorFacts
from models.evaluation import Evaluation

_PAGE = """\
# Card-fraud detector {digest}

**Intended use**: probability that a card transaction is fraud, for a cost policy that approves, challenges or declines.
**Not intended for**: judging people, credit decisions, or transactions whose features were computed by other code.

## Training

| | |
|---|---|
{training}

## Evaluation

On rows outside its training window. A dash is a metric that these rows cannot give.

| | |
|---|---|
{evaluation}

## Limits

- It detects the kinds of fraud in its training labels. A new kind appears first as drift, then as lower recall.
- Labels arrive days late: the newest rows of the training set are older than the maturity of labels.
- Probabilities are calibrated on the days of the training window, for cards that the trees have not seen. They become
  wrong when the fraud rate changes.
"""


def model_card(
    facts: DetectorFacts, evaluation: Evaluation, *, digest: str, notes: Mapping[str, str] | None = None
) -> str:
    """Return the model card. `notes` are additional rows of the training table, such as the training window."""
    settings = facts.settings
    training = {
        "rows": f"{facts.rows:,}",
        "frauds": f"{facts.frauds:,} ({facts.base_rate:.3%})",
        "features": f"{len(facts.feature_names)}, schema `{facts.schema_hash}`",
        "trees": f"{settings['trees']} of depth {settings['depth']}, learning rate {settings['learning_rate']}",
        "calibration": _calibration(facts),
        "fingerprint": f"`{facts.fingerprint}`",
        **(notes or {}),
    }
    measured = {name.replace("_", " "): _number(value) for name, value in structs.asdict(evaluation).items()}
    return _PAGE.format(digest=digest[:12], training=_rows(training), evaluation=_rows(measured))


def _calibration(facts: DetectorFacts) -> str:
    if not facts.calibration_folds:
        return "on rows that the trees were not trained on"
    quality = facts.calibration_quality
    measured = (
        f"; on cards not seen: Brier score {quality['brier']:.5f}, expected calibration error "
        f"{quality['expected_calibration_error']:.5f} in {quality['bins']:.0f} bins"
        if quality
        else ""
    )
    return f"on out-of-fold margins, {facts.calibration_folds} folds of cards{measured}"


def _rows(cells: Mapping[str, str]) -> str:
    return "\n".join(f"| {name} | {value} |" for name, value in cells.items())


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
