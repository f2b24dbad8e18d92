"""The page about AWS is up to date with the code, and lists each proof under its kind."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cardwatch.errors import Misconfigured
from infra.aws.proofs import PROOFS_PAGE, SANDBOX, Proof, extensions, proofs, proofs_document

ROOT = Path(__file__).resolve().parents[2]


def write_file(root: Path, path: str, text: str) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return root


def test_the_published_page_is_up_to_date_with_the_tests_and_the_extension() -> None:
    assert PROOFS_PAGE.read_text(encoding="utf-8") == proofs_document(), "run `cardwatch aws document`"


def test_the_parsed_extension_calls_are_the_registered_ones() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # what moto imports has some
        from infra.moto.extension import EXTENSIONS  # noqa: PLC0415

    read = [(each.service, each.call, each.reason) for each in extensions()]
    assert read == sorted((each.service, each.call, each.reason) for each in EXTENSIONS)
    assert all(reason for _, _, reason in read)


def test_marks_of_functions_methods_and_modules_are_proofs(tmp_path: Path) -> None:
    root = write_file(
        tmp_path,
        "tests/integration/test_x.py",
        'pytestmark = [pytest.mark.long, pytest.mark.proves("moto", "all of it")]\n'
        "@pytest.mark.proves('ours', 'one')\n@pytest.mark.proves('moto', 'two')\ndef test_a_b(): ...\n"
        "class TestC:\n    @mark.proves('plan', 'three')\n    def test_d(self): ...\n"
        "def test_that_proves_nothing(): ...\n",
    )
    assert proofs(root) == [
        Proof("moto", "all of it", "`tests/integration/test_x.py`"),
        Proof("moto", "two", "`tests/integration/test_x.py`: a b"),
        Proof("ours", "one", "`tests/integration/test_x.py`: a b"),
        Proof("plan", "three", "`tests/integration/test_x.py`: d"),
    ]


def test_asserts_of_terraform_are_proofs_by_plan(tmp_path: Path) -> None:
    root = write_file(
        tmp_path,
        "infra/terraform/tests/a.tftest.hcl",
        'run "the_plan" {\n  assert {\n    condition = true\n    error_message = "It is open."\n  }\n}\n'
        'run "another" {\n  assert {\n    error_message = "It is not there."\n  }\n}\n',
    )
    assert proofs(root) == [
        Proof("plan", "refused: It is not there", "`infra/terraform/tests/a.tftest.hcl`: another"),
        Proof("plan", "refused: It is open", "`infra/terraform/tests/a.tftest.hcl`: the plan"),
    ]


def test_an_unknown_kind_is_refused_with_its_line(tmp_path: Path) -> None:
    root = write_file(tmp_path, "tests/infra/test_x.py", '\n@pytest.mark.proves("hope", "x")\ndef test_a(): ...\n')
    with pytest.raises(Misconfigured, match=r"tests/infra/test_x.py, line 2: 'hope' is none of moto, ours, plan"):
        proofs(root)


def test_claims_that_need_an_account_are_listed_separately() -> None:
    page = proofs_document()
    sandbox = page[page.index("### sandbox: ") :]
    assert all(f"| {claim} |" in sandbox for claim in SANDBOX)
    assert "sandbox" not in {proof.kind for proof in proofs()}


def test_the_picture_is_valid_and_every_link_has_a_target() -> None:
    picture = ROOT / "docs" / "images" / "aws.svg"
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")  # noqa: S314 (ours)
    for page in ("aws.md", "aws-costs.md"):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
            assert link.startswith("https://") or (ROOT / "docs" / link).exists(), f"{page}: {link}"


def test_every_named_command_and_target_exists() -> None:
    from cli.aws import aws  # noqa: PLC0415 (boto3, which no other test here needs)

    text = PROOFS_PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"cardwatch aws ([a-z]+)", text))
    assert named
    assert named <= set(aws.commands)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    called = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE))
    assert called
    assert called <= targets
