"""`cardwatch upgrade`: bring the data of the local stack to the installed version."""

from __future__ import annotations

import click

from adapters.runtime.settings import read_settings
from cli.upgrade.home import open_copy, open_home, upgraded_settings
from cli.upgrade.steps import apply_plan, make_plan


@click.command()
@click.option("--check", is_flag=True, help="Say what would be done, and write nothing.")
def upgrade(*, check: bool) -> None:
    """Bring the data of the local stack to this version, after an update of the code.

    Another version may have written reference tables, card states and a champion that this one cannot use. The tables
    are built again from the archive, the states are folded again from it, and a model is trained, which becomes
    champion if it passes the gate for a first model. Where nothing is outdated, nothing is changed. After an
    interruption, run the command again.

    Stop the stack first (`cardwatch down`); a worker, an archive or a monitor that you started yourself too. Kafka is
    not needed. The command starts MLflow to find the champion, and to train also Prefect with the runner of the flows,
    and stops them again, unless CARDWATCH_MLFLOW_URL and CARDWATCH_PREFECT_URL name servers of your own. Those have to
    run, and the Prefect server needs a runner (`python -m pipelines`).
    """
    settings = upgraded_settings(read_settings())
    with open_copy(settings) if check else open_home(settings) as stack:
        plan = make_plan(settings, stack)
        for line in plan.lines():
            click.echo(line)
        if check or plan.is_empty:
            return
        apply_plan(stack, plan, click.echo)
        click.echo("the data are of this version; `cardwatch up` continues with them")
