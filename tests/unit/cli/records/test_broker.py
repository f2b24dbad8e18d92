"""Which broker a command uses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from adapters.local_stack.process_record import StackRecord
from adapters.local_stack.process_tree import ProcessIdentity
from adapters.local_stack.stack_home import StackHome, StackStatus
from adapters.runtime.kafka_connection import KafkaClient, KafkaConnection
from adapters.runtime.settings import read_settings
from cardwatch.errors import Misconfigured
from cardwatch.partitioning import Partitioner
from cli.records import broker
from infra.local_stack.running_stack import _PUBLISHED_SETTINGS


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[KafkaConnection]:
    """The brokers that were waited for, in a home without a stack."""
    found: list[KafkaConnection] = []
    monkeypatch.setattr(broker, "wait_for_broker", lambda kafka, _seconds: found.append(kafka))
    monkeypatch.setenv("CARDWATCH_HOME", str(tmp_path))
    monkeypatch.delenv("CARDWATCH_KAFKA_BOOTSTRAP", raising=False)
    return found


def test_without_an_address_and_a_stack_it_says_what_to_do(asked: list[KafkaConnection], tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=rf"BOOTSTRAP is empty and no stack runs in {tmp_path}/stack: .* up`"):
        broker.broker_settings()
    assert asked == []


def test_the_running_stack_is_found_with_its_partitioner_and_given_variables_go_before(
    asked: list[KafkaConnection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, owner = StackHome(read_settings({}, home=tmp_path)), ProcessIdentity.of(os.getpid())
    environment = {"CARDWATCH_KAFKA_BOOTSTRAP": "stack.example:9092", "CARDWATCH_PARTITIONER": "crc32"}
    home.write(StackStatus(owner=owner, environment=environment, own_variables=[], endpoints={}))
    StackRecord(owner=owner).write(home.folder / "stack.json")
    found = broker.broker_settings()
    assert (found.kafka_bootstrap, found.partitioner) == ("stack.example:9092", Partitioner.CRC32)
    monkeypatch.setenv("CARDWATCH_TRACES_URL", "http://collector.example:4318")
    monkeypatch.setenv("CARDWATCH_KAFKA_CLIENT", "kafka-python")
    found = broker.broker_settings()
    assert str(found.traces_url) == "http://collector.example:4318"
    assert (found.kafka_bootstrap, found.kafka.client) == ("stack.example:9092", KafkaClient.KAFKA_PYTHON)
    monkeypatch.setenv("CARDWATCH_KAFKA_BOOTSTRAP", "given.example:9092")
    assert broker.broker_settings().kafka_bootstrap == "given.example:9092"
    assert [str(kafka) for kafka in asked] == ["stack.example:9092", "stack.example:9092", "given.example:9092"]


def test_a_stack_publishes_what_a_producer_needs() -> None:
    assert {"kafka_bootstrap", "partitions", "partitioner"} <= set(_PUBLISHED_SETTINGS)
