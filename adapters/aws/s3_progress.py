"""What batch jobs tell each other of days: the records of the topic `progress`, as objects under `progress/`.

There is no broker between the jobs. Each has one object a day, `progress/DAY/PART.jsonl`, and writes it whole: a job
that is started again says the same again in the same place. Read by key they are in the order of days, and within a
day in the order of `ProgressPart`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from enum import StrEnum

import msgspec

from adapters.aws.object_keys import PROGRESS_PREFIX, progress_key
from adapters.aws.s3 import Bucket
from cardwatch.progress import Progress, decode_progress


class ProgressPart(StrEnum):
    """Who speaks; in the order in which what they say of one day belongs."""

    ARCHIVE = "1-archive"
    MONITOR = "2-monitor"
    RETRAINING = "3-retraining"


class S3ProgressLog:
    """The records in `bucket`."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def write(self, day: date, part: ProgressPart, records: Sequence[Progress]) -> None:
        """Say this of the day, in the place of what was said before."""
        self._bucket.put(progress_key(day, part), b"".join(msgspec.json.encode(record) + b"\n" for record in records))

    def of_day(self, day: date, part: ProgressPart) -> list[Progress]:
        """What one of them has said of a day."""
        content = self._bucket.find(progress_key(day, part))
        return [] if content is None else _decoded(content)

    def before(self, day: date) -> list[Progress]:
        """Everything that was said of the days before this one, in order."""
        end = progress_key(day, "")
        keys = [found.key for found in self._bucket.objects(PROGRESS_PREFIX) if found.key < end]
        return [record for key in keys for record in _decoded(self._bucket.get(key))]


def _decoded(content: bytes) -> list[Progress]:
    return [decode_progress(line) for line in content.splitlines()]
