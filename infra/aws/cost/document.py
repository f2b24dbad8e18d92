"""Generated parts of docs/aws-costs.md: the cost of each environment, and the capacity for three rates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from infra.aws.cost.bill import bill, reserved_table, total
from infra.aws.cost.prices import Inputs, Prices, inputs_of, prices_in, quotas_of
from infra.aws.cost.sizing import (
    Size,
    cards,
    decisions_shards,
    instances,
    provisioned,
    read_units,
    size_for,
    size_of,
    transactions_shards,
    write_units,
)
from infra.aws.environments import Environment
from infra.aws.markdown_tables import table, with_generated

RATES: Final = (1_000, 50_000, 1_000_000)
ENVIRONMENTS: Final = {"sandbox": (0, 10), "production": (0, 1_000)}
"""Environments shown, with the rates of their columns in transactions per second."""
ESTIMATED: Final = "production"
"""Environment whose variables are the base of the estimates."""

_FORMULAS: Final = """Each number is the largest requirement, rounded up:

- shards of transactions: by records `rate / 1,000`, by bytes `rate x transaction_bytes / 1 MiB`, and by the function's
  time `rate / batch x batch_ms`, because a shard's batches are processed one by one; each divided by `headroom`.
- concurrent Lambda executions: one per shard. Larger batches reduce both; `stream_batch_size` may be up to 1,000.
- shards of decisions: by records and by bytes, with `decision_bytes`.
- write units per second: `rate` x 1 per KiB of `card_item_bytes`, and per batch `shard_writes_a_batch` x 1 per KiB of
  `shard_item_bytes`. Read units: in steps of 4 KiB, one read per card and batch, and one per API call.
- instances: `rate / (rows_a_second_and_cpu x endpoint_share x CPUs) / headroom`, at least the environment's minimum.
- cards: `rate x 86,400 / transactions_a_card_and_day`, at most `most_cards`.
"""


class Estimate(Struct, frozen=True):
    """Required capacity and cost for a rate in transactions per second."""

    rate: int
    size: Size
    cards: float
    writes: float
    reads: float
    dollars: float
    dollars_reserved: float

    def needs(self, inputs: Inputs) -> Mapping[str, float]:
        """Return the required amount of each quota."""
        return {
            "kinesis_shards": self.size.transactions_shards + self.size.decisions_shards,
            "lambda_executions": self.size.concurrent_invocations
            + self.rate * inputs.questions_share * inputs.question_ms / 1000,
            "dynamodb_writes": self.writes,
            "dynamodb_reads": self.reads,
            "endpoint_instances": self.size.instances,
            "api_calls": self.rate * inputs.questions_share,
        }


def estimate(rate: int, size: Size, prices: Prices, inputs: Inputs) -> Estimate:
    """Return the estimate for `rate`, based on an environment of `size`."""
    needed = size_for(rate, size, inputs)
    items = bill(needed, rate, prices, inputs)
    on_demand = sum(item.dollars for item in items if item.service.startswith("DynamoDB"))
    return Estimate(
        rate=rate,
        size=needed,
        cards=cards(rate, inputs),
        writes=write_units(rate, needed, inputs),
        reads=read_units(rate, needed, inputs),
        dollars=total(items),
        dollars_reserved=total(items) - on_demand + reserved_table(needed, rate, prices, inputs),
    )


def costs_document(page: str) -> str:
    """Return the page with its generated parts updated from its tables and from the environments."""
    inputs = inputs_of(page)
    written = with_generated(page, "environments", _environments(page, inputs))
    chosen = Environment(ESTIMATED)
    prices = prices_in(chosen.region, page)
    size = provisioned(size_of(chosen.variables))
    estimates = [estimate(rate, size, prices, inputs) for rate in RATES]
    written = with_generated(written, "capacity", _capacity(estimates, size, prices, inputs))
    return with_generated(written, "quotas", _quotas(page, estimates, inputs))


def bill_table(environment: Environment, rates: tuple[float, ...], page: str) -> str:
    """Return the bill of an environment, with a column per rate and the quantities at the last rate."""
    prices, inputs = prices_in(environment.region, page), inputs_of(page)
    size = size_of(environment.variables)
    bills = [bill(size_for(rate, size, inputs), rate, prices, inputs) for rate in rates]
    by_service = [{item.service: item.dollars for item in items} for items in bills]
    rows = [
        [item.service, *(_dollars(dollars.get(item.service, 0.0)) for dollars in by_service), item.quantities]
        for item in bills[-1]
    ]
    rows.append(["**per month**", *(f"**{_dollars(total(items))}**" for items in bills), f"prices of {prices.as_of}"])
    head = ["$ per month", *(f"at {rate:g}/s" for rate in rates), f"quantities at {rates[-1]:g}/s"]
    return table(head, rows, right=range(1, len(rates) + 1))


def _environments(page: str, inputs: Inputs) -> str:
    parts = []
    for name, rates in ENVIRONMENTS.items():
        environment = Environment(name)
        monthly = total(bill(size_of(environment.variables), 0, prices_in(environment.region, page), inputs))
        parts.append(
            f"### {name}, {environment.region}\n\nWithout traffic: **${_dollars(monthly)} per month**, "
            f"${_dollars(monthly * 24 / inputs.hours_a_month)} per day.\n\n{bill_table(environment, rates, page)}"
        )
    return "\n".join(parts)


def _capacity(estimates: list[Estimate], size: Size, prices: Prices, inputs: Inputs) -> str:
    head = ["", *(f"{each.rate:,}/s" for each in estimates)]
    millions_per_month = inputs.hours_a_month * 3600 / 1_000_000
    rows = {
        "shards of transactions": [_shards(transactions_shards(each.rate, size, inputs)) for each in estimates],
        "shards of decisions": [_shards(decisions_shards(each.rate, size, inputs)) for each in estimates],
        "concurrent Lambda executions": [f"{each.size.concurrent_invocations:,}" for each in estimates],
        "DynamoDB write units per second": [f"{each.writes:,.0f}" for each in estimates],
        "DynamoDB read units per second": [f"{each.reads:,.0f}" for each in estimates],
        f"instances, {size.instance_type}": [_instances(each, size, inputs) for each in estimates],
        "cards": [f"{each.cards:,.0f}" for each in estimates],
        "$ per month": [f"{each.dollars:,.0f}" for each in estimates],
        "with reserved DynamoDB capacity": [f"{each.dollars_reserved:,.0f}" for each in estimates],
        "$ per million transactions": [f"{each.dollars / each.rate / millions_per_month:,.2f}" for each in estimates],
    }
    counted = table(head, [[name, *cells] for name, cells in rows.items()], right=range(1, len(head)))
    return (
        f"With the variables of `{ESTIMATED}` ({prices.region}, batches of {size.batch}), provisioned streams and "
        f"prices of {prices.as_of}. The limiting quantity is in parentheses.\n\n{counted}\n{_FORMULAS}"
    )


def _quotas(page: str, estimates: list[Estimate], inputs: Inputs) -> str:
    rows = []
    for name, quota in quotas_of(page).items():
        needed = [each.needs(inputs)[name] for each in estimates]
        stops = [f"**{_integer(need)}**" if need > quota else _integer(need) for need in needed]
        rows.append([f"`{name}`", _integer(quota), *stops])
    head = ["required", "new account", *(f"{each.rate:,}/s" for each in estimates)]
    return (
        f"Values above the default quota of a new account are bold.\n\n{table(head, rows, right=range(1, len(head)))}"
    )


def _shards(by_reason: Mapping[str, int]) -> str:
    reason = max(by_reason, key=lambda each: by_reason[each])
    return f"{by_reason[reason]:,} ({reason})"


def _instances(each: Estimate, size: Size, inputs: Inputs) -> str:
    by_rows = instances(each.rate, size, inputs) * size.variants
    return f"{each.size.instances:,} ({'rows' if by_rows >= size.instances else 'minimum'})"


def _integer(value: float) -> str:
    return f"{value:,.0f}"


def _dollars(value: float) -> str:
    return f"{value:,.2f}"
