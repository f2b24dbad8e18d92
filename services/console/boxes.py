"""The boxes of the diagram, from observations of processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from adapters.local_stack.process_actions import FREEZE, KILL, RESUME
from cardwatch.live.frames import BOXES, Box, BoxState, Figure
from services.console.metrics_pages import kind_of


class ProcessObservation(Struct, frozen=True, kw_only=True):
    """A process of the stack at one moment: `reason` is why it is not ready, None if it is.

    `pid` is None for a process that the console may not touch. `commands` are what to type for each action.
    """

    name: str
    state: BoxState
    reason: str | None
    pid: int | None
    restarts: int
    address: str
    commands: dict[str, str] = {}


def boxes_of(processes: Iterable[ProcessObservation], figures: Mapping[str, list[Figure]]) -> list[Box]:
    """Return the boxes of the diagram with the worst state of their processes; `ABSENT` for a box without any.

    The store has no process of its own when it is embedded: it has the state of the worker that writes it.
    """
    by_box: dict[str, list[ProcessObservation]] = {}
    for process in processes:
        by_box.setdefault(kind_of(process.name), []).append(process)
    by_box.setdefault("store", by_box.get("stream", []))
    return [_box(name, by_box.get(name, []), figures.get(name, [])) for name in BOXES]


def _box(name: str, processes: list[ProcessObservation], figures: list[Figure]) -> Box:
    if not processes:
        return Box(name=name, state=BoxState.ABSENT, figures=figures)
    worst = max(processes, key=lambda process: _SEVERITY.index(process.state))
    has_process = name != "store"
    can_act = has_process and worst.pid is not None and worst.state is not BoxState.DONE
    actions = ([RESUME, KILL] if worst.state is BoxState.FROZEN else [KILL, FREEZE]) if can_act else []
    return Box(
        name=name,
        state=worst.state,
        process=worst.name if has_process else "",
        reason=worst.reason,
        pid=worst.pid if has_process else None,
        restarts=sum(process.restarts for process in processes),
        address=worst.address if has_process else "",
        figures=figures,
        actions=actions,
        commands=worst.commands if has_process else {},
    )


_SEVERITY: Final = (
    BoxState.ABSENT, BoxState.DONE, BoxState.EXTERNAL, BoxState.READY, BoxState.STARTING, BoxState.WAITING,
    BoxState.FROZEN, BoxState.DOWN,
)  # fmt: skip
