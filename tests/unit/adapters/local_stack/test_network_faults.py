"""Network faults of a stack with a proxy: what is broken, who ends it, and why a fault cannot be switched on."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.local_stack.network_faults import SCORING_DELAY_MS
from adapters.local_stack.process_tree import ProcessIdentity
from adapters.local_stack.toxiproxy import DOWNSTREAM
from cardwatch.errors import Misconfigured, Unavailable
from cardwatch.live.faults import NETWORK_FAULTS
from services.stream.__main__ import SCORING_DEADLINE_SECONDS
from tests.proxied_home import ProxiedHome

SERVERS = {
    "broker-slow": "kafka",
    "broker-cut": "kafka",
    "scoring-slow": "scoring",
    "scoring-cut": "scoring",
    "store-silent": "store",
}


@pytest.fixture
def proxied(tmp_path: Path) -> ProxiedHome:
    """A stack whose worker reaches all three servers through proxies."""
    return ProxiedHome(tmp_path, "kafka", "scoring", "store")


def broken(proxied: ProxiedHome) -> set[str]:
    return {server for server in SERVERS.values() if proxied.control.is_broken(f"stream-to-{server}")}


def test_every_listed_fault_breaks_one_connection_and_leaves_nothing_when_it_is_off(proxied: ProxiedHome) -> None:
    assert SERVERS.keys() == NETWORK_FAULTS.keys()
    faults = proxied.faults()
    for name, server in SERVERS.items():
        assert faults.why_unavailable(name) is None
        faults.on(name, 0.0, 5_000.0)
        assert (broken(proxied), faults.active().keys()) == ({server}, {name})
        faults.off(name, 1_000.0)
        assert (broken(proxied), faults.active()) == (set(), {})


def test_two_faults_of_one_connection_end_apart(proxied: ProxiedHome) -> None:
    faults = proxied.faults()
    faults.on("broker-slow", 0.0, 5_000.0)
    faults.on("broker-cut", 0.0, 5_000.0)
    faults.off("broker-cut", 1.0)
    [proxy] = [each for each in proxied.control.proxies().values() if each.name == "stream-to-kafka"]
    assert (proxy.enabled, [toxic.name for toxic in proxy.toxics]) == (True, ["broker-slow"])


def test_a_slow_scoring_service_misses_the_deadline_of_the_worker(proxied: ProxiedHome) -> None:
    proxied.faults().on("scoring-slow", 0.0, 5_000.0)
    [toxic] = proxied.control.proxies()["stream-to-scoring"].toxics
    assert (toxic.kind, toxic.stream, toxic.attributes) == ("latency", DOWNSTREAM, {"latency": SCORING_DELAY_MS})
    assert SCORING_DELAY_MS / 1000.0 > SCORING_DEADLINE_SECONDS


def test_the_fault_of_a_process_that_has_gone_ends_when_its_time_is_over_and_not_before(proxied: ProxiedHome) -> None:
    proxied.faults().on("scoring-cut", 1_000.0, 5_000.0)
    console = proxied.faults()
    console.enforce(4_999.0)
    assert broken(proxied) == {"scoring"}
    console.enforce(5_000.0)
    assert (broken(proxied), console.active()) == (set(), {})


def test_a_second_request_moves_the_end_and_keeps_the_begin(proxied: ProxiedHome) -> None:
    faults = proxied.faults()
    faults.on("scoring-slow", 1_000.0, 5_000.0)
    faults.on("scoring-slow", 2_000.0, 9_000.0)
    fault = faults.active()["scoring-slow"]
    assert (fault.since_ms, fault.until_ms) == (1_000.0, 9_000.0)


def test_a_fault_is_applied_again_to_the_proxies_of_a_restarted_toxiproxy(proxied: ProxiedHome) -> None:
    faults = proxied.faults()
    faults.on("store-silent", 0.0, 5_000.0)
    proxied.control.restart()
    assert broken(proxied) == set()
    faults.enforce(1.0)
    faults.enforce(2.0)
    assert broken(proxied) == {"store"}


def test_a_fault_that_cannot_be_applied_is_not_applied_later(proxied: ProxiedHome) -> None:
    faults = proxied.faults()
    proxied.control.running = False
    with pytest.raises(Unavailable):
        faults.on("broker-cut", 0.0, 5_000.0)
    proxied.control.running = True
    faults.enforce(1.0)
    assert (broken(proxied), faults.active()) == (set(), {})


def test_a_fault_that_is_switched_off_while_toxiproxy_is_frozen_ends_when_it_answers_again(
    proxied: ProxiedHome,
) -> None:
    faults = proxied.faults()
    faults.on("broker-cut", 0.0, 500_000.0)
    proxied.control.running = False
    with pytest.raises(Unavailable):
        faults.off("broker-cut", 1_000.0)
    proxied.control.running = True
    assert broken(proxied) == {"kafka"}
    faults.enforce(1_001.0)
    assert (broken(proxied), faults.active()) == (set(), {})


def test_the_faults_of_an_earlier_stack_in_the_same_folder_are_over(proxied: ProxiedHome) -> None:
    proxied.faults().on("scoring-cut", 0.0, 5_000.0)
    # Another start of the same process id, within the tolerance by which clocks may be corrected: it counts as alive.
    proxied.own(ProcessIdentity(proxied.owner.pid, proxied.owner.created + 1.0))
    assert proxied.faults().active() == {}


def test_a_fault_that_is_not_on_can_be_switched_off(proxied: ProxiedHome) -> None:
    proxied.faults().off("scoring-cut", 0.0)
    assert broken(proxied) == set()


def test_without_a_proxy_the_reason_names_the_setting(tmp_path: Path) -> None:
    faults = ProxiedHome(tmp_path).faults()
    for name in NETWORK_FAULTS:
        assert "CARDWATCH_TOXIPROXY" in str(faults.why_unavailable(name))
        with pytest.raises(Misconfigured, match=f"{name}: No proxy runs"):
            faults.on(name, 0.0, 5_000.0)


def test_connections_that_are_not_forwarded_cannot_be_broken(tmp_path: Path) -> None:
    faults = ProxiedHome(tmp_path, "kafka").faults()
    assert faults.why_unavailable("broker-cut") is None
    assert "not this stack's own" in str(faults.why_unavailable("scoring-cut"))
    assert "CARDWATCH_STORE_URL" in str(faults.why_unavailable("store-silent"))
    with pytest.raises(Misconfigured, match="LMDB"):
        faults.on("store-silent", 0.0, 5_000.0)


def test_without_a_running_stack_nothing_is_on_and_nothing_can_be_switched(proxied: ProxiedHome) -> None:
    (proxied.home.folder / "stack.json").unlink()
    faults = proxied.faults()
    faults.enforce(0.0)
    assert faults.active() == {}
    with pytest.raises(Misconfigured, match="no stack runs"):
        faults.off("broker-cut", 0.0)
