"""The model card: what a reviewer must know about a detector, on one page of Markdown."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import structs

from cardwatch.detector.detector import DetectorFacts
from models.evaluation import Evaluation

_PAGE = """\
# Card-fraud detector {digest}

**Use**: gives the probability that a card transaction is fraud; a cost policy approves, challenges or declines by it.
**Not for**: judging people, credit decisions, or transactions whose features another code computed.

## Training

| | |
|---|---|
{training}

## Evaluation

On rows that it was not trained on; a dash is a number that these rows cannot give.

| | |
|---|---|
{evaluation}

## Limits

- It knows the kinds of fraud in its training labels. A new kind shows first as drift, then as lost recall.
- Labels arrive days late: the newest rows of the training set are older than the maturity of labels.
- Probabilities are calibrated on the period after training and wear out as the fraud rate moves.
"""


def model_card(
    facts: DetectorFacts, evaluation: Evaluation, *, digest: str, notes: Mapping[str, str] | None = None
) -> str:
    """The card as Markdown. `notes` are further rows of the training table (periods, label position)."""
    settings = facts.settings
    training = {
        "rows": f"{facts.rows:,}",
        "frauds": f"{facts.frauds:,} ({facts.base_rate:.3%})",
        "features": f"{len(facts.feature_names)}, schema `{facts.schema_hash}`",
        "trees": f"{settings['trees']} of depth {settings['depth']}, learning rate {settings['learning_rate']}",
        "calibration": f"isotonic, {len(facts.calibration.margins)} points",
        "fingerprint": f"`{facts.fingerprint}`",
        **(notes or {}),
    }
    measured = {name.replace("_", " "): _number(value) for name, value in structs.asdict(evaluation).items()}
    return _PAGE.format(digest=digest[:12], training=_rows(training), evaluation=_rows(measured))


def _rows(cells: Mapping[str, str]) -> str:
    return "\n".join(f"| {name} | {value} |" for name, value in cells.items())


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
