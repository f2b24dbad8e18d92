"""Mappings of public data sets whose columns are known, and why some of those sets cannot be evaluated."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from adapters.archive.tabular import column_names
from cardwatch.errors import MappingError, Misconfigured
from cli.evaluate.mapping import Mapping
from cli.evaluate.mapping_file import load_mapping

NOTES: Final = {
    "handbook": "",
    "paysim": "nearly every account of PaySim pays once, so the history of a card says little.",
    "banksim": "BankSim has days without a time of day.",
    "ieee-cis": (
        "IEEE-CIS names neither cards nor merchants: card1, which several cards may share, stands for the card, and"
        " ProductCD, one of five products, for the merchant."
    ),
    "sparkov": "cc_num holds simulated card numbers; each becomes a token while it is read.",
    "tabformer": "refunds (negative amounts) are no payments and are left out.",
}
"""The formats that have a mapping, and what one has to know to read their results."""

_BAF: Final = (
    "Bank Account Fraud (BAF): its rows are applications for accounts, not card transactions. It has no card, no"
    " merchant and no amount of a payment, and only the month of the time, so no history of a card can be built from it"
)
_ULB: Final = (
    "the anonymised card transactions of ULB (creditcard.csv): it has no card and no merchant, only principal"
    " components of what was known about them, so no history of a card can be built from it"
)
REFUSED: Final = {"baf": _BAF}
"""Presets that are refused, with the reason."""
_COLUMNS_OF_REFUSED: Final = {
    _BAF: frozenset({"fraud_bool", "name_email_similarity", "intended_balcon_amount", "month"}),
    _ULB: frozenset({"Time", "V1", "V28", "Amount", "Class"}),
}
NAMES: Final = (*NOTES, *REFUSED)


def load_preset(name: str, data: Path) -> Mapping:
    """Return the mapping of a public format.

    Raises `Misconfigured` if the format lacks what a mapping needs, or if `data` is another known format.
    """
    if reason := REFUSED.get(name):
        raise Misconfigured(f"--preset {name}: refused. This is {reason}")
    mapping = load_mapping(preset_file(name))
    columns = set(column_names(data, mapping.file))
    if columns_of(name) <= columns:
        return mapping
    if reason := why_refused(columns):
        raise MappingError(f"{data}: is not of the format {name}. It looks like {reason}")
    if other := known_format(columns):
        raise MappingError(f"{data}: is not of the format {name}; its columns are those of --preset {other}")
    return mapping


def preset_file(name: str) -> Path:
    """Return the mapping file of a preset."""
    return Path(__file__).parent / f"{name}.yaml"


def columns_of(name: str) -> set[str]:
    """Return the columns that the mapping of a preset reads."""
    return set(load_mapping(preset_file(name)).columns().values())


def known_format(columns: set[str]) -> str | None:
    """Return the preset whose columns are all there."""
    return next((name for name in NOTES if columns_of(name) <= columns), None)


def why_refused(columns: set[str]) -> str | None:
    """Return why a known format with these columns cannot be evaluated."""
    return next((reason for reason, known in _COLUMNS_OF_REFUSED.items() if known <= columns), None)
