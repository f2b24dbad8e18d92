"""YAML text that people write: its values, and the line of whatever cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import yaml

from cardwatch.errors import Misconfigured

_MAX_LEVELS: Final = 20
"""Levels of nesting. Files of Cardwatch have at most five, and the parser is recursive."""
_SHOWN_CHARACTERS: Final = 40
"""Characters of a value that a message repeats."""
_STRING: Final = "tag:yaml.org,2002:str"
_TIMESTAMP: Final = "tag:yaml.org,2002:timestamp"
_MERGE: Final = "tag:yaml.org,2002:merge"

if TYPE_CHECKING:
    _Base: TypeAlias = yaml.SafeLoader
else:
    _Base = object


class _StrictKeys(_Base):
    """Refuses, with a line, what YAML allows and no file of Cardwatch needs, beside a loader of PyYAML.

    That is nesting without limit, a key that is there twice or is no text, and text that UTF-8 cannot hold.
    """

    _level = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self._level == _MAX_LEVELS:
            problem = f"more than {_MAX_LEVELS} levels of nesting: use fewer brackets or less indentation"
            raise yaml.composer.ComposerError(None, None, problem, self.peek_event().start_mark)  # type: ignore[no-untyped-call]
        self._level += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._level -= 1

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        node = super().compose_scalar_node(anchor)
        if any("\ud800" <= character <= "\udfff" for character in node.value):
            problem = f"{_shown(node)} has half of a surrogate pair: write the character itself"
            raise yaml.composer.ComposerError(None, None, problem, node.start_mark)
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        names: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag not in {_STRING, _MERGE}:
                problem = f"the key {_shown(key)} is no name: a key is text, in quotes if it looks like something else"
            elif key.value in names:
                problem = f"the key {_shown(key)} is there twice: remove one of them"
            else:
                names.add(key.value)
                continue
            raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
        return node


class TextLoader(_StrictKeys, yaml.BaseLoader):
    """Leaves scalars as written: 0742 keeps its zero, NO stays Norway."""


class TypedLoader(_StrictKeys, yaml.SafeLoader):
    """Makes numbers, booleans and nulls of scalars. Dates stay text, so that the check of types names their field."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return the value of a node; raise PyYAML's error with its line if the text does not fit the node's tag."""
        try:
            return super().construct_object(node, deep)
        except yaml.YAMLError:
            raise
        # What PyYAML raises depends on the tag: `!!int x`, `!!bool x`, `!!timestamp x`, `0x_`, 5,000 digits.
        except (ValueError, LookupError, AttributeError, ArithmeticError) as error:
            problem = f"{_shown(node)} cannot be read as {node.tag.rpartition(':')[2]}: put text in quotes"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error


TypedLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class YamlText(NamedTuple):
    """The root node, which has the lines (None for an empty text), and the value that it stands for."""

    root: yaml.Node | None
    value: Any


def read_text(path: Path, source: str, refused: type[Misconfigured]) -> str:
    """Return the text of a file; raise `refused`, with `source` in front, if it cannot be read or is not UTF-8."""
    try:
        data = path.read_bytes()
        return data.decode()
    except OSError as error:
        raise refused(f"{source}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise refused(f"{source}: line {line}: is not UTF-8 text: save the file in that encoding") from error


def load_yaml(text: str, source: str, loader: type[TextLoader | TypedLoader], refused: type[Misconfigured]) -> YamlText:
    """Return what the text holds, or raise `refused` with `source`, the line and the reason, whatever the text is."""
    line = 1
    try:
        reader = loader(text)
        try:
            root = reader.get_single_node()
            return YamlText(root, None if root is None else reader.construct_document(root))
        except (ValueError, OverflowError, RecursionError):
            line = reader.line + 1
            raise
    except yaml.reader.ReaderError as error:
        line, character = text.count("\n", 0, error.position) + 1, f"U+{ord(text[error.position]):04X}"
        problem = f"the character {character} is not allowed: remove it"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, problem = (mark.line + 1 if mark else line), str(error.problem or error.context)
    except RecursionError:
        problem = "keys that are merged by '<<' follow each other too often: write the fields out"
    except (ValueError, OverflowError) as error:
        problem = f"a tag or an escaped character cannot be read ({error}): write the character itself"
    raise refused(f"{source}: line {line}: not valid YAML: {problem}")


def _shown(node: yaml.Node) -> str:
    """Return a scalar in quotes, shortened, or the name of another node's type."""
    if not isinstance(node, yaml.ScalarNode):
        return "that is a list" if isinstance(node, yaml.SequenceNode) else "that is a mapping"
    value = str(node.value)
    return repr(value if len(value) <= _SHOWN_CHARACTERS else f"{value[:_SHOWN_CHARACTERS]}...")
