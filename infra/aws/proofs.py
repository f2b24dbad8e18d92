"""Table of proofs in docs/aws.md, collected from tests, Terraform's assertions and our extension of moto.

A test is marked with `@pytest.mark.proves(KIND, "claim")`, a module in its `pytestmark`. An assertion of `terraform
test` proves that its error cannot occur. The calls of our extension are registered with its decorator `patch`. The
sources are parsed and not imported, so neither the test dependencies nor moto need to be installed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from cardwatch.errors import Misconfigured
from infra.aws.markdown_tables import read_page, table, with_generated
from infra.pytest_marks import calls, functions, literal, marked_tests, parsed

ROOT: Final = Path(__file__).resolve().parents[2]
PROOFS_PAGE: Final = ROOT / "docs" / "aws.md"

KINDS: Final = {
    "moto": "our code runs against moto's own implementation of AWS",
    "ours": "our code runs against our extension of moto, which says little about AWS",
    "plan": "checked in a plan of the real provider with fake credentials; nothing is applied",
    "sandbox": "open: only a real account can show it",
}

_TESTS: Final = ("tests/infra", "tests/integration")
_ASSERTS: Final = re.compile(r'^run "(?P<run>[^"]+)"|^ +error_message = "(?P<refused>[^"]+)"', re.MULTILINE)

SANDBOX: Final = {
    "AWS accepts every planned resource: policies, state machines, alarms, the firewall": "aws deploy sandbox",
    "transactions are decided and a signed API call is answered under AWS's permissions": ("aws smoke sandbox"),
    "latency, cold starts, and the duration of a batch in a function": ("aws send sandbox, and the dashboard"),
    "SageMaker starts the scoring image, scales it, and rolls back a bad model": "aws send sandbox --rate 1000",
    "the endpoint's shadow variant, and the files of data capture": "challenger_model_data_url in the sandbox",
    "Lambda's event source mapping splits, retries and gives up batches as documented": (
        "aws send sandbox, and a poison record"
    ),
    "MSK Serverless as ingress": 'ingress = "msk" in the sandbox',
    "EMR Serverless runs the backfill": "a submitted job",
    "the bill": "a month",
}
"""Claims that need a real account, with the command or the change that would prove them."""


class Proof(Struct, frozen=True, order=True):
    """A claim of one kind, and the test, command or change that proves it."""

    kind: str
    claim: str
    evidence: str


class Extension(Struct, frozen=True, order=True):
    """A call of AWS that our extension of moto implements, and the reason."""

    service: str
    call: str
    reason: str


def proofs(root: Path = ROOT) -> list[Proof]:
    """Return the proofs by tests and by Terraform's assertions, sorted. Raises `Misconfigured` for an unknown kind."""
    marked = [path for folder in _TESTS for path in sorted((root / folder).rglob("*.py"))]
    asserted = sorted((root / "infra" / "terraform").glob("tests/*.tftest.hcl"))
    return sorted(
        [proof for path in marked for proof in _marked(path, root)]
        + [proof for path in asserted for proof in _asserted(path, root)]
    )


def extensions(root: Path = ROOT) -> list[Extension]:
    """Return the registered calls of our extension of moto, sorted."""
    return sorted(
        Extension(literal(call.args[0]), literal(call.args[1]), _first_paragraph(function))
        for path in sorted((root / "infra" / "moto").rglob("*.py"))
        for function in functions(parsed(path))
        for call in calls(function.decorator_list, "patch")
    )


def proofs_document(page: str | None = None) -> str:
    """Return docs/aws.md with an updated table of proofs."""
    return with_generated(page or read_page(PROOFS_PAGE), "proofs", "\n".join(_sections()))


def _sections() -> Iterator[str]:
    by_kind: dict[str, list[Proof]] = {kind: [] for kind in KINDS}
    for proof in [*proofs(), *(Proof("sandbox", *each) for each in SANDBOX.items())]:
        by_kind[proof.kind].append(proof)
    for kind, meaning in KINDS.items():
        if by_kind[kind]:
            yield f"### {kind}: {meaning}\n"
            yield table([kind, "by"], [[proof.claim, proof.evidence] for proof in by_kind[kind]])
    if calls := extensions():
        yield "### Calls of our extension of moto\n"
        yield table(["service", "call", "reason"], [[each.service, each.call, each.reason] for each in calls])


def _marked(path: Path, root: Path) -> Iterator[Proof]:
    for mark in marked_tests(path, root, "proves"):
        kind, claim = mark.arguments
        if kind not in KINDS:
            raise Misconfigured(f"{mark.file}, line {mark.line}: {kind!r} is none of {', '.join(KINDS)}")
        test = f": {mark.test.removeprefix('test_').replace('_', ' ')}" if mark.test else ""
        yield Proof(kind, claim, f"`{mark.file}`{test}")


def _asserted(path: Path, root: Path) -> Iterator[Proof]:
    file, run = path.relative_to(root).as_posix(), ""
    for found in _ASSERTS.finditer(path.read_text("utf-8")):
        if found["run"]:
            run = found["run"].replace("_", " ")
        else:
            yield Proof("plan", f"refused: {found['refused'].removesuffix('.')}", f"`{file}`: {run}")


def _first_paragraph(function: ast.FunctionDef) -> str:
    return " ".join((ast.get_docstring(function) or "").split("\n\n")[0].split())
