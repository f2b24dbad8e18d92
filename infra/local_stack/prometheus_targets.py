"""Scrape targets of a local stack, as a file for Prometheus' `file_sd_configs`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from adapters.runtime.files import write_atomically

FILE: Final = Path("run") / "targets.json"


def write_targets(home: Path, addresses: Mapping[str, str]) -> None:
    """Replace the file in `home` with these addresses by process name; `stream-2` belongs to the job `stream`."""
    targets = [
        {"targets": [urlsplit(address).netloc], "labels": {"job": name.rpartition("-")[0] or name}}
        for name, address in sorted(addresses.items())
    ]
    write_atomically(home / FILE, msgspec.json.format(msgspec.json.encode(targets)))
