"""The faults of the network that can be switched on where Toxiproxy forwards the connections of the stream worker."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import msgspec
from msgspec import Struct, structs

from adapters.local_stack.process_tree import ProcessIdentity
from adapters.local_stack.stack_home import StackHome
from adapters.local_stack.toxiproxy import DOWNSTREAM, UPSTREAM, ForwardedAddress, Toxic, Toxiproxy
from adapters.runtime.files import write_atomically
from cardwatch.errors import CardwatchError, Misconfigured
from cardwatch.live.faults import (
    BROKER_CUT,
    BROKER_SLOW,
    NO_PROXY,
    SCORING_CUT,
    SCORING_SLOW,
    STORE_SILENT,
)

PROXY: Final = "toxiproxy"
"""Name of the process."""
PROXIES_FILE: Final = Path("run") / "toxiproxy.json"
"""The proxies of a stack, in the folder of the stack: the file from which Toxiproxy makes them when it starts."""
KAFKA, SCORING, STORE = "kafka", "scoring", "store"
"""Servers that a stream worker reaches through a proxy."""
BROKER_DELAY_MS: Final = 500
SCORING_DELAY_MS: Final = 6_000
"""More than the deadline of a request of the stream worker, five seconds."""

_NOT_FORWARDED: Final = {
    KAFKA: "The broker is not this stack's own, so the stream worker reaches it without the proxy.",
    SCORING: "The scoring service is not this stack's own, so the stream worker reaches it without the proxy.",
    STORE: "The feature store is part of the stream worker (LMDB), so no connection can be broken. With "
    "CARDWATCH_STORE_URL=redis://... it is a server.",
}


def proxy_name(worker: str, server: str) -> str:
    """Return the name of the proxy between a stream worker and a server.

    >>> proxy_name("stream-2", "kafka")
    'stream-2-to-kafka'
    """
    return f"{worker}-to-{server}"


class _Break(NamedTuple):
    """The effect of a fault on the proxies to `server`: toxics are added or, if there are none, connections are cut."""

    server: str
    toxics: tuple[Toxic, ...] = ()


_BREAKS: Final = {
    BROKER_SLOW: _Break(
        KAFKA,
        (Toxic(name=BROKER_SLOW, kind="latency", stream=DOWNSTREAM, attributes={"latency": BROKER_DELAY_MS}),),
    ),
    BROKER_CUT: _Break(KAFKA),
    SCORING_SLOW: _Break(
        SCORING,
        (Toxic(name=SCORING_SLOW, kind="latency", stream=DOWNSTREAM, attributes={"latency": SCORING_DELAY_MS}),),
    ),
    SCORING_CUT: _Break(SCORING),
    STORE_SILENT: _Break(
        STORE,
        tuple(
            Toxic(name=f"{STORE_SILENT}-{stream}", kind="timeout", stream=stream, attributes={"timeout": 0})
            for stream in (UPSTREAM, DOWNSTREAM)
        ),
    ),
}
"""The fault of each name."""


class ProxyControl(Protocol):
    """The methods of `adapters.local_stack.toxiproxy.Toxiproxy` that faults need."""

    def proxies(self) -> dict[str, ForwardedAddress]:
        """Return all proxies by name, with their toxics."""

    def add_toxic(self, proxy: str, toxic: Toxic) -> None:
        """Add a toxic to a proxy that has none of this name."""

    def remove_toxic(self, proxy: str, name: str) -> None:
        """Remove a toxic."""

    def set_enabled(self, proxy: str, *, enabled: bool) -> None:
        """Let a proxy accept connections, or refuse them."""


class NetworkFault(Struct, frozen=True, kw_only=True):
    """A fault that is on in the stack of `owner`. Times are ms since 1970."""

    owner: ProcessIdentity
    since_ms: float
    until_ms: float


class NetworkFaults:
    """The network faults of a stack that are on, kept in a file beside its record.

    The console calls `enforce` periodically, so a fault also ends if the process that switched it on has exited. A
    lock on the file lets one process at a time change file and proxies. `connect` returns the control of the proxies at
    an address.
    """

    def __init__(self, home: StackHome, connect: Callable[[str], ProxyControl] = Toxiproxy) -> None:
        self._home, self._connect = home, connect
        self._file = home.folder / "run" / "network-faults.json"

    def why_unavailable(self, name: str) -> str | None:
        """Return why this fault cannot be switched on, None if it can."""
        status = self._home.status()
        if status is None or PROXY not in status.endpoints:
            return NO_PROXY
        server = _BREAKS[name].server
        return None if server in self._forwarded_servers() else _NOT_FORWARDED[server]

    def on(self, name: str, now_ms: float, until_ms: float) -> None:
        """Switch a fault on until then.

        Raises `Misconfigured`, with the reason, if that is impossible, and `Unavailable` if Toxiproxy does not answer.
        """
        if reason := self.why_unavailable(name):
            raise Misconfigured(f"{name}: {reason}")
        with self._changing() as (owner, faults):
            before = faults.get(name)
            # Written before it is applied: a fault that is applied always has an end.
            since_ms = now_ms if before is None else before.since_ms
            self._write(faults | {name: NetworkFault(owner=owner, since_ms=since_ms, until_ms=until_ms)})
            try:
                self._apply(name)
            except CardwatchError:
                if before is None:  # its end is now; what has been applied of it is undone by `enforce`
                    self._write(faults | {name: NetworkFault(owner=owner, since_ms=now_ms, until_ms=now_ms)})
                raise

    def off(self, name: str, now_ms: float) -> None:
        """Switch a fault off, if it is on.

        Raises `Misconfigured` if no stack runs, and `Unavailable` if Toxiproxy does not answer; the fault then ends as
        soon as it does.
        """
        with self._changing() as (_, faults):
            if (fault := faults.get(name)) is None:
                return
            self._write(faults | {name: structs.replace(fault, until_ms=now_ms)})
            self._undo(name)
            self._write({other: each for other, each in faults.items() if other != name})

    def active(self) -> dict[str, NetworkFault]:
        """Return the faults that are on, by name."""
        record = self._home.record()
        return {} if record is None else self._of_owner(record.owner)

    def enforce(self, now_ms: float) -> None:
        """End the faults whose time is over, and apply the others again where Toxiproxy has been restarted.

        Raises `Unavailable` if Toxiproxy does not answer.
        """
        if not self.active():
            return
        with self._changing() as (_, faults):
            over = [name for name, fault in faults.items() if fault.until_ms <= now_ms]
            for name in over:
                self._undo(name)
            for name in faults.keys() - set(over):
                self._apply(name)
            if over:
                self._write({name: fault for name, fault in faults.items() if name not in over})

    def _apply(self, name: str) -> None:
        control, toxics = self._control(), _BREAKS[name].toxics
        for proxy in self._proxies_of(name, control):
            present = {toxic.name for toxic in proxy.toxics}
            for toxic in toxics:
                if toxic.name not in present:
                    control.add_toxic(proxy.name, toxic)
            if not toxics and proxy.enabled:
                control.set_enabled(proxy.name, enabled=False)

    def _undo(self, name: str) -> None:
        control, toxics = self._control(), _BREAKS[name].toxics
        for proxy in self._proxies_of(name, control):
            present = {toxic.name for toxic in proxy.toxics}
            for toxic in toxics:
                if toxic.name in present:
                    control.remove_toxic(proxy.name, toxic.name)
            if not toxics and not proxy.enabled:
                control.set_enabled(proxy.name, enabled=True)

    def _control(self) -> ProxyControl:
        status = self._home.status()
        if status is None or PROXY not in status.endpoints:
            raise Misconfigured(NO_PROXY)
        return self._connect(status.endpoints[PROXY].address)

    def _proxies_of(self, name: str, control: ProxyControl) -> list[ForwardedAddress]:
        return [proxy for proxy in control.proxies().values() if _server_of(proxy.name) == _BREAKS[name].server]

    def _forwarded_servers(self) -> set[str]:
        with suppress(FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
            content = (self._home.folder / PROXIES_FILE).read_bytes()
            return {_server_of(proxy.name) for proxy in msgspec.json.decode(content, type=list[ForwardedAddress])}
        return set()

    def _of_owner(self, owner: ProcessIdentity) -> dict[str, NetworkFault]:
        with suppress(FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
            kept = msgspec.json.decode(self._file.read_bytes(), type=dict[str, NetworkFault])
            # The proxies of an earlier stack in this folder have ended with it.
            return {name: fault for name, fault in kept.items() if fault.owner == owner and name in _BREAKS}
        return {}

    def _write(self, faults: Mapping[str, NetworkFault]) -> None:
        write_atomically(self._file, msgspec.json.encode(faults))

    @contextmanager
    def _changing(self) -> Iterator[tuple[ProcessIdentity, dict[str, NetworkFault]]]:
        record = self._home.record()
        if record is None:
            raise Misconfigured(f"no stack runs in {self._home.folder}; `cardwatch up` starts one")
        with self._file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield record.owner, self._of_owner(record.owner)


def _server_of(proxy: str) -> str:
    return proxy.rpartition("-to-")[2]
