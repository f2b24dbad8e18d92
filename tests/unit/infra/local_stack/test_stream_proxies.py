"""The proxies of the stream workers: who reaches what through them, and which program runs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from adapters.local_stack.network_faults import PROXIES_FILE, PROXY
from adapters.local_stack.stack_home import StackHome
from adapters.local_stack.toxiproxy import ForwardedAddress
from adapters.runtime.addresses import plain
from adapters.runtime.settings import Settings, StoreUrl, read_settings
from cardwatch.errors import Misconfigured
from infra.local_stack.running_stack import initial_status
from infra.local_stack.stack import SERVERS, LocalStack
from infra.local_stack.stream_proxies import ProxiedKafka, can_forward_store, find_toxiproxy

Program = Callable[[str], Path]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Writes a shell script that says this to every argument."""

    def write(said: str) -> Path:
        file = tmp_path / "program"
        file.write_text(f"#!/bin/sh\necho '{said}'\n")
        file.chmod(0o755)
        return file

    return write


@pytest.fixture
def toxiproxy(program: Program) -> str:
    """What says that it is Toxiproxy's server; nothing here starts it as one."""
    return str(program("toxiproxy-server version 2.12.0"))


def proxies_of(stack: LocalStack) -> dict[str, ForwardedAddress]:
    """The proxies that Toxiproxy would make."""
    stack._spec(PROXY)
    found = msgspec.json.decode((stack.settings.home / PROXIES_FILE).read_bytes(), type=list[ForwardedAddress])
    return {proxy.name: proxy for proxy in found}


def test_a_worker_reaches_all_servers_through_proxies_and_other_processes_do_not(
    tmp_path: Path, toxiproxy: str
) -> None:
    settings = Settings(home=tmp_path, toxiproxy=toxiproxy, store_url=StoreUrl("redis://user:secret@cache/3"))
    with LocalStack(settings) as stack:
        proxies = proxies_of(stack)
        worker, archive = (read_settings(stack._environment(name)) for name in ("stream", "archive"))
    assert set(proxies) == {"stream-to-kafka", "stream-to-scoring", "stream-to-store"}
    assert worker.kafka_bootstrap == proxies["stream-to-kafka"].listen
    assert worker.scoring_url == f"http://{proxies['stream-to-scoring'].listen}"
    assert plain(worker.store_url) == f"redis://user:secret@{proxies['stream-to-store'].listen}/3"
    assert plain(archive.store_url) == "redis://user:secret@cache/3"
    assert (archive.kafka_bootstrap, archive.scoring_url) == (
        stack.settings.kafka_bootstrap,
        stack.settings.scoring_url,
    )
    assert f"http://{proxies['stream-to-scoring'].upstream}" == archive.scoring_url
    assert proxies["stream-to-store"].upstream == "cache:6379"


def test_each_worker_has_a_listener_of_the_broker_that_advertises_its_proxy(tmp_path: Path) -> None:
    broker = ProxiedKafka(Settings(home=tmp_path), ["127.0.0.1:11", "127.0.0.1:12"])
    properties = broker._properties()
    for number, address in enumerate(("127.0.0.1:11", "127.0.0.1:12")):
        assert f"PROXY{number}://{address}" in properties["advertised.listeners"].split(",")
        assert f"PROXY{number}://{broker.behind[number]}" in properties["listeners"].split(",")
    assert f"PLAINTEXT://{broker.bootstrap}" in properties["advertised.listeners"].split(",")


def test_without_proxies_the_broker_has_no_further_listener(tmp_path: Path) -> None:
    broker = ProxiedKafka(Settings(home=tmp_path), [])
    assert "PROXY" not in str(broker._properties())
    assert broker.behind == []


def test_the_proxy_is_a_server_of_the_stack_with_an_address_in_its_status(tmp_path: Path, toxiproxy: str) -> None:
    settings = Settings(home=tmp_path, toxiproxy=toxiproxy)
    with LocalStack(settings) as stack:
        endpoint = initial_status(stack).endpoints[PROXY]
        assert stack.servers == (*SERVERS, PROXY)
    assert endpoint.readiness_url == f"{endpoint.address}/version"
    with LocalStack(structs.replace(settings, toxiproxy="")) as stack:
        assert (stack.servers, PROXY in initial_status(stack).endpoints) == (SERVERS, False)


def test_servers_of_others_are_reached_directly(tmp_path: Path, toxiproxy: str) -> None:
    given = Settings(home=tmp_path, toxiproxy=toxiproxy, kafka_bootstrap="broker:9092")
    with LocalStack(StackHome(given).settings(given)) as stack:
        assert set(proxies_of(stack)) == {"stream-to-scoring"}
        assert read_settings(stack._environment("stream")).kafka_bootstrap == "broker:9092"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", False),
        ("redis://cache:6379", True),
        ("valkey://cache:6379", True),
        ("rediss://cache:6379", False),
        ("dynamodb://table?region=eu-central-1", False),
    ],
)
def test_only_a_store_without_tls_can_be_reached_at_another_address(url: str, expected: bool) -> None:
    assert can_forward_store(Settings(store_url=StoreUrl(url))) is expected


def test_the_program_may_be_a_path(toxiproxy: str) -> None:
    assert find_toxiproxy(toxiproxy) == Path(toxiproxy)


def test_a_setting_that_names_no_program_is_refused_at_the_start_with_what_to_do(tmp_path: Path) -> None:
    with (
        pytest.raises(Misconfigured, match=r"CARDWATCH_TOXIPROXY='no-such-program' is not an executable.*go install"),
        LocalStack(Settings(home=tmp_path, toxiproxy="no-such-program")),
    ):
        pass


def test_another_program_is_refused_with_what_it_says(program: Program) -> None:
    with pytest.raises(Misconfigured, match="is not Toxiproxy's server, to -version it says 'hello'"):
        find_toxiproxy(str(program("hello")))


def test_a_file_that_is_no_program_at_all_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_bytes(b"\x7fELF, but nothing else")
    file.chmod(0o755)
    with pytest.raises(Misconfigured, match="is not Toxiproxy's server"):
        find_toxiproxy(str(file))
