"""`cardwatch aws cost` and `document`: cost estimates, and the generated parts of the pages about AWS."""

from __future__ import annotations

import click

from cli.finite_range import FiniteRange
from infra.aws.cost.bill import bill, total
from infra.aws.cost.document import costs_document
from infra.aws.cost.prices import PAGE, costs_page, inputs_of, prices_in
from infra.aws.cost.sizing import size_for, size_of
from infra.aws.environments import Environment
from infra.aws.proofs import PROOFS_PAGE, proofs_document


@click.command()
@click.argument("env")
@click.option("--rate", default=0.0, type=FiniteRange(min=0.0), help="Constant rate of transactions per second.")
def cost(env: str, rate: float) -> None:
    """Print the monthly cost of ENV by its variables and the prices in docs/aws-costs.md.

    For a rate above the capacity of ENV's shards, the required shards are priced. Streams on demand scale themselves.
    """
    print_cost(Environment(env), rate)


@click.command()
def document() -> None:
    """Update the generated parts of docs/aws-costs.md and docs/aws.md."""
    for path, text in ((PAGE, costs_document(costs_page())), (PROOFS_PAGE, proofs_document())):
        path.write_text(text, encoding="utf-8")
        click.echo(str(path))


def print_cost(environment: Environment, rate: float) -> None:
    """Print the bill."""
    page = costs_page()
    prices, inputs = prices_in(environment.region, page), inputs_of(page)
    items = bill(size_for(rate, size_of(environment.variables), inputs), rate, prices, inputs)
    for item in items:
        click.echo(f"{item.dollars:12,.2f}  {item.service:<36} {item.quantities}")
    click.echo(
        f"{total(items):12,.2f}  $ per month at {rate:g} transactions per second; list prices of {prices.as_of} in "
        f"{prices.region}, from memory: docs/aws-costs.md"
    )
