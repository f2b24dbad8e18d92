"""What is known about the system on AWS, and by what: the table of docs/aws.md, collected from the tests themselves.

A test says what it proves with `@pytest.mark.proves(KIND, "what")`, a module in its `pytestmark`; an assert of
`terraform test` says what it refuses; what our extension of moto answers says so in its own register
(`infra.moto.patching`). All of it is read and nothing imported: neither tests nor moto have to be there.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from cardwatch.errors import Misconfigured
from infra.aws.markdown_tables import read_page, table, with_generated

ROOT: Final = Path(__file__).resolve().parents[2]
PROOFS_PAGE: Final = ROOT / "docs" / "aws.md"

KINDS: Final = {
    "moto": "moto answers as AWS does, as far as moto knows it, and our code runs against that",
    "ours": "our own extension of moto answers: our code is run, AWS is not proven",
    "plan": "the plan of the real provider says so, with fake credentials; nothing is applied",
    "sandbox": "only a real account can say; nobody here has one",
}

_TESTS: Final = ("tests/infra", "tests/integration")
_ASSERTS: Final = re.compile(r'^run "(?P<run>[^"]+)"|^ +error_message = "(?P<refused>[^"]+)"', re.MULTILINE)

SANDBOX: Final = {
    "AWS accepts each resource as it is planned: policies, state machines, alarms, the firewall": "aws deploy sandbox",
    "transactions become decisions and a signed question its answer, with AWS's permissions in force": (
        "aws smoke sandbox"
    ),
    "latency, cold starts, and how many milliseconds a batch takes in a function": (
        "aws send sandbox, and the dashboard"
    ),
    "SageMaker starts the scoring image, scales it, and rolls a bad model back": "aws send sandbox --rate 1000",
    "the endpoint's shadow variant, and what data capture writes": "challenger_model_data_url in the sandbox",
    "Lambda's event source mapping splits batches, gives up and puts aside as we read that it does": (
        "aws send sandbox, and a poison record"
    ),
    "MSK Serverless as ingress": 'ingress = "msk" in the sandbox',
    "EMR Serverless runs the backfill": "a submitted job",
    "the bill": "a month",
}
"""What nothing on this machine can show, and the command or the change that would show it in a real account."""


class Proof(Struct, frozen=True, order=True):
    """One thing that is known: of what kind the knowledge is, what it says, and how it is come by (a test, a call)."""

    kind: str
    what: str
    how: str


class Extension(Struct, frozen=True, order=True):
    """A call of AWS that is ours on moto, and why."""

    service: str
    call: str
    reason: str


def proofs(root: Path = ROOT) -> list[Proof]:
    """All proofs of tests and of Terraform's own, sorted. Raises `Misconfigured` for a kind that there is not."""
    marked = [path for folder in _TESTS for path in sorted((root / folder).rglob("*.py"))]
    asserted = sorted((root / "infra" / "terraform").glob("tests/*.tftest.hcl"))
    return sorted(
        [proof for path in marked for proof in _marked(path, root)]
        + [proof for path in asserted for proof in _asserted(path, root)]
    )


def extensions(root: Path = ROOT) -> list[Extension]:
    """What we add to moto, by its register, sorted."""
    return sorted(
        Extension(_literal(call.args[0]), _literal(call.args[1]), _first_paragraph(function))
        for path in sorted((root / "infra" / "moto").rglob("*.py"))
        for function in _functions(_parsed(path))
        for call in _calls(function.decorator_list, "patch")
    )


def proofs_document(page: str | None = None) -> str:
    """docs/aws.md with its table of proofs made anew."""
    return with_generated(page or read_page(PROOFS_PAGE), "proofs", "\n".join(_sections()))


def _sections() -> Iterator[str]:
    by_kind: dict[str, list[Proof]] = {kind: [] for kind in KINDS}
    for proof in [*proofs(), *(Proof("sandbox", *each) for each in SANDBOX.items())]:
        by_kind[proof.kind].append(proof)
    for kind, meaning in KINDS.items():
        if by_kind[kind]:
            yield f"### {kind}: {meaning}\n"
            yield table([kind, "by"], [[proof.what, proof.how] for proof in by_kind[kind]])
    added = extensions()
    if added:
        yield "### What our extension of moto answers\n"
        yield table(["service", "call", "why it is ours"], [[each.service, each.call, each.reason] for each in added])


def _marked(path: Path, root: Path) -> Iterator[Proof]:
    where = path.relative_to(root).as_posix()
    tree = _parsed(path)
    for call in _calls(_marks_of_all(tree), "proves"):
        yield _proof(call, f"`{where}`", where)
    for function in _functions(tree):
        for call in _calls(function.decorator_list, "proves"):
            yield _proof(call, f"`{where}`: {function.name.removeprefix('test_').replace('_', ' ')}", where)


def _proof(call: ast.Call, how: str, where: str) -> Proof:
    kind, what = (_literal(argument) for argument in call.args)
    if kind not in KINDS:
        raise Misconfigured(f"{where}, line {call.lineno}: {kind!r} is none of {', '.join(KINDS)}")
    return Proof(kind, what, how)


def _marks_of_all(tree: ast.Module) -> Iterator[ast.expr]:
    """What a module's `pytestmark` holds: one mark, or a list of them."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(getattr(name, "id", "") == "pytestmark" for name in node.targets):
            yield from node.value.elts if isinstance(node.value, ast.List) else [node.value]


def _asserted(path: Path, root: Path) -> Iterator[Proof]:
    where, run = path.relative_to(root).as_posix(), ""
    for found in _ASSERTS.finditer(path.read_text("utf-8")):
        if found["run"]:
            run = found["run"].replace("_", " ")
        else:
            yield Proof("plan", f"refused: {found['refused'].removesuffix('.')}", f"`{where}`: {run}")


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), filename=str(path))


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def _calls(nodes: Iterable[ast.expr], name: str) -> Iterator[ast.Call]:
    """Those of `nodes` that call `name`, or something's attribute `name`."""
    for node in nodes:
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == name:
            yield node


def _literal(node: ast.expr) -> str:
    return str(ast.literal_eval(node))


def _first_paragraph(function: ast.FunctionDef) -> str:
    return " ".join((ast.get_docstring(function) or "").split("\n\n")[0].split())
