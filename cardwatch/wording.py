"""Words of the sentences that reports, pages and commands show."""

from __future__ import annotations


def plural(number: int, thing: str) -> str:
    """Return a count with its thing.

    >>> plural(1, "day"), plural(1200, "day")
    ('1 day', '1,200 days')
    """
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
