"""`cardwatch estimate`: what a rate of transactions needs, step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from cardwatch.estimator.stream_design import INPUTS
from cli.finite_range import FiniteRange


def _options(command: Callable[..., None]) -> Callable[..., None]:
    """Add an option for each input."""
    for each in reversed(INPUTS):
        default = None if each.empty is not None else each.default
        text = ", ".join(part for part in (each.title, each.note) if part)
        command = click.option(
            f"--{each.option}",
            each.name,
            type=FiniteRange(each.least, each.most),
            default=default,
            help=f"{text[0].upper()}{text[1:]}.{f'  [default: {each.empty}]' if each.empty else ''}",
        )(command)
    return command


@click.command()
@_options
@click.option(
    "--assume",
    "assumed",
    multiple=True,
    metavar="NAME=VALUE",
    help="Replace an assumed figure of the list at the end of the output, as in utilization=0.5; repeatable.",
)
@click.option("--region", help="Region of the prices, a column of docs/aws-costs.md.  [default: that of production]")
@click.option("--json", "is_json", is_flag=True, help="Print all figures as JSON.")
def estimate(assumed: tuple[str, ...], region: str | None, is_json: bool, **given: float | None) -> None:
    """Print what a rate of transactions needs: partitions, workers, brokers, memory, storage and dollars.

    Every step has its formula and says whether it rests on measured figures alone or also on assumed ones.
    """
    import msgspec  # noqa: PLC0415 (only what is needed for `--help` is imported above)

    from cli.estimate.page_data import estimate_document  # noqa: PLC0415 (as above)
    from cli.estimate.sources import estimator  # noqa: PLC0415 (as above)
    from cli.estimate.text import lines  # noqa: PLC0415 (as above)

    known = estimator(region).assuming(dict(map(_assumption, assumed)))
    result = known.estimate({name: value for name, value in given.items() if value is not None})
    if is_json:
        document: dict[str, Any] = estimate_document(known, result)
        click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2))
        return
    for line in lines(known, result):
        click.echo(line)


def _assumption(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE with a number", param_hint="--assume") from None
