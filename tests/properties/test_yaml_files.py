"""Files that people write in YAML, with anything in them: they are read, or refused with their name and a line."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardwatch.errors import MappingError, Misconfigured
from cli.evaluate.mapping_file import load_mapping
from cli.simulate.label_file import read_label_settings
from cli.simulate.timeline_file import read_timeline

EXAMPLES = Path(__file__).parents[2] / "examples"
Reader = Callable[[Path], object]
FILES: list[tuple[Reader, Path]] = [
    (read_timeline, EXAMPLES / "timelines" / "year.yaml"),
    (read_label_settings, EXAMPLES / "labels" / "bank.yaml"),
    (load_mapping, EXAMPLES / "mappings" / "handbook.yaml"),
]
PIECES = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        [*"[]{}:,-?&*!|>'\"%@`#\n\t\0\\", "- ", ": ", "<<: ", "&a ", "*a", "\n  ", "? ", "=: 1", "---\n", "events:",
         "selection:\n  ", "kind: ", "!!int ", "!!str ", "!!set ", "!!omap ", "!!timestamp ", "!!binary ", "!!bool ",
         ".nan", "-.inf", "1e400", "9" * 30, "0x_", "2025-13-45", "2025-01-13", "null", "true", "\\ud800", '"\\ud800"']
    ),
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, text: str) -> bytes:
    """A text in which some places are replaced, and maybe one byte after encoding."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(start + 30, len(text))))
        text = text[:start] + draw(PIECES) + text[end:]
    data = text.encode("utf-8", "surrogatepass")
    if draw(st.booleans()):
        return data
    place = draw(st.integers(0, len(data)))
    return data[:place] + draw(st.binary(max_size=2)) + data[place:]


def is_read_or_refused(read: Reader, data: bytes) -> None:
    """Anything but a `Misconfigured` that names the file is an error of this test."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "written.yaml"
        file.write_bytes(data)
        try:
            read(file)
        except Misconfigured as refused:
            assert str(file) in str(refused)
            # A mapping's fields are named by their paths, so that they need no line.
            assert ": line " in str(refused) or isinstance(refused, MappingError)


@pytest.mark.parametrize(("read", "example"), FILES, ids=lambda value: getattr(value, "stem", ""))
@given(data=st.data())
def test_a_mutated_file_is_read_or_refused(read: Reader, example: Path, data: st.DataObject) -> None:
    is_read_or_refused(read, data.draw(mutated(example.read_text("utf-8"))))


@pytest.mark.parametrize(("read", "example"), FILES, ids=lambda value: getattr(value, "stem", ""))
@given(pieces=st.lists(PIECES, max_size=12))
def test_any_text_is_read_or_refused(read: Reader, example: Path, pieces: list[str]) -> None:
    is_read_or_refused(read, "".join(pieces).encode("utf-8", "surrogatepass"))
