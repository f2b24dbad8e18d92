"""Formats of numbers and choices by model version that screen, table and report share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

NOTHING: Final = "\N{EN DASH}"
T = TypeVar("T")


def count(number: float) -> str:
    """A number, rounded to a whole one, with separators."""
    return f"{number:,.0f}"


def money(minor: float, currency: str) -> str:
    """An amount in whole units of a currency with two decimal places."""
    return f"{minor / 100:,.0f} {currency}".rstrip()


def share(part: float, whole: float) -> str:
    """A part in per cent, or a dash where there is no whole."""
    return f"{part / whole:.0%}" if whole else NOTHING


def ratio(value: float | None) -> str:
    """A figure from 0 to 1 with three places."""
    return NOTHING if value is None else f"{value:.3f}"


def milliseconds(value: float | None) -> str:
    """A latency: with a place below 10 ms, in seconds from 10 s on."""
    if value is None:
        return NOTHING
    if value >= 10_000:
        return f"{value / 1000:,.1f} s"
    return f"{value:,.1f} ms" if value < 10 else f"{value:,.0f} ms"


def duration(seconds: float) -> str:
    """Minutes and seconds."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"


def by_version(choices: Sequence[T], version: str | None) -> T:
    """The choice for a model version, such as its colour: the same wherever the version appears."""
    number = int(version) if version and version.isdigit() else 1
    return choices[(number - 1) % len(choices)]


def listed(words: Sequence[str], most: int) -> str:
    """The first `most` words, and how many there are besides."""
    rest = len(words) - most
    return ", ".join(words[:most]) + (f" and {rest} more" if rest > 0 else "")
