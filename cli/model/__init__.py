"""`cardwatch model`: moves of a version between the stages of the ladder."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from typing import Any

import click

from cli.finite_range import FiniteRange

_REASON = click.option("--reason", required=True, help="Why; it is recorded.")
_ACTOR = click.option("--as", "actor", help="Who moves it; it is recorded.  [default: your user name]")
_DESPITE = click.option(
    "--despite-verdict", is_flag=True, help="Move it although the verdict of its stage has not passed; it is recorded."
)
_VERSION = click.argument("version")


@click.group()
def model() -> None:
    """Move a model version between the stages of the ladder.

    A version that has passed its offline verdict is challenger; it scores in shadow, then decides a share of the cards
    as canary, then is champion, while the champion before remains as previous. `cardwatch models` shows where each
    version is.
    """


def _step(name: str, *options: Callable[[Any], Any]) -> Callable[[Callable[..., None]], click.Command]:
    """Return a decorator that makes a command of the group, with the options that all moves have."""

    def decorated(function: Callable[..., None]) -> click.Command:
        for option in reversed((*options, _REASON, _ACTOR)):
            function = option(function)
        return model.command(name)(function)

    return decorated


@_step("challenge", _VERSION, _DESPITE)
def challenge(version: str, reason: str, actor: str | None, *, despite_verdict: bool) -> None:
    """Let a version that is retired, or that passed its offline verdict elsewhere, begin as challenger."""
    _move("challenge", version, reason, actor, despite_verdict=despite_verdict)


@_step("approve", _VERSION)
def approve(version: str, reason: str, actor: str | None) -> None:
    """Allow a version in shadow to decide, where the policy wants a person's approval."""
    _move("approve", version, reason, actor)


@_step("shadow", _VERSION)
def shadow(version: str, reason: str, actor: str | None) -> None:
    """Let a challenger score in shadow, or a canary decide nothing any more."""
    _move("shadow", version, reason, actor)


@_step(
    "canary",
    _VERSION,
    click.option("--share", type=FiniteRange(0, 1, min_open=True, max_open=True), help="Share of the cards."),
    _DESPITE,
)
def canary(version: str, share: float | None, reason: str, actor: str | None, *, despite_verdict: bool) -> None:
    """Let a version decide a share of the cards.  [default share: that of the policy]"""
    _move("canary", version, reason, actor, share=share, despite_verdict=despite_verdict)


@_step("promote", _VERSION, _DESPITE)
def promote(version: str, reason: str, actor: str | None, *, despite_verdict: bool) -> None:
    """Make a version champion; the champion until now is previous."""
    _move("promote", version, reason, actor, despite_verdict=despite_verdict)


@_step("rollback")
def rollback(reason: str, actor: str | None) -> None:
    """Make the previous champion decide again, and retire the present one."""
    _move("rollback", None, reason, actor)


@_step("retire", _VERSION)
def retire(version: str, reason: str, actor: str | None) -> None:
    """Take a version off the ladder; the champion cannot be retired, only rolled back."""
    _move("retire", version, reason, actor)


def _move(
    kind: str,
    version: str | None,
    reason: str,
    actor: str | None,
    *,
    share: float | None = None,
    despite_verdict: bool = False,
) -> None:
    from adapters.move_log.hand_moves import WantedMove, move_version  # noqa: PLC0415 (`--help` need not wait for it)
    from adapters.move_log.open import opened_ladder  # noqa: PLC0415 (as above)
    from cardwatch.ladder.moves import MoveKind  # noqa: PLC0415 (as above)
    from cli.models.registry import ladder_settings  # noqa: PLC0415 (as above)

    wanted = WantedMove(MoveKind(kind), version, reason.strip(), actor or getpass.getuser(), share, despite_verdict)
    with opened_ladder(ladder_settings()) as ladder:
        for line in move_version(ladder, wanted):
            click.echo(line)
