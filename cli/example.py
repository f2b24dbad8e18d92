"""`cardwatch example`: a first request to the running scoring service, as a shell command."""

from __future__ import annotations

import shlex
import textwrap
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import click
from msgspec import structs

from adapters.local_stack.stack_home import StackHome
from adapters.runtime.settings import Settings, read_settings
from adapters.scoring.client import ExampleClient
from adapters.scoring.wire_format import ExampleRequest
from cardwatch.errors import Misconfigured
from cardwatch.events import encode


class _Target(NamedTuple):
    """The settings of a scoring service, and the file that holds its API key; None if the environment holds it."""

    settings: Settings
    key_file: Path | None


@click.command()
@click.option(
    "--json", "as_json", is_flag=True, help="Print only the transaction, with a new id, for `cardwatch send -`."
)
@click.option("--url", help="Address of the scoring service.  [default: CARDWATCH_SCORING_URL, else the running stack]")
def example(url: str | None, *, as_json: bool) -> None:
    """Print a request that the running scoring service answers with a score, as a shell command.

    The service chooses card, merchant and day from its own data. To send the request:  cardwatch example | sh

    The key is read from CARDWATCH_API_KEY, or from the addresses of the stack that `cardwatch up` has started. For
    containers, it is in .env beside docker-compose.yml:

    \b
        set -a; . ./.env; set +a
        cardwatch example --url http://localhost:3000 | sh

    The request changes nothing. To have such a payment decided and recorded:

    \b
        cardwatch example --json | cardwatch send -
    """
    target = _target(url)
    with closing(ExampleClient(target.settings)) as client:
        shown = client.example()
    if as_json:
        # A preview may have the same id every time; a transaction with the id of an earlier one would not be decided.
        click.echo(encode(structs.replace(shown.transaction, transaction_id=f"example-{uuid4().hex}")))
        return
    click.echo(command(shown, target.settings, target.key_file))


def command(shown: ExampleRequest, settings: Settings, key_file: Path | None) -> str:
    """Return a shell script that sends `shown` with the key in CARDWATCH_API_KEY, which `key_file` sets if given."""
    lines = textwrap.wrap(shown.about, 110, initial_indent="# ", subsequent_indent="# ")
    if key_file is not None:
        lines.append(f". {shlex.quote(str(key_file))}")
    authority = f" --cacert {shlex.quote(str(settings.tls_ca))}" if settings.tls_ca else ""
    lines += [
        f"curl -sS{authority} {shlex.quote(settings.scoring_url.rstrip('/') + '/v1/score')} \\",
        '  -H "Authorization: Bearer $CARDWATCH_API_KEY" -H "Content-Type: application/json" \\',
        f"  -d {shlex.quote(encode(shown.transaction).decode())}",
        "echo",
    ]
    return "\n".join(lines)


def _target(url: str | None) -> _Target:
    given = read_settings()
    if url is not None:
        if not url.startswith(("http://", "https://")):
            raise Misconfigured(f"--url={url!r} does not begin with http:// or https://")
        given = structs.replace(given, scoring_url=url)
    if given.scoring_url:
        if not given.api_key:
            raise Misconfigured(
                f"CARDWATCH_API_KEY is not set: the scoring service at {given.scoring_url} needs a key with the scope"
                " score. For containers it is in .env beside docker-compose.yml; `cardwatch keys add` makes another one"
            )
        return _Target(given, None)
    home = StackHome(given)
    status = home.status()
    if status is None:
        raise Misconfigured(
            f"no stack runs in {home.folder} and CARDWATCH_SCORING_URL is not set: start one with `cardwatch up`, or"
            " name the scoring service with --url"
        )
    return _Target(read_settings(status.environment), home.addresses)
