"""`cardwatch keys`: the API keys of the scoring service."""

from __future__ import annotations

from datetime import UTC

import click

from adapters.runtime.clock import epoch_ms
from adapters.runtime.settings import read_settings
from adapters.scoring.api_keys import ApiKey, KeyScope, add_key, read_keys, revoke_key
from cardwatch.events import from_epoch_ms
from cli.finite_range import FiniteRange

_SCOPES = click.Choice([scope.value for scope in KeyScope])


@click.group()
def keys() -> None:
    """Add, list or revoke API keys of the scoring service.

    They are stored in the file that CARDWATCH_API_KEYS_FILE names, or in CARDWATCH_HOME/api-keys.json. A running
    service reads changes within seconds.
    """


@keys.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=_SCOPES,
    multiple=True,
    required=True,
    help="What the key may be used for; may be repeated.",
)
@click.option("--rate", type=FiniteRange(min=0, min_open=True), help="Transactions a second.  [default: no limit]")
def add(name: str, scopes: tuple[str, ...], rate: float | None) -> None:
    """Create a key for NAME and print it. It cannot be shown again."""
    file = read_settings().keys_file
    secret, key = add_key(
        file,
        name=name,
        scopes=[KeyScope(scope) for scope in scopes],
        rate_per_second=rate,
        created_at=from_epoch_ms(int(epoch_ms())),
    )
    click.echo(
        f"{_line(key)}\nSend it in the header  Authorization: Bearer KEY. Store this key, it is not shown again "
        f"({file} holds only its hash):",
        err=True,
    )
    click.echo(secret)


@keys.command("list")
def list_keys() -> None:
    """List the keys: id, name, scopes, rate, time of creation."""
    file = read_settings().keys_file
    stored = read_keys(file)
    for key in stored:
        click.echo(_line(key))
    if not stored:
        click.echo(f"there are no keys in {file}; make one: cardwatch keys add NAME --scope score", err=True)


@keys.command()
@click.argument("name_or_id")
def revoke(name_or_id: str) -> None:
    """Revoke the key of this name or id. This cannot be undone."""
    key = revoke_key(read_settings().keys_file, name_or_id)
    click.echo(f"revoked: {_line(key)}")


def _line(key: ApiKey) -> str:
    scopes = ",".join(scope.value for scope in key.scopes)
    rate = "no limit" if key.rate_per_second is None else f"{key.rate_per_second:.12g}/s"
    created = f"{key.created_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if key.created_at else "unknown"
    return f"{key.id}  {key.name}  {scopes}  {rate}  {created}"
