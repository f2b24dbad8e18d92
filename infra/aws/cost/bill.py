"""Monthly bill of an environment, by its size and the rate of transactions.

The formulas are those of the estimator, `cardwatch.estimator.aws_design`.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Final

from msgspec import Struct

from cardwatch.estimator.aws_design import AWS_STEPS, ITEMS, OTHER_STREAMS
from cardwatch.estimator.quantities import computed
from infra.aws.cost.prices import Inputs, Prices
from infra.aws.cost.sizing import Size, cards, quantities_given

_WANTED: Final = (*ITEMS, *(each.name for each in OTHER_STREAMS), "reserved_dollars")
MIN_DOLLARS: Final = 0.005
"""Smaller items are left out; they would be printed as 0.00."""


class BillItem(Struct, frozen=True):
    """One item of a bill: the service, the quantities behind the price, and dollars per month."""

    service: str
    quantities: str
    dollars: float


def bill(size: Size, rate: float, prices: Prices, inputs: Inputs) -> list[BillItem]:
    """Return the items of a month at a constant `rate` in transactions per second, without items of zero."""
    found = _quantities(size, rate, prices, inputs)
    described = {**found, **_texts(size, inputs)}
    items = (BillItem(service, text.format(**described), found[name]) for service, name, text in _items(size))
    return [item for item in items if item.dollars >= MIN_DOLLARS]


def total(items: list[BillItem]) -> float:
    """Return the sum in dollars per month."""
    return sum(item.dollars for item in items)


def reserved_table(size: Size, rate: float, prices: Prices, inputs: Inputs) -> float:
    """Return the price of DynamoDB with reserved capacity for the rate, in dollars per month.

    Reserved capacity is cheaper for steady traffic; `bill` assumes capacity on demand.
    """
    found = _quantities(size, rate, prices, inputs)
    return found["reserved_dollars"] + found["kept_dollars"]


def dollars_given(size: Size, prices: Prices) -> dict[str, float]:
    """Return the names of the formulas of a bill that a size and prices give."""
    return {
        **prices.dollars,
        "firewall_month": prices.of("firewall"),
        "firewall": size.firewall,
        "instance_price": prices.of(size.instance_type),
        "job_price": prices.of(size.job_instance_type),
        "training_price": prices.of(size.training_instance_type),
        "peak_factor": 1.0,
        "retention_hours": size.retention_hours,
        "stream_gb": size.stream_gb,
        "score_gb": size.score_gb,
        "score_kept_warm": size.score_kept_warm,
        "capture_share": size.capture_share,
        "endpoints": size.endpoints,
        "endpoint_zones": size.endpoint_zones,
        "keys": size.keys,
        "daily": size.daily,
    }


def _quantities(size: Size, rate: float, prices: Prices, inputs: Inputs) -> dict[str, float]:
    given = {**dollars_given(size, prices), **quantities_given(rate, size, inputs)}
    own = {"transactions_shards": size.transactions_shards, "decisions_shards": size.decisions_shards}
    given |= {**own, "instances": size.instances, "cards": cards(rate, inputs)}
    return {**given, **computed(AWS_STEPS, given, _WANTED)}


def _texts(size: Size, inputs: Inputs) -> dict[str, object]:
    """Return what descriptions name and formulas do not."""
    return {
        "write_each": ceil(inputs.card_item_bytes / 1024),
        "read_each": ceil(inputs.card_item_bytes / 4096),
        "with_firewall": ", firewall" if size.firewall else "",
        "instance": size.instance_type,
        "job": size.job_instance_type,
        "training": size.training_instance_type,
    }


def _items(size: Size) -> Iterator[tuple[str, str, str]]:
    """Yield the service of each item, the name of the step with its dollars, and its quantities with names of steps."""
    if size.on_msk:
        yield "MSK Serverless", "msk_dollars", "partitions: {functions:.0f}; {msk_gb:,.1f} GB in and out"
    else:
        yield _stream("transactions", size.transactions_shards)
    yield _stream("decisions", size.decisions_shards)
    yield from _ITEMS


def _stream(name: str, shards: int) -> tuple[str, str, str]:
    if shards:
        quantities = f"shards: {{{name}_shards:,.0f}}; {{{name}_units:,.1f}} million put units"
        return f"Kinesis {name}", f"{name}_dollars", quantities
    return f"Kinesis {name}", f"{name}_on_demand", f"on demand, {{{name}_gb:,.1f}} GB in and out"


_ITEMS: Final = (
    (
        "DynamoDB on demand", "table_dollars",
        "million units: {million_writes:,.1f} to write ({write_each} a card), "
        "{million_reads:,.1f} to read ({read_each} a card)",
    ),
    ("DynamoDB, kept", "kept_dollars", "{cards:,.0f} cards of {card_item_bytes:,.0f} bytes"),
    (
        "Lambda stream", "stream_dollars",
        "{million_batches:,.2f} million batches of {batch_ms:g} ms, {stream_gb:.3g} GB",
    ),
    (
        "API Gateway, Lambda score", "score_dollars",
        "{million_calls:,.2f} million calls of {question_ms:g} ms, kept warm: {score_kept_warm}{with_firewall}",
    ),
    ("SageMaker endpoint", "endpoint_dollars", "{instances:,.0f} x {instance}"),
    ("VPC endpoints", "network_dollars", "{endpoints} services, zones: {endpoint_zones}; {endpoint_gb:,.1f} GB"),
    ("KMS", "keys_dollars", "{keys} keys"),
    ("CloudWatch", "monitoring_dollars", "{logs_gb:,.2f} GB of logs, {alarms:g} alarms, a dashboard"),
    ("S3", "objects_dollars", "{million_batches:,.2f} million objects written, {kept_gb:,.1f} GB kept"),
    ("ECR", "images_dollars", "{image_gb:g} GB"),
    ("SageMaker jobs", "jobs_dollars", "{job_hours:,.1f} h of {job}, {training_hours:g} h of {training}"),
    ("EMR Serverless", "backfill_dollars", "{backfill_cpu_hours:g} vCPU hours with 4 GB each"),
)  # fmt: skip
"""Items that every environment may have."""
