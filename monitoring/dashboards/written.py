"""The dashboards as files: the same bytes for the same code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.dashboards import business, model, scoring, stream

FOLDER: Final = Path(__file__).resolve().parent.parent / "grafana" / "dashboards"
BOARDS: Final[dict[str, Callable[[], Dashboard]]] = {
    "business": business.business,
    "scoring": scoring.scoring,
    "stream": stream.stream,
    "model": model.model,
}


def files() -> dict[str, str]:
    """The content of every file, by name."""
    encoder = JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False)
    return {f"{name}.json": encoder.encode(board()) + "\n" for name, board in BOARDS.items()}


def write(folder: Path) -> None:
    """Write all files and remove those of dashboards that are no more."""
    folder.mkdir(parents=True, exist_ok=True)
    written = files()
    for name, content in written.items():
        (folder / name).write_text(content)
    for left in folder.glob("*.json"):
        if left.name not in written:
            left.unlink()
