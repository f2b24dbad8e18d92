"""The system's picture on AWS: each box of the console's diagram with its service, its sizes and its price."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from infra.aws.cost.bill import BillItem, bill, total
from infra.aws.cost.document import ENVIRONMENTS
from infra.aws.cost.prices import inputs_of, prices_in
from infra.aws.cost.sizing import size_for, size_of
from infra.aws.environments import Environment

SERVICES: Final = {
    "kafka": ("Kinesis transactions", "Kinesis decisions", "MSK Serverless"),
    "stream": ("Lambda stream",),
    "store": ("DynamoDB on demand", "DynamoDB, kept"),
    "scoring": ("SageMaker endpoint", "API Gateway, Lambda score"),
    "archive": ("S3",),
    "pipelines": ("SageMaker jobs", "EMR Serverless"),
}
"""Items of the bill by box of the diagram. All other items belong to no box. The jobs of archive and monitor are billed
with those of the pipelines."""


class PricedItem(Struct, frozen=True, kw_only=True):
    """An item of a bill: its service, the quantities behind its price, and dollars per month."""

    service: str
    quantities: str
    dollars: float


class AwsPicture(Struct, frozen=True, kw_only=True):
    """The bill of an environment at a rate of transactions per second: by box, and the items of no box."""

    environment: str
    region: str
    rate: float
    prices_of: str
    dollars: float
    boxes: dict[str, list[PricedItem]]
    others: list[PricedItem]


def aws_pictures(page: str) -> list[AwsPicture]:
    """Return the pictures of the environments of docs/aws-costs.md, whose text is `page`, each at its highest rate."""
    return [_picture(Environment(name), rates[-1], page) for name, rates in ENVIRONMENTS.items()]


def _picture(environment: Environment, rate: float, page: str) -> AwsPicture:
    prices, inputs = prices_in(environment.region, page), inputs_of(page)
    items = bill(size_for(rate, size_of(environment.variables), inputs), rate, prices, inputs)
    of_boxes = {service for services in SERVICES.values() for service in services}
    return AwsPicture(
        environment=environment.name,
        region=environment.region,
        rate=rate,
        prices_of=prices.as_of,
        dollars=round(total(items), 2),
        boxes={
            box: [_priced(item) for service in services for item in items if item.service == service]
            for box, services in SERVICES.items()
        },
        others=[_priced(item) for item in items if item.service not in of_boxes],
    )


def _priced(item: BillItem) -> PricedItem:
    return PricedItem(service=item.service, quantities=item.quantities, dollars=round(item.dollars, 2))
