"""What tests of several kinds share: one real broker for the whole session, started when the first test asks for it."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from adapters.settings import Settings
from infra.local.kafka import EmbeddedKafka
from infra.local.supervisor import Supervisor


def pytest_configure() -> None:
    """Ctrl-C is tested, so it must work: a shell starts what runs in the background with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a broker without topics; tests share it, so each uses topics and ids of its own."""
    settings = Settings(home=tmp_path_factory.mktemp("kafka"))
    broker = EmbeddedKafka(settings)
    with Supervisor(settings.home) as supervisor:
        supervisor.start(broker.part())
        yield broker.bootstrap
