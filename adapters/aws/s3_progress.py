"""Progress records of batch jobs in S3. They replace the topic `progress`, because there is no broker on AWS.

Each job writes one object per day, `progress/DAY/PART.jsonl`. A restarted job overwrites its object with the same
records. In the order of keys, days are in order, and the records of a day are in the order of `ProgressPart`.
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
    """Jobs that write progress records, in the order of their records of one day."""

    ARCHIVE = "1-archive"
    MONITOR = "2-monitor"
    RETRAINING = "3-retraining"
    RELEASES = "4-releases"


class S3ProgressLog:
    """The records in `bucket`."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def write(self, day: date, part: ProgressPart, records: Sequence[Progress]) -> None:
        """Replace a job's records of a day."""
        self._bucket.put(progress_key(day, part), b"".join(msgspec.json.encode(record) + b"\n" for record in records))

    def of_day(self, day: date, part: ProgressPart) -> list[Progress]:
        """Return a job's records of a day."""
        content = self._bucket.find(progress_key(day, part))
        return [] if content is None else _decode(content)

    def before(self, day: date) -> list[Progress]:
        """Return all records of earlier days, in order."""
        end = progress_key(day, "")
        keys = [found.key for found in self._bucket.objects(PROGRESS_PREFIX) if found.key < end]
        return [record for key in keys for record in _decode(self._bucket.get(key))]


def _decode(content: bytes) -> list[Progress]:
    return [decode_progress(line) for line in content.splitlines()]
