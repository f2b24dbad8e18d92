"""`cardwatch send --ask-only`: what would be decided, without sending anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Final

import msgspec

from adapters.records.printable import printable
from adapters.runtime.settings import Settings
from adapters.runtime.terminal_text import escaped
from adapters.scoring.client import PreviewClient
from adapters.scoring.wire_format import ShownPreview
from cardwatch.errors import Misconfigured
from cardwatch.events import Transaction

_COLUMNS: Final = "{:<24}  {:<16}  {:<17}  {:>11}  {}"


def ask(settings: Settings, transactions: Sequence[Transaction], *, as_json: bool) -> Iterator[str]:
    """Yield a line about each transaction: what would be decided if these came next.

    Raises `Misconfigured` if no scoring service is named, and what `PreviewClient` raises.
    """
    if not settings.scoring_url:
        raise Misconfigured("CARDWATCH_SCORING_URL is empty and no stack runs here: name the scoring service")
    with closing(PreviewClient(settings)) as client:
        previews = client.previews(transactions)
    if not as_json:
        yield _COLUMNS.format("transaction", "card", "action", "probability", "reasons")
    for transaction, preview in zip(transactions, previews, strict=True):
        yield msgspec.json.encode(preview).decode() if as_json else _line(transaction, preview)


def _line(transaction: Transaction, preview: ShownPreview) -> str:
    if preview.repeated or preview.action is None:
        return f"{escaped(transaction.transaction_id)} was decided before; it would get no second decision"
    reason = f"by rules: {printable(preview.degraded_reason or '')}" if preview.degraded else ""
    return _COLUMNS.format(
        escaped(transaction.transaction_id),
        escaped(transaction.card_id),
        preview.action.value + (" by rules" if preview.degraded else ""),
        "none" if preview.probability is None else f"{preview.probability:.4f}",
        ", ".join([*map(escaped, preview.reasons), *([reason] if reason else [])]),
    ).rstrip()
