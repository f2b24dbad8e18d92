"""Lets kafka-python read records whose header names are not UTF-8, at which its consumers would stop for ever."""

from __future__ import annotations

from typing import Any, Final

from kafka.record.default_records import DefaultRecordBatch

_READ: Final = DefaultRecordBatch._read_msg


class _LenientBytes(bytes):
    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)


class _LenientBuffer:
    """A buffer whose slices decode as text whatever they hold. Access to single bytes is slow."""

    def __init__(self, buffer: bytearray) -> None:
        self._buffer = buffer

    def __getitem__(self, index: Any) -> Any:
        found = self._buffer[index]
        return _LenientBytes(found) if isinstance(index, slice) else found


def accept_any_header_name() -> None:
    """Read a record with other header names again, with replacement characters in them."""
    DefaultRecordBatch._read_msg = _read_leniently


def _read_leniently(batch: Any) -> Any:
    try:
        return _READ(batch)
    except UnicodeDecodeError:  # the position in the batch has not moved
        buffer, batch._buffer = batch._buffer, _LenientBuffer(batch._buffer)
        try:
            return _READ(batch)
        finally:
            batch._buffer = buffer
