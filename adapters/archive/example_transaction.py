"""The example transaction: a copy of one archived transaction, beside the reference tables.

The scoring service cannot read the archive or the log, and the feature store keeps merchants as hashes only. So the
archive leaves one transaction where the scoring service reads its reference tables. The file holds the tokens of a card
and a merchant; the scoring service shows it to callers with an API key only.
"""

from __future__ import annotations

from pathlib import Path

from adapters.runtime.files import write_atomically
from cardwatch.errors import InvalidRecord
from cardwatch.events import Transaction, decode, encode


class ExampleTransactionFile:
    """The file in `folder`, the folder of the reference tables. Another process may replace it at any time."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "example.json"

    def write(self, transaction: Transaction) -> None:
        """Replace the example."""
        write_atomically(self._path, encode(transaction))

    def read(self) -> Transaction | None:
        """Return the example, None if there is none or the file cannot be read as a transaction."""
        try:
            return decode(self._path.read_bytes(), Transaction)
        except (OSError, InvalidRecord):
            return None
