"""The results of an evaluation as a document: the JSON file holds it, the report shows it."""

from __future__ import annotations

from datetime import date

from msgspec import Struct

from cli.evaluate.confidence import Confidence
from cli.evaluate.families import FamilyResult
from cli.evaluate.rejects import RejectReason
from cli.evaluate.run import FoldResult
from cli.evaluate.score_columns import ScoreColumnResult
from cli.evaluate.typologies import TypologyRecall
from cli.evaluate.wanted import PolicyFacts
from models.prequential import PrequentialProtocol


class DataFacts(Struct, frozen=True, kw_only=True):
    """Counts of the rows that were read. `rejected` and `left_out` rows (negative amounts) are not among `rows`."""

    file: str
    rows: int
    rejected: int
    rejected_because: list[RejectReason]
    left_out: int
    frauds: int
    cards: int
    first_day: date
    last_day: date
    currency: str


class EvaluationReport(Struct, frozen=True, kw_only=True):
    """The content of `--output`. `families` is empty without `--families`, `typologies` without `--truth`.

    `confidence` is None without `--confidence`.
    """

    data: DataFacts
    protocol: PrequentialProtocol
    policy: PolicyFacts
    card_precision_k: int
    feature_schema: str
    folds: list[FoldResult]
    mean: dict[str, float | None]
    std: dict[str, float | None]
    confidence: Confidence | None
    score_columns: list[ScoreColumnResult]
    families: list[FamilyResult]
    typologies: list[TypologyRecall]
