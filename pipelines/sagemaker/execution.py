"""Artifacts of one retraining on AWS in the data bucket. Each step reads those of the steps before it.

    training/EXECUTION/assembled.json          day, windows and fingerprint of the training set
    training/EXECUTION/rows.parquet            the training set
    training/EXECUTION/recent.parquet          feature rows of the drift reference
    training/EXECUTION/data_contract.json      expectations of a day's data; absent if there were too few days
    models/EXECUTION/JOB/output/model.tar.gz   the candidate, at the path where SageMaker stores a training job's output
    models/EXECUTION/refit/model.tar.gz        the promoted candidate, fitted again with the judged days
    models/EXECUTION/judged.json               verdict of the gate, and the tags to register the candidate with
    models/EXECUTION/verdict.json, model_card.md, reliability_judged.svg   the same for people
    models/EXECUTION/verdict/                  bundle of the verdict, see adapters.model_registry.verdict_bundle

An execution never changes the artifacts of another one.
"""

from __future__ import annotations

from datetime import date

import msgspec
from msgspec import Struct, field

from adapters.aws.object_keys import TRAINING_OUTPUT, model_key, training_key
from adapters.aws.s3 import Bucket
from cardwatch.data_contract.contract import CONTRACT_FILE
from cardwatch.errors import ObjectMissing
from cardwatch.label_states import LabelCoverage
from cardwatch.promotion.evidence import AssembledInputs
from cardwatch.promotion.split import TemporalSplit
from cardwatch.promotion.verdict import VERDICT_FOLDER, Verdict


class TrainingSetInfo(Struct, frozen=True, kw_only=True):
    """Day, windows and content fingerprint of a training set, label states of its transactions, and its origin.

    `excluded_days` are the quarantined days that it leaves out.
    """

    as_of: date
    split: TemporalSplit = field(name="windows")
    fingerprint: str
    label_coverage: LabelCoverage
    inputs: AssembledInputs
    excluded_days: list[date] = []


class CandidateVerdict(Struct, frozen=True, kw_only=True):
    """Verdict on a candidate, and the tags to register it with.

    `digest` is that of the model to register: with `is_refit` the one that was fitted again, else the judged one.
    """

    as_of: date
    digest: str
    is_refit: bool = False
    verdict: Verdict
    tags: dict[str, str]


class ExecutionArtifacts:
    """Artifacts of the execution `name` in `bucket`. Reading raises `ObjectMissing` for what is not stored yet."""

    def __init__(self, bucket: Bucket, name: str) -> None:
        self.bucket, self.name = bucket, name

    def put_training_set(self, info: TrainingSetInfo, *, rows: bytes, recent: bytes, contract: bytes | None) -> None:
        """Store a training set. `assembled.json` is written last, because it marks the others as complete."""
        self.bucket.put(self._data("rows.parquet"), rows)
        self.bucket.put(self._data("recent.parquet"), recent)
        if contract is not None:
            self.bucket.put(self._data(CONTRACT_FILE), contract)
        self.bucket.put(self._data("assembled.json"), _pretty(info))

    def training_set_info(self) -> TrainingSetInfo:
        """Return day, windows and fingerprint of the training set."""
        return msgspec.json.decode(self.bucket.get(self._data("assembled.json")), type=TrainingSetInfo)

    def training_rows(self) -> bytes:
        """Return the training set as Parquet."""
        return self.bucket.get(self._data("rows.parquet"))

    def recent_rows(self) -> bytes:
        """Return the rows of the drift reference as Parquet."""
        return self.bucket.get(self._data("recent.parquet"))

    def contract(self) -> bytes | None:
        """Return the data contract, None if there is none."""
        return self.bucket.find(self._data(CONTRACT_FILE))

    def candidate_archive(self) -> bytes:
        """Return the `model.tar.gz` of the newest training job of this execution."""
        found = [each for each in self.bucket.objects(model_key(self.name, "")) if each.key.endswith(TRAINING_OUTPUT)]
        if not found:
            raise ObjectMissing(f"execution {self.name} has no *{TRAINING_OUTPUT}: no training job has ended")
        return self.bucket.get(max(found, key=lambda each: (each.stored_at, each.key)).key)

    def put_refit(self, archive: bytes) -> None:
        """Store the `model.tar.gz` of the candidate that was fitted again."""
        self.bucket.put(self._refit, archive)

    def refit_archive(self) -> bytes:
        """Return the `model.tar.gz` of the candidate that was fitted again."""
        return self.bucket.get(self._refit)

    def put_verdict(self, verdict: CandidateVerdict, documents: dict[str, str], bundle: dict[str, bytes]) -> None:
        """Store a verdict, documents by file name, and the files of the verdict's bundle."""
        for name, content in bundle.items():
            self.bucket.put(model_key(self.name, f"{VERDICT_FOLDER}/{name}"), content)
        for name, document in documents.items():
            self.bucket.put(model_key(self.name, name), document.encode())
        self.bucket.put(self._verdict, _pretty(verdict))

    def verdict(self) -> CandidateVerdict:
        """Return the verdict on the candidate."""
        return msgspec.json.decode(self.bucket.get(self._verdict), type=CandidateVerdict)

    @property
    def _refit(self) -> str:
        return model_key(self.name, "refit/model.tar.gz")

    @property
    def _verdict(self) -> str:
        return model_key(self.name, "judged.json")

    def _data(self, name: str) -> str:
        return training_key(self.name, name)


def _pretty(value: Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value))
