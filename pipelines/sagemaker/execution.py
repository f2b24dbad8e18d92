"""Where the steps of one retraining on AWS leave what they make, for the steps after them.

    training/EXECUTION/assembled.json   which windows, as of which day
    training/EXECUTION/rows.parquet     the training set
    training/EXECUTION/recent.parquet   feature rows that drift will be measured from
    models/EXECUTION/JOB/output/model.tar.gz   the candidate, where SageMaker puts what a training job leaves behind
    models/EXECUTION/judged.json        what the gate said of it, and what is to be registered with it
    models/EXECUTION/verdict.json, model_card.md   the same for people

Nothing of it is ever changed by another execution.
"""

from __future__ import annotations

from datetime import date

import msgspec
from msgspec import Struct

from adapters.aws.object_keys import TRAINING_OUTPUT, model_key, training_key
from adapters.aws.s3 import Bucket
from cardwatch.errors import ObjectMissing
from cardwatch.promotion.gate import Verdict, Windows


class Assembled(Struct, frozen=True, kw_only=True):
    """What a training set was assembled for; `fingerprint` is that of its content."""

    as_of: date
    windows: Windows
    fingerprint: str


class Judged(Struct, frozen=True, kw_only=True):
    """What the gate said of the candidate with this digest, and the tags that it is registered with."""

    as_of: date
    digest: str
    verdict: Verdict
    tags: dict[str, str]


class Execution:
    """The run `name` and what it keeps in `bucket`. What another step should have left raises `ObjectMissing`."""

    def __init__(self, bucket: Bucket, name: str) -> None:
        self.bucket, self.name = bucket, name

    def put_data(self, assembled: Assembled, *, rows: bytes, recent: bytes) -> None:
        """Keep a training set; what says that it is there comes last."""
        self.bucket.put(self._data("rows.parquet"), rows)
        self.bucket.put(self._data("recent.parquet"), recent)
        self.bucket.put(self._data("assembled.json"), _pretty(assembled))

    def assembled(self) -> Assembled:
        """What the training set is."""
        return msgspec.json.decode(self.bucket.get(self._data("assembled.json")), type=Assembled)

    def rows(self) -> bytes:
        """The training set."""
        return self.bucket.get(self._data("rows.parquet"))

    def recent(self) -> bytes:
        """The rows that drift will be measured from."""
        return self.bucket.get(self._data("recent.parquet"))

    def trained(self) -> bytes:
        """The archive that the training job left; of several jobs, that of the newest."""
        found = [each for each in self.bucket.objects(model_key(self.name, "")) if each.key.endswith(TRAINING_OUTPUT)]
        if not found:
            raise ObjectMissing(f"execution {self.name} has no *{TRAINING_OUTPUT}: no training job has ended")
        return self.bucket.get(max(found, key=lambda each: (each.stored_at, each.key)).key)

    def put_judged(self, judged: Judged, pages: dict[str, str]) -> None:
        """Keep a verdict, and pages for people by name."""
        for name, page in pages.items():
            self.bucket.put(model_key(self.name, name), page.encode())
        self.bucket.put(self._judged, _pretty(judged))

    def judged(self) -> Judged:
        """What the gate said."""
        return msgspec.json.decode(self.bucket.get(self._judged), type=Judged)

    @property
    def _judged(self) -> str:
        return model_key(self.name, "judged.json")

    def _data(self, name: str) -> str:
        return training_key(self.name, name)


def _pretty(value: Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value))
