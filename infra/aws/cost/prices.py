"""Tables of docs/aws-costs.md: unit prices by region, inputs of the calculation, and quotas of a new account."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from cardwatch.errors import Misconfigured
from infra.aws.markdown_tables import number, read_page, rows_of

PAGE: Final = Path(__file__).resolve().parents[3] / "docs" / "aws-costs.md"

_DATE: Final = re.compile(r"^Prices as of (\d{4}-\d{2})\b", re.MULTILINE)


class Prices(Struct, frozen=True):
    """Prices of one region in dollars per unit, as of a month (YYYY-MM). The page names the units."""

    as_of: str
    region: str
    dollars: Mapping[str, float]

    def of(self, name: str) -> float:
        """Return the price of this name; raises `Misconfigured` if the page has none."""
        if name not in self.dollars:
            raise Misconfigured(f"{PAGE} has no price {name!r}; add a row to its table of prices")
        return self.dollars[name]


class Inputs(Struct, frozen=True):
    """Sizes, durations and rates of the calculation; the page's table of inputs explains each."""

    transaction_bytes: float
    decision_bytes: float
    card_item_bytes: float
    shard_item_bytes: float
    shard_writes_a_batch: float
    batch_ms: float
    rows_a_second_and_cpu: float
    endpoint_share: float
    headroom: float
    questions_share: float
    question_ms: float
    transactions_a_card_and_day: float
    most_cards: float
    log_bytes_a_batch: float
    row_bytes: float
    kept_days: float
    image_gb: float
    alarms: float
    job_hours_a_day: float
    retrainings_a_month: float
    retraining_hours: float
    backfill_cpu_hours: float
    hours_a_month: float


def prices_in(region: str, page: str) -> Prices:
    """Return the prices of a region; raises `Misconfigured` if the page has no column for it."""
    head, *rows = rows_of(page, "price")
    if region not in head[2:]:
        raise Misconfigured(f"{PAGE} has no prices for {region}, only for {', '.join(head[2:])}; add a column")
    column = head.index(region)
    found = _DATE.search(page)
    if found is None:
        raise Misconfigured(f"{PAGE} has no line 'Prices as of YYYY-MM'")
    return Prices(found[1], region, {row[0]: number(row[column], f"price {row[0]}") for row in rows})


def inputs_of(page: str) -> Inputs:
    """Return the inputs; raises `Misconfigured` for missing and for unknown ones."""
    _, *rows = rows_of(page, "input")
    values = {row[0]: number(row[1], f"input {row[0]}") for row in rows}
    if wrong := sorted(set(values) ^ set(Inputs.__struct_fields__)):
        raise Misconfigured(f"{PAGE}: missing or unknown inputs: {', '.join(wrong)}")
    return Inputs(**values)


def quotas_of(page: str) -> dict[str, float]:
    """Return the default quotas of a new account by name."""
    _, *rows = rows_of(page, "quota")
    return {row[0]: number(row[1], f"quota {row[0]}") for row in rows}


def costs_page() -> str:
    """Return the text of docs/aws-costs.md."""
    return read_page(PAGE)
