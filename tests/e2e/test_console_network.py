"""The switches of the network faults on a running stack with Toxiproxy: each breaks a real connection for a time."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from adapters.local_stack.network_faults import PROXY, proxy_name
from adapters.local_stack.stack_home import StackHome, StackStatus
from adapters.local_stack.toxiproxy import ForwardedAddress, Toxiproxy
from adapters.runtime.settings import Settings, read_settings
from cardwatch.errors import Unavailable
from cli.demo.topic_audit import audit_topics
from tests.deadlines import until
from tests.e2e.console_page import PLAN, Page, is_ready, stack_with_console, state_of

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]

RATE = 40.0
"""As in `PLAN`."""
FAULTS = ("broker-slow", "broker-cut", "scoring-slow", "scoring-cut", "store-silent")


class Proxied(NamedTuple):
    """The stack, its settings, and what runs a command beside it."""

    status: StackStatus
    settings: Settings
    run: Callable[..., subprocess.CompletedProcess[str]]

    def to_scoring(self) -> ForwardedAddress:
        """The proxy from the worker to the scoring service, as Toxiproxy has it."""
        server = Toxiproxy(self.status.endpoints[PROXY].address)
        return server.proxies()[proxy_name("stream", "scoring")]

    def pid(self, name: str) -> int:
        record = StackHome(self.settings).record()
        assert record is not None
        return record.processes[name].pid

    def scoring_is_cut(self) -> bool:
        try:
            return not self.to_scoring().enabled
        except Unavailable:  # Toxiproxy is being started again
            return False


@pytest.fixture(scope="module")
def proxied(
    toxiproxy: Path,
    start_redis: Callable[..., tuple[str, subprocess.Popen[bytes]]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Proxied]:
    store, _ = start_redis("--appendonly", "yes")
    given = {"CARDWATCH_TOXIPROXY": str(toxiproxy), "CARDWATCH_STORE_URL": store}
    with stack_with_console(tmp_path_factory.mktemp("home"), PLAN, **given) as (status, run):
        yield Proxied(status, read_settings(status.environment), run)


@pytest.fixture
def page(proxied: Proxied) -> Iterator[Page]:
    page = Page(proxied.status)
    with page.client:
        page.until("the model decides all, at once", is_well, 120.0)
        yield page


def is_well(frame: Mapping[str, Any]) -> bool:
    traffic = frame["traffic"]
    return bool(
        traffic["by_model_per_second"] > RATE / 2 and traffic["by_rules_per_second"] == 0 and traffic["waiting"] < RATE
    )


def waits(frame: Mapping[str, Any]) -> bool:
    return bool(frame["traffic"]["waiting"] > 4 * RATE)


def is_late(frame: Mapping[str, Any]) -> bool:
    traffic = frame["traffic"]
    return bool(traffic["p99_ms"] > 1_000 and traffic["by_model_per_second"] > 0 == traffic["by_rules_per_second"])


def is_decided_by_rules_late(frame: Mapping[str, Any]) -> bool:
    traffic = frame["traffic"]
    return bool(traffic["by_rules_per_second"] > 0 and traffic["p99_ms"] > 5_000)


def is_decided_by_rules_at_once(frame: Mapping[str, Any]) -> bool:
    traffic = frame["traffic"]
    return bool(traffic["by_rules_per_second"] > RATE / 2 and traffic["waiting"] < RATE)


EFFECTS = {
    "broker-slow": is_late,
    "broker-cut": lambda frame: waits(frame) and state_of(frame, "stream") == "waiting",
    "scoring-slow": is_decided_by_rules_late,
    "scoring-cut": is_decided_by_rules_at_once,
    "store-silent": waits,
}


def test_the_proxy_is_a_process_of_the_stack(proxied: Proxied) -> None:
    listed = proxied.run("ps").stdout.splitlines()
    assert any(line.startswith(PROXY) and line.endswith("ready") for line in listed)


@pytest.mark.parametrize("name", FAULTS)
def test_a_network_fault_has_its_effect_until_it_is_switched_off(page: Page, name: str) -> None:
    assert page.fault(name)["unavailable"] is None
    assert page.switch(name, "on", 300.0).status_code == 204
    assert page.fault(name)["state"] == "on"
    page.until(f"the effect of {name}", EFFECTS[name], 60.0)
    assert page.switch(name, "off").status_code == 204
    assert page.fault(name)["state"] == "off"
    page.until("all is well again", is_well, 60.0)


def test_a_network_fault_ends_when_its_time_is_over_although_the_console_was_killed(
    proxied: Proxied, page: Page
) -> None:
    assert page.switch("scoring-cut", "on", 8.0).status_code == 204
    page.until("the rules decide", is_decided_by_rules_at_once, 30.0)
    assert page.switch("scoring-cut", "on", 8.0).status_code == 204
    psutil.Process(proxied.pid("console")).kill()
    assert proxied.scoring_is_cut()
    until("the connection is back", lambda: not proxied.scoring_is_cut(), 60.0)
    until("the console answers again", page.answers, 60.0)
    assert page.fault("scoring-cut")["state"] == "off"


def test_a_network_fault_goes_on_after_the_proxy_was_killed(proxied: Proxied, page: Page) -> None:
    assert page.switch("scoring-cut", "on", 300.0).status_code == 204
    killed = proxied.pid(PROXY)
    assert page.act(PROXY, "kill").status_code == 204
    until("another proxy cuts", lambda: proxied.pid(PROXY) != killed and proxied.scoring_is_cut(), 60.0)
    assert page.switch("scoring-cut", "off").status_code == 204
    assert not proxied.scoring_is_cut()


def test_a_switch_of_the_network_and_its_command_do_the_same(proxied: Proxied, page: Page) -> None:
    on = proxied.run(*page.fault("scoring-cut")["commands"]["on"].split()[1:], "--for", "60")
    assert on.returncode == 0, on.stderr
    assert (page.fault("scoring-cut")["state"], proxied.scoring_is_cut()) == ("on", True)
    listed = proxied.run("fault", "list").stdout.splitlines()
    assert any(line.startswith("scoring-cut ") and " on, " in line for line in listed)
    off = proxied.run(*page.fault("scoring-cut")["commands"]["off"].split()[1:])
    assert off.returncode == 0, off.stderr
    assert (page.fault("scoring-cut")["state"], proxied.scoring_is_cut()) == ("off", False)


def test_the_timeline_and_the_log_tell_of_network_faults(proxied: Proxied, page: Page) -> None:
    assert page.switch("store-silent", "on", 2.0).status_code == 204
    with closing(page.frames()) as frames:
        told = (frame["text"] for frame in frames if frame["type"] == "event" and frame["kind"] == "fault")
        for text in told:
            if text == "fault: silent feature store ends":
                break
    log = StackHome(proxied.settings).log("console").read_text()
    assert log.count("audit: fault store-silent on until") == 2
    assert log.count("audit: fault scoring-slow off") == 1


def test_none_is_lost_and_none_is_decided_twice_by_all_of_this(proxied: Proxied, page: Page) -> None:
    page.until("the generator is ready", is_ready("generator"), 30.0)
    assert page.switch("freeze-generator", "on", 600.0).status_code == 204
    page.await_all_decided()
    audit = audit_topics(proxied.settings, {})
    assert audit.transactions > 1_000
    assert (audit.lost, audit.duplicates, audit.repeats, audit.dead_letters) == (0, 0, 0, 0)
