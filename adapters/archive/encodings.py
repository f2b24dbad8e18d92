"""Whether the beginning of a file is text in the encoding that the mapping gives, and which one it is in otherwise."""

from __future__ import annotations

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE, getincrementaldecoder
from pathlib import Path
from typing import Final

from cardwatch.errors import MappingError

# The marks of UTF-32 begin with those of UTF-16, so they come first.
_MARKS: Final = (
    (BOM_UTF32_LE, "utf-32"),
    (BOM_UTF32_BE, "utf-32"),
    (BOM_UTF8, "utf-8"),
    (BOM_UTF16_LE, "utf-16"),
    (BOM_UTF16_BE, "utf-16"),
)
_CONTROL: Final = re.compile("[\x00-\x08\x0e-\x19\x1b-\x1f\x80-\x84\x86-\x9f]")
"""Control characters that no table holds: all but tabs, line ends, and the end mark of old DOS files (0x1A)."""
_WINDOWS_ONLY: Final = re.compile(rb"[\x80-\x9f]")


def decoded_head(path: Path, head: bytes, encoding: str, delimiter: str = ",") -> str:
    """Return the first bytes of a file as text. Raises `MappingError` if they are no text in this encoding.

    The error names the encoding that fits. `delimiter` may be a control character.
    """
    chosen = encoding.lower().replace("_", "-")
    mark = next((name for mark, name in _MARKS if head.startswith(mark)), "")
    if mark and not chosen.replace("utf8", "utf-8").startswith(mark):
        raise _set_encoding(path, f"begins with the mark of {mark}, so it is not {encoding} text", mark)
    if not mark and not chosen.startswith(("utf-16", "utf-32")) and (wide := _wide_encoding(head)):
        raise _set_encoding(path, f"is not {encoding} text: every other byte is zero", wide)
    try:
        b"a".decode(encoding, "replace")  # refuses codecs of other kinds, such as hex
        text = getincrementaldecoder(encoding)().decode(head)
    except LookupError as error:
        raise MappingError(f"file.encoding: {encoding!r} is not an encoding of text that Python knows") from error
    except UnicodeDecodeError as error:
        raise wrong_encoding(path, f"row {head[: error.start].count(10) + 1}: ", encoding, head) from error
    except UnicodeError as error:  # such as UTF-16 without its mark
        raise _set_encoding(path, f"is not {encoding} text ({error})", guess_encoding(head)) from error
    for found in _CONTROL.finditer(text):
        if found[0] != delimiter:
            row = text[: found.start()].count("\n") + 1
            remedy = "is it a table in text? Export it as CSV or Parquet"
            if _WINDOWS_ONLY.match(found[0].encode("latin-1")):
                remedy = "for a file of Windows, set `file: {encoding: cp1252}` in the mapping"
            raise MappingError(
                f"{path}: row {row} holds the control character U+{ord(found[0]):04X}, so the file is not {encoding}"
                f" text; {remedy}"
            )
    return text


def wrong_encoding(path: Path, where: str, encoding: str, data: bytes) -> MappingError:
    """Return the error for `data` that is not text in `encoding`."""
    return _set_encoding(path, f"{where}is not {encoding} text", _single_byte(data))


def guess_encoding(head: bytes) -> str:
    """Return the encoding of a file by its first bytes: by their mark, else UTF-8, else a Western one."""
    if marked := next((name for mark, name in _MARKS if head.startswith(mark)), None):
        return marked
    if wide := _wide_encoding(head):
        return wide
    try:
        getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return _single_byte(head)
    return "utf-8"


def _set_encoding(path: Path, problem: str, encoding: str) -> MappingError:
    return MappingError(
        f"{path}: {problem}; set its encoding in the mapping, for example `file: {{encoding: {encoding}}}`"
    )


def _single_byte(data: bytes) -> str:
    """Latin-1 has control characters where the Windows code page has the euro sign and quotes."""
    return "cp1252" if _WINDOWS_ONLY.search(data) else "latin-1"


def _wide_encoding(head: bytes) -> str:
    """UTF-16 without a mark: of mostly Western text, every other byte is zero. Empty for anything else."""
    even, odd = head[0::2], head[1::2]
    if odd.count(0) > 0.8 * len(odd) and even.count(0) < 0.05 * len(even):
        return "utf-16-le"
    if even.count(0) > 0.8 * len(even) and odd.count(0) < 0.05 * len(odd):
        return "utf-16-be"
    return ""
