"""The home of a stack whose connections are forwarded, as a stack with Toxiproxy leaves it, and proxies in memory."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import structs

from adapters.local_stack.network_faults import PROXIES_FILE, PROXY, NetworkFaults
from adapters.local_stack.process_record import StackRecord
from adapters.local_stack.process_tree import ProcessIdentity
from adapters.local_stack.stack_home import ProcessEndpoint, StackHome, StackStatus
from adapters.local_stack.toxiproxy import ForwardedAddress, Toxic
from adapters.runtime.settings import read_settings
from cardwatch.errors import Unavailable

URL = "http://127.0.0.1:8474"


class ProxiesInMemory:
    """Proxies that can be lost as those of a Toxiproxy that is killed, and that answer only if it is `running`."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self.running = True
        self.restart()

    def restart(self) -> None:
        """Have the proxies without toxics, as after a start."""
        self._proxies = {name: ForwardedAddress(name=name, listen="x:1", upstream="y:2") for name in self._names}

    def proxies(self) -> dict[str, ForwardedAddress]:
        if not self.running:
            raise Unavailable("Toxiproxy does not answer")
        return dict(self._proxies)

    def add_toxic(self, proxy: str, toxic: Toxic) -> None:
        before = self.proxies()[proxy]
        assert toxic.name not in [each.name for each in before.toxics], "Toxiproxy refuses a second one of this name"
        self._proxies[proxy] = structs.replace(before, toxics=[*before.toxics, toxic])

    def remove_toxic(self, proxy: str, name: str) -> None:
        before = self.proxies()[proxy]
        remaining = [each for each in before.toxics if each.name != name]
        assert len(remaining) == len(before.toxics) - 1, "Toxiproxy refuses to remove what is not there"
        self._proxies[proxy] = structs.replace(before, toxics=remaining)

    def set_enabled(self, proxy: str, *, enabled: bool) -> None:
        self._proxies[proxy] = structs.replace(self.proxies()[proxy], enabled=enabled)

    def is_broken(self, name: str) -> bool:
        proxy = self._proxies[name]
        return bool(proxy.toxics) or not proxy.enabled


class ProxiedHome:
    """A stack that this process owns, with a worker's proxies to these servers; none without servers."""

    def __init__(self, folder: Path, *servers: str) -> None:
        self.home = StackHome(read_settings({}, home=folder))
        self.owner = ProcessIdentity.of(os.getpid())
        self.control = ProxiesInMemory(*(f"stream-to-{server}" for server in servers))
        (self.home.folder / "run").mkdir(parents=True)
        self.own(self.owner)
        endpoints = {PROXY: ProcessEndpoint(URL, f"{URL}/version")} if servers else {}
        self.home.write(StackStatus(owner=self.owner, environment={}, own_variables=[], endpoints=endpoints))
        proxies = list(self.control.proxies().values())
        (self.home.folder / PROXIES_FILE).write_bytes(msgspec.json.encode(proxies))

    def own(self, owner: ProcessIdentity, **processes: ProcessIdentity) -> None:
        """Write the record of a stack of this owner."""
        StackRecord(owner=owner, processes=processes).write(self.home.folder / "stack.json")

    def faults(self) -> NetworkFaults:
        """What switches network faults here, as each process that does it has its own."""

        def connect(url: str) -> ProxiesInMemory:
            assert url == URL
            return self.control

        return NetworkFaults(self.home, connect)
