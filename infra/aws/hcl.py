"""Reader for the literals of Terraform's language: the variables of an environment, and their defaults.

Terraform can print variables only after its provider is installed; the cost of an environment is computed before that.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeVar

from cardwatch.errors import Misconfigured

Value = str | float | bool | None | list["Value"] | dict[str, "Value"]

T = TypeVar("T")

_TOKEN: Final = re.compile(
    r"""
    (?P<skip>  [ \t\r\n,]+ | \#[^\n]* | //[^\n]* | /\*.*?\*/ )
  | (?P<string>"(?:[^"\\]|\\.)*")
  | (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
  | (?P<word>  [A-Za-z_][\w-]* )
  | (?P<sign>  . )
    """,
    re.VERBOSE | re.DOTALL,
)
_KEYWORDS: Final[dict[str, Value]] = {"true": True, "false": False, "null": None}
_ESCAPES: Final = {r"\"": '"', r"\\": "\\", r"\n": "\n", r"\t": "\t"}
_VARIABLE: Final = re.compile(r'^variable\s+"(?P<name>[\w-]+)"\s*\{(?P<body>.*?)^\}', re.MULTILINE | re.DOTALL)
_DEFAULT: Final = re.compile(r"^  default\s*=(?P<value>.*)", re.MULTILINE | re.DOTALL)


class Variables:
    """Values by name. Each getter raises `Misconfigured` if the variable is missing or has another type."""

    def __init__(self, values: Mapping[str, Value], path: Path) -> None:
        self._values, self._path = values, path

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str) -> str:
        """Return a string; empty for null."""
        value = self._value(name)
        return "" if value is None else self._of_type(name, value, str)

    def number(self, name: str) -> float:
        """Return a number."""
        return self._of_type(name, self._value(name), float)

    def flag(self, name: str) -> bool:
        """Return a boolean."""
        return self._of_type(name, self._value(name), bool)

    def words(self, name: str) -> list[str]:
        """Return a list of strings."""
        return [self._of_type(name, word, str) for word in self._of_type(name, self._value(name), list)]

    def texts(self, name: str) -> dict[str, str]:
        """Return a map of strings."""
        found = self._of_type(name, self._value(name), dict)
        return {key: self._of_type(name, value, str) for key, value in found.items()}

    def numbers(self, name: str) -> dict[str, float]:
        """Return a map of numbers."""
        found = self._of_type(name, self._value(name), dict)
        return {key: self._of_type(name, value, float) for key, value in found.items()}

    def _value(self, name: str) -> Value:
        if name not in self._values:
            raise Misconfigured(f"{self._path} sets no {name}, and it has no default")
        return self._values[name]

    def _of_type(self, name: str, value: Value, expected: type[T]) -> T:
        if not isinstance(value, expected):
            raise Misconfigured(f"{self._path}: {name} = {value!r} is not of type {expected.__name__}")
        return value


def read_variables(root: Path, tfvars: Path) -> Variables:
    """Return the variables of the Terraform root `root`, with the values of the file `tfvars` or their defaults.

    Raises `Misconfigured` with the file's name for text that cannot be read, and for variables that the root does not
    declare.
    """
    declared: set[str] = set()
    values: dict[str, Value] = {}
    for path in sorted(root.glob("*.tf")):
        for found in _VARIABLE.finditer(_text(path)):
            declared.add(found["name"])
            if default := _DEFAULT.search(found["body"]):
                values[found["name"]] = _LiteralParser(default["value"], path).value()
    given = _LiteralParser(_text(tfvars), tfvars).assignments()
    if unknown := sorted(set(given) - declared):
        raise Misconfigured(f"{tfvars}: {root} declares no variable {', '.join(unknown)}")
    return Variables({**values, **given}, tfvars)


def read_assignments(path: Path) -> Variables:
    """Return the assignments of a file without blocks, such as a backend configuration."""
    return Variables(_LiteralParser(_text(path), path).assignments(), path)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise Misconfigured(f"{path} cannot be read: {error}") from error


class _LiteralParser:
    """Parser for literals. Raises `Misconfigured` with the file's name for anything else."""

    def __init__(self, text: str, path: Path) -> None:
        self._path = path
        tokens = [(str(found.lastgroup), found[0]) for found in _TOKEN.finditer(text) if found.lastgroup != "skip"]
        self._tokens = deque([*tokens, ("end", "")])

    def assignments(self, closing: str = "") -> dict[str, Value]:
        """Parse `name = value` (or `name: value`) up to `closing` or the end."""
        found: dict[str, Value] = {}
        while self._tokens[0][1] != closing:
            kind, text = self._tokens.popleft()
            if kind not in ("word", "string") or self._tokens.popleft()[1] not in ("=", ":"):
                raise self._syntax_error(text)
            found[_unquoted(text) if kind == "string" else text] = self.value()
        self._tokens.popleft()
        return found

    def value(self) -> Value:
        """Parse the next literal."""
        kind, text = self._tokens.popleft()
        if kind == "string" and "${" not in text:
            return _unquoted(text)
        if kind == "number":
            return float(text)
        if kind == "word" and text in _KEYWORDS:
            return _KEYWORDS[text]
        if text == "{":
            return self.assignments("}")
        if text == "[":
            return self._list()
        raise self._syntax_error(text)

    def _list(self) -> list[Value]:
        found: list[Value] = []
        while self._tokens[0][1] != "]":
            found.append(self.value())
        self._tokens.popleft()
        return found

    def _syntax_error(self, text: str) -> Misconfigured:
        return Misconfigured(f"{self._path}: {text!r} is not a literal; only literals are supported here")


def _unquoted(text: str) -> str:
    return re.sub(r"\\.", lambda found: _ESCAPES.get(found[0], found[0]), text[1:-1])
