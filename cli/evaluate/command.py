"""The command `cardwatch evaluate`: arguments in, a table and a JSON file out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct, structs
from rich.console import Console
from rich.table import Table

from cardwatch.errors import Misconfigured
from cardwatch.features.definitions import SCHEMA_HASH
from cli.evaluate.dataset import Dataset, read_dataset
from cli.evaluate.families import FamilyResult, families_table, results_table, run_families
from cli.evaluate.mapping_file import load_mapping
from cli.evaluate.rejects import failing, rejecting
from cli.evaluate.replay import Report
from cli.evaluate.run import FoldResult, Summary, prepare, run_folds, summarise
from models.prequential import PrequentialProtocol, to_date


class DataFacts(Struct, frozen=True, kw_only=True):
    """Counts of the rows that were read. `rejected` rows are not among `rows`."""

    file: str
    rows: int
    rejected: int
    frauds: int
    cards: int
    first_day: date
    last_day: date
    currency: str


class EvaluationReport(Struct, frozen=True, kw_only=True):
    """The content of `--output`. `families` is empty without `--families`."""

    data: DataFacts
    protocol: PrequentialProtocol
    feature_schema: str
    folds: list[FoldResult]
    mean: dict[str, float | None]
    std: dict[str, float | None]
    families: list[FamilyResult]


def run(
    data: Path,
    mapping_file: Path,
    output: Path,
    set_aside: Path | None,
    protocol_flags: Mapping[str, int | date],
    *,
    with_families: bool,
) -> None:
    """Evaluate `data`, print the table, write `output`. `set_aside`: where faulty rows go; None: the first one fails.
    `with_families`: every fold is run again without each family of features.

    Raises `Misconfigured`, most often as `MappingError`, for whatever the user can put right.
    """
    _check_paths(data, output, set_aside)
    mapping = load_mapping(mapping_file)
    mapping = structs.replace(mapping, protocol=structs.replace(mapping.protocol, **dict[str, Any](protocol_flags)))
    console = Console()
    with Console(stderr=True).status("") as status:  # in place and on stderr; silent without a terminal
        report: Report = status.update
        report(f"reading {data}")
        if set_aside is None:
            dataset, rejected = read_dataset(data, mapping, failing(data)), 0
        else:
            with rejecting(set_aside) as rejects:
                dataset, rejected = read_dataset(data, mapping, rejects), rejects.count
        facts = _facts(data, dataset, rejected)
        console.print(_in_words(facts, set_aside), highlight=False, soft_wrap=True)
        experiment = prepare(dataset, mapping.protocol, report)
        folds = list(run_folds(experiment, report))
        families = run_families(experiment, folds, report) if with_families else []
    summary = summarise([structs.asdict(result.metrics) for result in folds])
    _write(
        output,
        EvaluationReport(
            data=facts,
            protocol=mapping.protocol,
            feature_schema=SCHEMA_HASH,
            folds=folds,
            mean=summary.mean,
            std=summary.std,
            families=families,
        ),
    )
    console.print(_table(folds, summary))
    if families:
        console.print(families_table(families))
    console.print(f"written to {output}", highlight=False, soft_wrap=True)


def _check_paths(data: Path, output: Path, set_aside: Path | None) -> None:
    """Before minutes are spent, not after."""
    for option, path in (("--output", output), ("--rejects", set_aside)):
        if path is None:
            continue
        if path.resolve() == data.resolve():
            raise Misconfigured(f"{option} {path} would overwrite the data")
        if not path.parent.is_dir():
            raise Misconfigured(f"{option} {path}: there is no folder {path.parent}")
        if not os.access(path.parent, os.W_OK):
            raise Misconfigured(f"{option} {path}: the folder {path.parent} cannot be written to")


def _facts(data: Path, dataset: Dataset, rejected: int) -> DataFacts:
    return DataFacts(
        file=data.name,
        rows=len(dataset),
        rejected=rejected,
        frauds=int(dataset.is_fraud.sum()),
        cards=dataset.card_count,
        first_day=to_date(int(dataset.days[0])),
        last_day=to_date(int(dataset.days[-1])),
        currency=dataset.fields.currency,
    )


def _in_words(facts: DataFacts, set_aside: Path | None) -> str:
    words = (
        f"{facts.file}: {facts.rows:,} transactions of {facts.cards:,} cards from {facts.first_day} to"
        f" {facts.last_day}, {facts.frauds:,} of them fraud ({facts.frauds / facts.rows:.2%})"
    )
    return words if set_aside is None else f"{words}; {facts.rejected:,} rows rejected, see {set_aside}"


def _write(output: Path, document: EvaluationReport) -> None:
    try:
        output.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
    except OSError as error:
        raise Misconfigured(f"--output {output}: cannot be written: {error.strerror}") from error


CAPTION: Final = (
    "avg. prec.: average precision; card prec. @100: card precision at 100 cards a day; recall at that false-positive"
    " rate; exp. cost: share of what approving everything would cost, lower is better."
)
MEASURES: Final = {
    "roc_auc": "ROC\nAUC",
    "average_precision": "avg.\nprec.",
    "card_precision_at_100": "card\nprec.\n@100",
    "recall_at_fpr_0_1_percent": "recall\n0.1 %\nFPR",
    "recall_at_fpr_1_percent": "recall\n1 %\nFPR",
    "expected_cost": "exp.\ncost",
}


def _table(folds: list[FoldResult], summary: Summary) -> Table:
    table = results_table(CAPTION, ["fold", "tested\nfrom"], ["rows", "frauds", *MEASURES.values()])
    for result in folds:
        table.add_row(str(result.fold), str(result.test.first_day), *_cells(structs.asdict(result.metrics)))
    table.add_section()
    table.add_row("mean", "", *_cells(summary.mean))
    table.add_row("std", "", *_cells(summary.std))
    return table


def _cells(values: Mapping[str, float | None]) -> list[str]:
    counts = ["-" if (value := values[name]) is None else f"{value:,.0f}" for name in ("rows", "frauds")]
    shares = ["-" if (value := values[name]) is None else f"{value:.3f}" for name in MEASURES]
    return counts + shares
