"""Texts of others on a terminal or in a line of a log."""

from __future__ import annotations


def escaped(text: str) -> str:
    r"""Return a text on one line, with everything escaped that a terminal would act on.

    >>> escaped("name\x1b[2J\n")
    'name\\x1b[2J\\n'
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
