"""Keys of all objects in the data bucket. They are stored names: renaming one hides what earlier versions stored.

    archive/...                                the archive as on disk, see `adapters.archive.layout`
    tables/...                                 reference tables as on disk
    progress/DAY/PART.jsonl                    progress records of a day, one object per job
    decisions/shard=SHARD/NAME.jsonl           delivered decisions of one batch
    dead-letters/shard=SHARD/OFFSET.json       dead letters that are too large for a message
    labels/DAY.jsonl                           labels that the bank delivers; any name under labels/ is read
    reports/NAME                               drift reports
    training/EXECUTION/NAME                    training data of one retraining
    models/EXECUTION/NAME                      the registered model of one retraining, its verdict and model card
    models/EXECUTION/JOB/output/model.tar.gz   the candidate, where SageMaker puts the output of a training job

SageMaker itself writes captured requests under `capture/`; Terraform sets that prefix.
"""

from __future__ import annotations

from datetime import date
from typing import Final

from cardwatch.errors import Misconfigured

ARCHIVE_PREFIX: Final = "archive/"
TABLES_PREFIX: Final = "tables/"
PROGRESS_PREFIX: Final = "progress/"
DECISIONS_PREFIX: Final = "decisions/"
LABELS_PREFIX: Final = "labels/"


FIRST_EXECUTION: Final = "first"
"""Execution that trains the first champion of an environment."""
TRAINING_OUTPUT: Final = "/output/model.tar.gz"
"""End of the key of a training job's output."""

_SHARD: Final = "shard="


def progress_key(day: date, part: str) -> str:
    """Return the key of one job's progress records of a day."""
    return f"{PROGRESS_PREFIX}{day.isoformat()}/{part}.jsonl"


def shard_prefix(shard: int | str) -> str:
    """Return the prefix of a shard's decisions."""
    return f"{DECISIONS_PREFIX}{_SHARD}{shard}/"


def decisions_key(shard: int | str, name: int | str) -> str:
    """Return the key of a batch of decisions. Its name is its first offset, so that the keys of a shard sort by it."""
    return f"{shard_prefix(shard)}{name:0>20}.jsonl"


def shard_of(folder: str) -> int | None:
    """Return the shard whose decisions a folder under `DECISIONS_PREFIX` holds, None for other folders."""
    return int(folder.removeprefix(_SHARD)) if folder.startswith(_SHARD) else None


def dead_letter_key(shard: int, offset: int) -> str:
    """Return the key of a dead letter that is too large for a message."""
    return f"dead-letters/{_SHARD}{shard}/{offset:0>20}.json"


def labels_key(day: date) -> str:
    """Return the key of the labels that were observed on a day."""
    return f"{LABELS_PREFIX}{day.isoformat()}.jsonl"


def report_key(name: str) -> str:
    """Return the key of a report."""
    return f"reports/{name}"


def training_key(execution: str, name: str) -> str:
    """Return the key of a training file of an execution."""
    return f"training/{execution}/{name}"


def model_key(execution: str, name: str = "model.tar.gz") -> str:
    """Return the key of an execution's registered model, or of another file beside it."""
    return f"models/{execution}/{name}"


def object_url(bucket: str, key: str) -> str:
    """Return `s3://BUCKET/KEY`."""
    return f"s3://{bucket}/{key}"


def parse_object_url(url: str) -> tuple[str, str]:
    """Return bucket and key of `s3://BUCKET/KEY`. Raises `Misconfigured` for any other address."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not url.startswith("s3://") or not bucket or not key:
        raise Misconfigured(f"{url!r} is not the address of an object: s3://BUCKET/KEY")
    return bucket, key
