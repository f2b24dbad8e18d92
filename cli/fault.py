"""`cardwatch fault`: the faults that can be switched on in a running stack."""

from __future__ import annotations

import re
from contextlib import closing
from typing import NamedTuple

import click

from adapters.kafka.progress import ProgressReader, publish_progress
from adapters.local_stack.network_faults import NetworkFaults
from adapters.local_stack.process_actions import (
    CONSOLE,
    FREEZE_SECONDS,
    KILL,
    TimedFreezes,
    act_on_process,
    may_touch,
    process_fault_of,
)
from adapters.local_stack.readiness import metrics_page
from adapters.local_stack.stack_home import StackHome
from adapters.runtime.clock import epoch_ms
from adapters.runtime.kafka_connection import KafkaConnection
from adapters.runtime.settings import read_settings
from cardwatch.errors import Misconfigured
from cardwatch.live.faults import (
    GENERATOR,
    GENERATOR_ENDED,
    LIVE_RATE_METRIC,
    MAX_SECONDS,
    MIN_SECONDS,
    NETWORK_FAULTS,
    NO_GENERATOR,
    WORLD_FAULTS,
    FaultState,
    FaultStates,
    checked_seconds,
    network_until_ms,
    off_request,
    on_request,
    why_without_effect,
)
from cli.finite_range import FiniteRange
from cli.records.broker import broker_settings

POLL_SECONDS = 0.2


@click.group()
def fault() -> None:
    """List the faults of a running stack, and switch them on and off.

    Faults of the simulated world are applied by the generator, those of processes are signals to processes that
    `cardwatch up` has started. Those of the network need its proxy, see CARDWATCH_TOXIPROXY.
    """


@fault.command("list")
def list_faults() -> None:
    """List all faults, with their states and effects."""
    states, now_ms = read_states(broker_settings().kafka), epoch_ms()
    home = StackHome(read_settings())
    record, freezes = home.record(), TimedFreezes(home)
    generator, rows = read_generator(home), []
    for name, text in WORLD_FAULTS.items():
        reason = generator.why_not(name)
        rows.append((name, "none" if reason else _state(states[name], now_ms), reason or text.effect))
    for process in record.processes if record else ():
        if may_touch(process):
            until_ms = freezes.until_ms(process)
            rows.append((f"kill-{process}", "off", "It ends at once, and the stack starts it again."))
            rows.append((f"freeze-{process}", _left(until_ms, now_ms), "It answers nothing until it is resumed."))
    network = NetworkFaults(home)
    active = network.active()
    for name, text in NETWORK_FAULTS.items():
        reason, fault = network.why_unavailable(name), active.get(name)
        state = "none" if reason else _left(None if fault is None else fault.until_ms, now_ms)
        rows.append((name, state, reason or text.effect))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for name, state, effect in rows:
        click.echo(f"{name:{widths[0]}}  {state:{widths[1]}}  {effect}")


@fault.command()
@click.argument("name")
@click.option(
    "--for",
    "seconds",
    type=FiniteRange(min=MIN_SECONDS, max=MAX_SECONDS),
    help="Seconds until the fault ends by itself.  [default: that of the fault, see `list`]",
)
def on(name: str, seconds: float | None) -> None:
    """Switch the fault NAME on."""
    match process_fault_of(name):
        case (action, process) if action == KILL:
            if seconds is not None:
                raise Misconfigured(f"{name} happens once and has no end: leave --for out")
            touched = act_on_process(StackHome(read_settings()), process, KILL)
            click.echo(f"killed process {touched[0]} and its descendants, {len(touched)} in all")
        case (_, process):
            lasting = checked_seconds(FREEZE_SECONDS if seconds is None else seconds)
            home = StackHome(read_settings())
            _require_console(home, process)
            TimedFreezes(home).freeze(process, epoch_ms() + 1000.0 * lasting)
            click.echo(f"{process} is frozen; the console resumes it after {lasting:g} s")
        case _ if name in NETWORK_FAULTS:
            _break_network(name, seconds)
        case _:
            request = on_request(name, seconds, epoch_ms())
            if reason := read_generator(StackHome(read_settings())).why_not(name):
                raise Misconfigured(f"{name}: {reason}")
            publish_progress(broker_settings().kafka, request)
            click.echo(f"{name} is requested; the generator begins it, see `cardwatch fault list`")


@fault.command()
@click.argument("name")
def off(name: str) -> None:
    """Switch the fault NAME off before its time is over."""
    match process_fault_of(name):
        case (action, _) if action == KILL:
            raise Misconfigured(f"{name} happens once and has no end: the stack starts the process again")
        case (_, process):
            TimedFreezes(StackHome(read_settings())).resume(process)
            click.echo(f"{process} is resumed")
        case _ if name in NETWORK_FAULTS:
            NetworkFaults(StackHome(read_settings())).off(name, epoch_ms())
            click.echo(f"{name} is off")
        case _:
            request = off_request(name)
            publish_progress(broker_settings().kafka, request)
            click.echo(f"the end of {name} is requested")


def read_states(broker: KafkaConnection) -> FaultStates:
    """Return the states of the faults of the simulated world, from the topic `progress`."""
    states = FaultStates()
    with closing(ProgressReader(broker)) as reader:
        while not reader.caught_up():
            if (record := reader.poll(POLL_SECONDS)) is not None:
                states.apply(record, epoch_ms())
    return states


class GeneratorHere(NamedTuple):
    """The generator of the stack here: why it applies no fault at all, and the rate of its plan on live days.

    Both are None if it runs elsewhere or is not known.
    """

    problem: str | None = None
    live_rate: float | None = None

    def why_not(self, name: str) -> str | None:
        """Return why it would not apply a fault, None if it would."""
        return self.problem or why_without_effect(name, self.live_rate)


def read_generator(home: StackHome) -> GeneratorHere:
    """Ask the generator of the stack in `home`, if one runs there."""
    status = home.status()
    if status is None:
        return GeneratorHere()
    endpoint = status.endpoints.get(GENERATOR)
    if endpoint is None or GENERATOR in status.finished:
        return GeneratorHere(NO_GENERATOR if endpoint is None else GENERATOR_ENDED)
    found = re.search(rf"^{LIVE_RATE_METRIC} (\S+)$", metrics_page(endpoint) or "", re.MULTILINE)
    return GeneratorHere(live_rate=float(found[1]) if found else None)


def _break_network(name: str, seconds: float | None) -> None:
    home, now_ms = StackHome(read_settings()), epoch_ms()
    until_ms = network_until_ms(seconds, now_ms)
    network = NetworkFaults(home)
    if network.why_unavailable(name) is None and not _has_console(home):
        raise Misconfigured(f"no console runs, which would end {name} when its time is over")
    network.on(name, now_ms, until_ms)
    click.echo(f"{name} is on; the console ends it after {(until_ms - now_ms) / 1000.0:g} s")


def _require_console(home: StackHome, process: str) -> None:
    if not _has_console(home):
        raise Misconfigured(
            f"no console runs, which would resume {process}: use `cardwatch ps`, then kill -STOP and kill -CONT"
        )


def _has_console(home: StackHome) -> bool:
    record = home.record()
    return record is not None and CONSOLE in record.processes


def _state(state: FaultState, now_ms: float) -> str:
    if state.on_since_ms is not None:
        return _left(state.until_ms, now_ms) if state.is_wanted(now_ms) else "ends"
    return "asked" if state.is_asked(now_ms) else "off"


def _left(until_ms: float | None, now_ms: float) -> str:
    return "off" if until_ms is None else f"on, {max(0.0, until_ms - now_ms) / 1000.0:.0f} s"
