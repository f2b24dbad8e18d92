"""A snapshot as a screen: head, three panels, average precision by day, timeline. Pure: snapshot and size in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from cardwatch.live.frames import EventFrame, EventKind
from cli.demo.chart import Bar, bars, meter
from cli.demo.formatting import NOTHING, by_version, count, duration, listed, milliseconds, money, ratio, share
from cli.demo.snapshot import DemoSnapshot

MAX_WIDTH: Final = 120
QUIET: Final = "bright_black"
_HEAD_ROWS: Final = 2
_FACT_ROWS: Final = 5
_COLUMN_GAP: Final = 2
_SCALE_WIDTH: Final = 4
_VERSION_STYLES: Final = ("cyan", "green", "magenta", "yellow", "blue")
_STATE_STYLES: Final = {"stable": "green", "drift suspected": "yellow", "decayed": "bold red"}
_SIGNS: Final = {
    EventKind.CHAMPION: ("★", "cyan"),
    EventKind.LIVE: ("▶", "cyan"),
    EventKind.CHANGE: ("▲", "yellow"),
    EventKind.DRIFT: ("!", "bold red"),
    EventKind.RETRAINING: ("↻", "blue"),
    EventKind.VERDICT: ("§", "blue"),
    EventKind.SWAP: ("★", "green"),
}
_MARKED: Final = (EventKind.CHANGE, EventKind.DRIFT, EventKind.SWAP)


def render(snapshot: DemoSnapshot, width: int, height: int) -> RenderableType:
    """The whole screen in at most `height` lines; it reads well from 80 x 23 on."""
    width = min(width, MAX_WIDTH)
    is_tall = height >= 28
    bar_rows = 4 if is_tall else 2
    gaps = 3 if is_tall else 0
    used = _HEAD_ROWS + (1 + _FACT_ROWS) + (1 + bar_rows + 1) + 1 + gaps
    sections = [
        _head(snapshot, width),
        _facts(snapshot, width),
        _chart(snapshot, width, bar_rows),
        _timeline(snapshot.events, width, max(1, height - used)),
    ]
    if not is_tall:
        return Group(*sections)
    return Group(*[part for section in sections for part in (section, Text())][:-1])


def _head(snapshot: DemoSnapshot, width: int) -> RenderableType:
    plan = snapshot.plan
    passed = (snapshot.day - plan.first_live_day).days + 1 if snapshot.day else 0
    passed = min(max(passed, 0), plan.live_days)
    right = Text(no_wrap=True)
    if snapshot.day and passed:
        right.append(f"day {passed} of at most {plan.live_days}")
        right.append(f" · {snapshot.day.isoformat()}", QUIET)
    right.append(f"   {duration(snapshot.elapsed_seconds)} ", QUIET)
    line = Table.grid(padding=0)
    line.width = width
    line.add_column(no_wrap=True)
    line.add_column(no_wrap=True, ratio=1)
    line.add_column(no_wrap=True, justify="right")
    line.add_row(Text(" cardwatch ", "bold reverse"), Text(f"  {snapshot.stage}", "bold", overflow="ellipsis"), right)
    return Group(line, meter(passed / plan.live_days, width, "cyan"))


def _facts(snapshot: DemoSnapshot, width: int) -> RenderableType:
    column = (width - 2 * _COLUMN_GAP) // 3
    row = Table.grid(padding=(0, _COLUMN_GAP, 0, 0))
    row.add_row(_stream(snapshot, column), _fraud(snapshot, column), _model(snapshot, column))
    return row


def _stream(snapshot: DemoSnapshot, width: int) -> RenderableType:
    pace = f"of {snapshot.plan.offered_rate:,.0f}" if snapshot.measuring else "burst"
    return _panel(
        "stream",
        width,
        ("sent", Text(count(snapshot.transactions))),
        ("decided", Text(count(snapshot.decisions), "bold")),
        ("degraded", Text(count(snapshot.degraded), "yellow" if snapshot.degraded else "")),
        ("rate", Text.assemble((f"{snapshot.rate_per_second:,.0f}/s", "bold"), (f"  {pace}", QUIET))),
        ("p50, p99", Text(f"{milliseconds(snapshot.latency_p50_ms)}, {milliseconds(snapshot.latency_p99_ms)}")),
    )


def _fraud(snapshot: DemoSnapshot, width: int) -> RenderableType:
    fraud, currency = snapshot.fraud, snapshot.fraud.currency
    return _panel(
        "fraud known so far",
        width,
        ("known", Text(count(fraud.known_frauds))),
        ("caught", _part(count(fraud.stopped_frauds), share(fraud.stopped_frauds, fraud.known_frauds))),
        ("value", Text(money(fraud.known_minor, currency))),
        ("caught", _part(money(fraud.stopped_minor, currency), share(fraud.stopped_minor, fraud.known_minor))),
        ("alerts", Text(count(fraud.alerts))),
    )


def _model(snapshot: DemoSnapshot, width: int) -> RenderableType:
    newest = snapshot.days[-1] if snapshot.days else None
    state, drift, precision, baseline = Text(NOTHING, QUIET), Text(NOTHING), None, None
    if newest:
        state = Text(newest.state, _STATE_STYLES.get(newest.state, "yellow"))
        drift = Text.assemble(f"{newest.drift_share:.0%}", (f"  {listed(newest.drifted_features, 1)}", QUIET))
        precision, baseline = newest.average_precision, newest.baseline_average_precision
    return _panel(
        "model",
        width,
        ("champion", _champion(snapshot)),
        ("state", state),
        ("drift", drift),
        ("avg prec", Text(ratio(precision), "bold")),
        ("baseline", Text(ratio(baseline), QUIET)),
    )


def _champion(snapshot: DemoSnapshot) -> Text:
    version = snapshot.champion_version
    if version is None:
        return Text("none yet", QUIET)
    champion = Text(f"v{version}", f"bold {by_version(_VERSION_STYLES, version)}")
    if snapshot.serving_version not in (None, version):
        champion.append(f"  v{snapshot.serving_version} decides", "yellow")
    return champion


def _part(value: str, of_all: str) -> Text:
    return Text.assemble((value, "bold green"), (f"  {of_all}", QUIET))


def _chart(snapshot: DemoSnapshot, width: int, rows: int) -> RenderableType:
    inner = width - 2 - _SCALE_WIDTH
    plan = snapshot.plan
    per_day = max(1, inner // plan.live_days)
    reported = {point.day: point for point in snapshot.days}
    signs = {event.day: _SIGNS[event.kind] for event in snapshot.events if event.kind in _MARKED}
    values: list[Bar] = []
    marks = Text(no_wrap=True)
    for day in (plan.first_live_day + timedelta(days=number) for number in range(plan.live_days)):
        point = reported.get(day)
        style = by_version(_VERSION_STYLES, point.champion_version if point else None)
        values += [Bar(point.average_precision if point else None, style)] * per_day
        sign, sign_style = signs.get(day, (" ", ""))
        marks.append(sign.ljust(per_day), sign_style)
    newest = max(0, len(values) - inner)
    lines = bars(values[newest:], rows)
    scale = ["1.0", *[""] * (rows - 2), "0.0", ""]
    body = [
        Text.assemble((f"{label:<{_SCALE_WIDTH}}", QUIET), line)
        for label, line in zip(scale, [*lines, marks[newest:]], strict=True)
    ]
    return _section("average precision on matured labels, by day", Group(*body), width)


def _timeline(events: Sequence[EventFrame], width: int, rows: int) -> RenderableType:
    details = 1 if rows < 10 else 2
    lines: list[Text] = []
    for event in reversed(events):
        said = [Text(f"          {detail}", QUIET) for detail in event.details[:details]]
        room = rows - len(lines)
        if room <= 0:
            break
        lines = [_event(event), *said[: room - 1], *lines]
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return _section("timeline", Group(*lines, *[Text()] * (rows - len(lines))), width)


def _event(event: EventFrame) -> Text:
    sign, style = _SIGNS.get(event.kind, ("·", QUIET))
    day = event.day.strftime("%m-%d") if event.day else ""
    return Text.assemble((f"{day:<6}", QUIET), (f" {sign}  ", style), event.text)


def _panel(title: str, width: int, *rows: tuple[str, Text]) -> RenderableType:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(style=QUIET, no_wrap=True, min_width=max(len(name) for name, _ in rows))
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for name, value in rows:
        table.add_row(name, value)
    return _section(title, table, width)


def _section(title: str, body: RenderableType, width: int) -> RenderableType:
    grid = Table.grid(padding=0)
    grid.width = width
    grid.add_column(ratio=1)
    grid.add_row(Rule(Text(title, QUIET), align="left", style=QUIET))
    grid.add_row(Padding(body, (0, 1)))
    return grid
