"""Rules for the configuration of both roots and of their module, like those of tflint."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

TERRAFORM = Path(__file__).resolve().parents[3] / "infra" / "terraform"
MODULE = TERRAFORM / "modules" / "bucket"
ROOTS = {path.name: path for path in (TERRAFORM, TERRAFORM / "bootstrap", MODULE)}

BLOCK = re.compile(
    r'^(?P<kind>\w+)(?P<labels>(?: "[^"]+")*) \{(?P<body>.*?)^\}|^(?P<empty>\w+ [^{\n]*)\{\}', re.M | re.S
)
COMMENT = re.compile(r"(?m)(?:^|(?<=\s))#.*$")


class Block(NamedTuple):
    """A block at the top of a file."""

    file: str
    kind: str
    labels: tuple[str, ...]
    body: str


def text_of(root: Path) -> str:
    """All of a root's configuration, without comments."""
    return "\n".join(COMMENT.sub("", path.read_text(encoding="utf-8")) for path in sorted(root.glob("*.tf")))


def blocks(root: Path) -> Iterator[Block]:
    for path in sorted(root.glob("*.tf")):
        for found in BLOCK.finditer(COMMENT.sub("", path.read_text(encoding="utf-8"))):
            head = found["empty"] or found["kind"] + found["labels"]
            kind, *labels = head.split()
            yield Block(path.name, kind, tuple(label.strip('"') for label in labels), found["body"] or "")


def attributes(body: str) -> dict[str, str]:
    """Return the attributes at the top level of a block that `terraform fmt` has indented."""
    return dict(re.findall(r"^  (\w+) += ?(.*)$", body, re.MULTILINE))


@pytest.fixture(params=ROOTS.values(), ids=ROOTS.keys())
def root(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_every_variable_says_what_it_is_and_of_which_type(root: Path) -> None:
    for block in blocks(root):
        if block.kind == "variable":
            found = attributes(block.body)
            assert len(found.get("description", "").split()) >= 3, block.labels
            assert found.get("type", "any") != "any", block.labels
            assert found.get("nullable") == "false", block.labels


def test_every_variable_that_is_no_switch_refuses_nonsense(root: Path) -> None:
    for block in blocks(root):
        if block.kind == "variable" and attributes(block.body)["type"] != "bool":
            assert "validation {" in block.body, block.labels


@pytest.mark.parametrize(("folder", "file"), [(TERRAFORM, "variables"), (MODULE, "modules")])
def test_every_refusal_is_tried(folder: Path, file: str) -> None:
    text = (TERRAFORM / "tests" / f"{file}.tftest.hcl").read_text(encoding="utf-8")
    expected = "".join(re.findall(r"expect_failures = \[(.*?)\]", text, re.DOTALL))
    tried = re.findall(r"\bvar\.(\w+)", expected)
    variables = [block for block in blocks(folder) if block.kind == "variable"]
    assert {block.labels[0] for block in variables if "validation {" in block.body} == set(tried)


def test_every_output_says_what_it_is(root: Path) -> None:
    for block in blocks(root):
        if block.kind == "output":
            assert len(attributes(block.body).get("description", "").split()) >= 2, block.labels


def test_names_are_in_small_letters_with_underscores(root: Path) -> None:
    for block in blocks(root):
        names = attributes(block.body) if block.kind == "locals" else block.labels[-1:]
        assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in names), block


def test_no_resource_repeats_its_type_in_its_name(root: Path) -> None:
    for block in blocks(root):
        if block.kind == "resource":
            kind, name = block.labels
            assert not set(name.split("_")) >= set(kind.removeprefix("aws_").split("_")), block.labels


def test_everything_that_is_declared_is_used(root: Path) -> None:
    text = text_of(root)
    declared = [
        *(f"var.{block.labels[0]}" for block in blocks(root) if block.kind == "variable"),
        *(f"local.{name}" for block in blocks(root) if block.kind == "locals" for name in attributes(block.body)),
        *(f"data.{'.'.join(block.labels)}" for block in blocks(root) if block.kind == "data"),
    ]
    uses = {name: len(re.findall(rf"\b{re.escape(name)}\b", text)) for name in declared}
    own = {f"var.{b.labels[0]}": b.body.count(f"var.{b.labels[0]}") for b in blocks(root) if b.kind == "variable"}
    assert [name for name, count in uses.items() if count <= own.get(name, 0)] == []


def test_nothing_is_declared_twice(root: Path) -> None:
    names = [
        name
        for block in blocks(root)
        for name in (attributes(block.body) if block.kind == "locals" else [".".join((block.kind, *block.labels))])
        if block.kind not in ("terraform", "provider", "moved")
    ]
    assert len(names) == len(set(names))


def test_versions_are_bounded_and_there_is_one_provider(root: Path) -> None:
    [settings] = [block for block in blocks(root) if block.kind == "terraform"]
    assert re.search(r'^  required_version = ">= 1\.\d+"$', settings.body, re.MULTILINE)
    providers = re.findall(r'^      source += "(.*)"\n      version += "(.*)"$', settings.body, re.MULTILINE)
    assert [source for source, _ in providers] == ["hashicorp/aws"]
    assert re.fullmatch(r"5\.\d+\.\d+|~> 5\.\d+", providers[0][1])


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("an interpolation around nothing", r'[=(\[,] "\$\{[^{}"]*\}"'),
        ("an index with a dot", r"\b[a-z_]+\.[a-z_]+\.\d+\b"),
        ("a splat with a dot", r"\.\*\."),
        ("a lookup without a default", r"\blookup\([^,()]+,[^,()]+\)"),
        ("a comment that is not of this house", r"^\s*(//|/\*)"),
        ("a comparison with an empty list", r"[!=]= \[\]"),
        ("a workspace, which an environment is not", r"terraform\.workspace"),
        ("an account's number", r"\b\d{12}\b"),
    ],
)
def test_there_is_nothing_that_reads_badly(root: Path, what: str, pattern: str) -> None:
    assert re.findall(rf"(?m){pattern}", text_of(root)) == [], what


def test_a_file_is_about_one_thing(root: Path) -> None:
    for path in root.glob("*.tf"):
        if not path.name.startswith("variables"):
            assert len(path.read_text(encoding="utf-8").splitlines()) <= 500, path.name


@pytest.mark.parametrize(
    ("root", "created_later"),
    [(TERRAFORM, {"module.log_bucket.aws_s3_bucket_logging.this"}), (TERRAFORM / "bootstrap", set())],
    ids=["system", "bootstrap"],
)
def test_every_resource_of_a_module_is_moved_from_where_it_was_declared_before(
    root: Path, created_later: set[str]
) -> None:
    declared = {".".join(block.labels) for block in blocks(root) if block.kind == "resource"}
    in_module = {".".join(block.labels) for block in blocks(MODULE) if block.kind == "resource"}
    calls = {block.labels[0] for block in blocks(root) if block.kind == "module"}
    moves = [attributes(block.body) for block in blocks(root) if block.kind == "moved"]
    moved = [(without_keys(move["from"]), without_keys(move["to"])) for move in moves]
    assert {f"module.{call}.{name}" for call in calls for name in in_module} == {to for _, to in moved} | created_later
    assert not declared & {origin for origin, _ in moved}
    assert len({move["from"] for move in moves}) == len({move["to"] for move in moves}) == len(moves)


def without_keys(address: str) -> str:
    """Return the address of a resource without the key of its instance."""
    return re.sub(r"\[[^]]*\]$", "", address)
