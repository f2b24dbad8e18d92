"""The command `cardwatch evaluate`: arguments in, a table and a JSON file out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs
from rich.console import Console
from rich.markup import escape

from cardwatch.features.definitions import SCHEMA_HASH
from cli.evaluate.confidence import confidence_intervals
from cli.evaluate.dataset import Dataset, read_dataset
from cli.evaluate.document import DataFacts, EvaluationReport
from cli.evaluate.families import families_table, run_families
from cli.evaluate.mapping_file import load_mapping
from cli.evaluate.outputs import check_outputs, writing
from cli.evaluate.rejects import RejectReason, failing, in_words, rejecting
from cli.evaluate.report import write_report
from cli.evaluate.run import measure_fold, prepare, score_folds, summarise
from cli.evaluate.score_columns import measure_score_columns, warnings
from cli.evaluate.score_fields import check_score_columns
from cli.evaluate.scored_rows import write_scored_rows
from cli.evaluate.tables import folds_table, score_columns_table
from cli.evaluate.typologies import read_truth, recall_by_typology, typologies_table
from cli.evaluate.wanted import Wanted, read_policy
from models.evaluation import CARDS_A_DAY
from models.prequential import to_date


def run(
    data: Path,
    mapping_file: Path,
    output: Path,
    set_aside: Path | None,
    protocol_flags: Mapping[str, int | date],
    *,
    with_families: bool,
    wanted: Wanted,
) -> None:
    """Evaluate `data`, print the table, write `output`. `set_aside`: where faulty rows go; None: the first one fails.
    `with_families`: every fold is run again without each family of features. `wanted`: what else is asked for.

    Raises `Misconfigured`, most often as `MappingError`, for whatever the user can put right.
    """
    check_outputs(
        {
            "the data": data,
            "the mapping": mapping_file,
            "the policy": wanted.policy_file,
            "the truth": wanted.truth,
        },
        {"--output": output, "--rejects": set_aside, "--scores": wanted.scores, "--report": wanted.report},
    )
    mapping = load_mapping(mapping_file)
    mapping = structs.replace(mapping, protocol=structs.replace(mapping.protocol, **dict[str, Any](protocol_flags)))
    check_score_columns(wanted.score_columns, mapping)
    policy = read_policy(wanted.policy_file, mapping.transaction.currency)
    console = Console()
    with Console(stderr=True).status("") as status:  # in place and on stderr; silent without a terminal

        def report(words: str) -> None:
            status.update(escape(words))  # a name in them may look like markup

        report(f"reading {data}")
        if set_aside is None:
            dataset = read_dataset(data, mapping, failing(data), wanted.score_columns)
            reasons: list[RejectReason] = []
        else:
            with rejecting(set_aside) as rejects:
                dataset = read_dataset(data, mapping, rejects, wanted.score_columns)
                reasons = rejects.reasons()
        truth = None if wanted.truth is None else read_truth(wanted.truth, dataset)
        facts = _facts(data, dataset, reasons)
        for line in (_in_words(facts, set_aside), *in_words(reasons, len(dataset))):
            _say(console, line)
        experiment = prepare(
            dataset, mapping.protocol, report, policy=policy.costs, cards_a_day=wanted.cards_a_day or CARDS_A_DAY
        )
        scored = list(score_folds(experiment, report, wanted.score_columns))
        folds = [measure_fold(experiment, fold) for fold in scored]
        columns = measure_score_columns(experiment, scored, folds)
        level = wanted.confidence
        confidence = None if level is None else confidence_intervals(experiment, scored, level, report)
        families = run_families(experiment, folds, report) if with_families else []
        typologies = [] if truth is None else recall_by_typology(dataset, truth, scored)
    summary = summarise([result.metrics for result in folds])
    document = EvaluationReport(
        data=facts,
        protocol=mapping.protocol,
        policy=policy,
        card_precision_k=experiment.cards_a_day,
        feature_schema=SCHEMA_HASH,
        folds=folds,
        mean=summary.mean,
        std=summary.std,
        confidence=confidence,
        score_columns=columns,
        families=families,
        typologies=typologies,
    )
    with writing("--output", output) as place:
        place.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
    console.print(folds_table(folds, summary, experiment.cards_a_day, confidence))
    if columns:
        console.print(score_columns_table(columns, summary, experiment.cards_a_day, confidence))
    if typologies:
        console.print(typologies_table(typologies))
    if families:
        console.print(families_table(families))
    for warning in warnings(columns):
        _say(console, warning)
    _say(console, f"written to {output}")
    if wanted.scores is not None:
        count = write_scored_rows(wanted.scores, experiment, scored)
        _say(console, f"{count:,} scored rows written to {wanted.scores}")
    if wanted.report is not None:
        write_report(wanted.report, document, experiment, scored)
        _say(console, f"report written to {wanted.report}")


def _say(console: Console, words: str) -> None:
    """As it is: a path is neither markup nor wrapped."""
    console.print(words, highlight=False, soft_wrap=True, markup=False)


def _facts(data: Path, dataset: Dataset, reasons: list[RejectReason]) -> DataFacts:
    return DataFacts(
        file=data.name,
        rows=len(dataset),
        rejected=sum(reason.rows for reason in reasons),
        rejected_because=reasons,
        left_out=dataset.left_out,
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
    if facts.left_out:
        words += f"; {facts.left_out:,} rows with a negative amount left out"
    return words if set_aside is None else f"{words}; {facts.rejected:,} rows rejected, see {set_aside}"
