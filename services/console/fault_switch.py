"""One switch of the view of the faults."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from cardwatch.live.faults import FaultText, off_command, on_command

OFF: Final = "off"
ASKED: Final = "asked"
ON: Final = "on"


class FaultSwitch(Struct, frozen=True, kw_only=True):
    """One switch. Times are ms since 1970.

    `part` is the process or part that the fault is about, `box` where in the diagram one sees the effect, and `seconds`
    the default until the reset, None if it happens once. `state` is `off`, `on`, or `asked` while the generator has not
    begun a fault that was requested. `unavailable` is why the switch cannot be used, None if it can. `commands` are
    what to type in place of `on` and `off`.
    """

    name: str
    group: str
    part: str
    title: str
    box: str
    effect: str
    look: str
    seconds: float | None
    state: str
    since_ms: float | None
    until_ms: float | None
    unavailable: str | None
    commands: dict[str, str]


def switch_of(text: FaultText, group: str, part: str, name: str) -> FaultSwitch:
    """Return a switch that is off and can be used."""
    return FaultSwitch(
        name=name,
        group=group,
        part=part,
        title=text.title,
        box=text.box,
        effect=text.effect,
        look=text.look,
        seconds=text.seconds,
        state=OFF,
        since_ms=None,
        until_ms=None,
        unavailable=None,
        commands={"on": on_command(name)} | ({} if text.seconds is None else {"off": off_command(name)}),
    )
