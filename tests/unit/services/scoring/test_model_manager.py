"""A cached champion that is damaged is not served."""

from __future__ import annotations

from services.scoring.model.manager import ModelManager
from tests.unit.services.scoring.worker import (
    InMemoryRegistry,
    Service,
)


def test_a_cached_champion_with_any_damage_is_not_served_and_refreshing_continues(service: Service) -> None:
    folder = service.folder / "models"
    [file] = folder.iterdir()
    kept = file.read_bytes()
    registry = InMemoryRegistry()
    registry.unavailable = True
    places = [*range(500), *range(500, len(kept), 97)]
    for damaged in (
        *(kept[:place] + bytes([kept[place] ^ bit]) + kept[place + 1 :] for place in places for bit in (0x01, 0x80)),
        *(kept[:length] for length in range(0, len(kept), 501)),
        b"",
    ):
        file.write_bytes(damaged)
        manager = ModelManager(registry, folder)  # type: ignore[arg-type]
        manager.refresh()
        assert manager.served.champion is None
        assert "champion.msgpack cannot be used" in manager.unavailable_reason()
    file.write_bytes(kept)
    manager.refresh()
    assert manager.status().version == "1"
    assert "serving version 1, the newest champion that was kept on disk" in str(manager.status().problem)
