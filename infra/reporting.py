"""Progress messages of long operations."""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[str], object]
"""Receives one line of text at a time, for example `click.echo`."""
