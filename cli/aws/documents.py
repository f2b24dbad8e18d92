"""`cardwatch aws cost` and `document`: what an environment costs, and the generated parts of the pages about AWS."""

from __future__ import annotations

import click

from infra.aws.cost.bill import bill, total
from infra.aws.cost.document import costs_document
from infra.aws.cost.prices import PAGE, costs_page, inputs_of, prices_in
from infra.aws.cost.sizing import size_for, size_of
from infra.aws.deploy.environments import Environment
from infra.aws.proofs import PROOFS_PAGE, proofs_document


@click.command()
@click.argument("env")
@click.option(
    "--rate",
    default=0.0,
    type=click.FloatRange(min=0.0),
    show_default=True,
    help="Transactions a second, day and night.",
)
def cost(env: str, rate: float) -> None:
    """What ENV costs a month, by its variables and the price table of docs/aws-costs.md.

    At a rate that its shards do not carry, what would carry it is priced; a stream on demand grows by itself.
    """
    tell_cost(Environment(env), rate)


@click.command()
def document() -> None:
    """Write the generated parts of docs/aws-costs.md and docs/aws.md anew."""
    for path, text in ((PAGE, costs_document(costs_page())), (PROOFS_PAGE, proofs_document())):
        path.write_text(text, encoding="utf-8")
        click.echo(str(path))


def tell_cost(environment: Environment, rate: float) -> None:
    """Print the bill."""
    page = costs_page()
    prices, inputs = prices_in(environment.region, page), inputs_of(page)
    lines = bill(size_for(rate, size_of(environment.variables), inputs), rate, prices, inputs)
    for line in lines:
        click.echo(f"{line.dollars:12,.2f}  {line.part:<36} {line.how}")
    click.echo(
        f"{total(lines):12,.2f}  $ a month at {rate:g} transactions a second; list prices of {prices.as_of} in "
        f"{prices.region}, from memory: docs/aws-costs.md"
    )
