"""The console in a container: it asks the other parts, and touches none."""

from __future__ import annotations

import pytest

from adapters.runtime.kafka_connection import KafkaConnection
from adapters.runtime.ports import LOOPBACK, free_ports
from cardwatch.errors import Misconfigured
from cardwatch.live.frames import BoxState
from services.console.containers import ContainerProcesses, parse_endpoints


def test_a_part_that_has_never_answered_is_starting() -> None:
    [port] = free_ports(1)
    parts = ContainerProcesses(parse_endpoints(f"stream=http://{LOOPBACK}:{port}/readyz"), KafkaConnection(""))
    assert [part.state for part in parts.observe()] == [BoxState.STARTING]
    parts.ask()
    [stream] = parts.observe()
    assert (stream.state, stream.reason, stream.pid) == (BoxState.STARTING, "it does not answer yet", None)
    assert stream.commands["kill"] == "docker compose kill stream"
    assert parts.log_command("stream") == "docker compose logs stream"


def test_the_console_says_what_to_type_instead_of_touching_a_container() -> None:
    parts = ContainerProcesses(parse_endpoints("stream=http://stream:9464/readyz"), KafkaConnection(""))
    with pytest.raises(Misconfigured, match="docker compose pause stream"):
        parts.act("stream", "freeze")
    with pytest.raises(Misconfigured, match=r"another one$"):
        parts.act("stream; rm -rf /", "kill")


@pytest.mark.parametrize("watched", ["stream", "=http://x", "stream="])
def test_a_malformed_list_of_parts_is_refused(watched: str) -> None:
    with pytest.raises(Misconfigured, match="NAME=ADDRESS"):
        parse_endpoints(watched)
