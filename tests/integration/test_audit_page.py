"""The audit of a decision against a real registry, and its page in Chromium: light, dark, narrow and printed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import msgspec
import pytest
from click.testing import CliRunner, Result

from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.model_registry.mlflow_tracking import MlflowTracking
from adapters.model_registry.verdict_bundle import VerdictBundle
from adapters.runtime.addresses import HttpUrl
from adapters.runtime.ports import LOOPBACK, free_ports
from adapters.runtime.settings import Settings
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.promotion.gate import judge
from cardwatch.promotion.policy import PromotionPolicy
from cardwatch.promotion.verdict import VERDICT_FOLDER
from cardwatch.registry import MODEL, digest_of
from cli.main import main
from infra.local_stack.servers import server_spec
from infra.local_stack.supervisor import Supervisor
from tests.audited_world import FIRST_DECIDED, KEY, LAST_DAY, AuditedWorld
from tests.integration.browser import Browser
from tests.judged_evidence import evidence, inputs

CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
pytestmark = pytest.mark.timeout(300)


class Models:
    """A registry of its own, because decisions name the numbers of versions."""

    def __init__(self, settings: Settings, registry: MlflowRegistry) -> None:
        self.url, self.registry = settings.mlflow_url, registry
        self._artifacts = settings.home / "mlflow" / "artifacts"

    def file(self, version: str, path: str) -> Path:
        """Where the server keeps a file of a version's run."""
        found = self.registry.version(version)
        assert found is not None
        [file] = self._artifacts.glob(f"*/{found.run_id}/artifacts/{path}")
        return file


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    home = tmp_path_factory.mktemp("mlflow")
    settings = Settings(home=home, mlflow_url=HttpUrl(f"http://{LOOPBACK}:{free_ports(1)[0]}"))
    with Supervisor(home) as supervisor, closing(MlflowRegistry(settings.mlflow_url)) as registry:
        supervisor.start(server_spec("mlflow", settings))
        yield Models(settings, registry)


@pytest.fixture(scope="module")
def world(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedWorld]:
    """Its two models are the first versions of a registry of their own; the verdict on the second has its policy."""
    made = AuditedWorld(tmp_path_factory.mktemp("audited"))
    rows, promotion = evidence(), PromotionPolicy()
    facts = inputs(rows)
    report = judge(rows, facts, decision=made.policy, promotion=promotion)
    bundle = VerdictBundle(evidence=rows, inputs=facts, decision=made.policy, promotion=promotion, report=report)
    for number, model in enumerate(made.models, start=1):
        folder = made.home / f"model-{number}"
        model.save(folder)
        files = bundle.files() if number == 2 else {}
        version = MlflowTracking(models.url).log_model(
            folder,
            run_name=f"version {number}",
            schema_hash=SCHEMA_HASH,
            fingerprint="",
            artifacts={f"{VERDICT_FOLDER}/{name}": content for name, content in files.items()},
            tags={"verdict": "promoted", "flow_run": f"run-{number}", "verdict_digest": digest_of(files)},
        )
        assert version == str(number)
    yield made


@pytest.fixture
def audit(world: AuditedWorld, models: Models, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("CARDWATCH_HOME", str(world.home))
    monkeypatch.setenv("CARDWATCH_MLFLOW_URL", models.url)
    monkeypatch.setenv("CARDWATCH_CONTROL_KEY", KEY)  # and no policy file: the policy is that of the verdict
    return lambda *arguments: CliRunner().invoke(main, ["audit", *arguments])


def by_second(world: AuditedWorld) -> str:
    found = next(each for each in world.decisions if each.model_version == "2" and each.action.value == "decline")
    return found.transaction.transaction_id


def test_all_decisions_are_reproduced_with_models_and_policy_of_the_registry(
    world: AuditedWorld, audit: Callable[..., Result]
) -> None:
    result = audit("--range", f"{FIRST_DECIDED}..{LAST_DAY}", "--json")
    assert result.exit_code == 0, result.output
    found = msgspec.json.decode(result.output)
    counts = found["counts"]
    assert counts["decisions"] == len(world.decisions)
    unchecked = {check["name"]: check["not_checked"] for check in counts["checks"] if check["not_checked"]}
    assert list(unchecked) == ["degraded"]  # an outage that only the record tells of
    assert found["policies"] == {world.policy.version: "verdict on version 2"}
    [first, second] = found["models"]
    assert first["note"] == "no bundle of the verdict is stored: its sentences are those of the tags"
    assert (second["follows"], second["faults"]) == (True, [])
    assert {"result": "passed", "sentence": "judged on 7 days, at least 7 are needed"} in second["verdict"]
    assert second["promotion"]["by"] == "flow run run-2"


def test_a_verdict_that_was_changed_in_the_registry_is_found(
    world: AuditedWorld, audit: Callable[..., Result], models: Models
) -> None:
    file = models.file("2", f"{VERDICT_FOLDER}/verdict.json")
    before = file.read_bytes()
    file.write_bytes(before.replace(b'"promoted": true', b'"promoted": false'))
    try:
        result = audit(by_second(world))
    finally:
        file.write_bytes(before)
    assert result.exit_code == 1
    assert "DIFFERENT: version 2: verdict.json was changed after the verdict" in result.output


def test_a_changed_file_of_a_model_and_a_deleted_version_are_told_apart(
    world: AuditedWorld, audit: Callable[..., Result], models: Models
) -> None:
    file = models.file("2", "detector/detector.json")
    before = file.read_bytes()
    file.write_bytes(before + b" ")
    try:
        changed = audit(by_second(world))
    finally:
        file.write_bytes(before)
    assert changed.exit_code == 1
    assert "DIFFERENT: model (version 2 of cardwatch has digest" in changed.output
    assert "its files were changed after it was registered" in changed.output
    copy = world.home / "model-3"
    world.models[1].save(copy)
    extra = MlflowTracking(models.url).log_model(copy, run_name="extra", schema_hash=SCHEMA_HASH, fingerprint="")
    body = {"name": MODEL, "version": extra}
    url = f"{models.url}/api/2.0/mlflow/model-versions/delete"
    httpx.request("DELETE", url, json=body, trust_env=False).raise_for_status()
    assert models.registry.version(extra) is None
    assert [version.version for version in models.registry.versions()] == ["2", "1"]
    assert audit(by_second(world)).exit_code == 0


@pytest.fixture(scope="module")
def browser(require: Callable[[object, str], None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    require(program, "Chromium is not installed; on Debian and Ubuntu: apt install chromium")
    with closing(Browser(str(program), tmp_path_factory.mktemp("browser"))) as started:
        yield started


@pytest.mark.parametrize("kind", ["decision", "days"])
def test_the_page_can_be_read_on_every_screen_and_on_paper_and_asks_for_nothing(
    world: AuditedWorld, audit: Callable[..., Result], browser: Browser, tmp_path: Path, kind: str
) -> None:
    page = tmp_path / "audit.html"
    arguments = [by_second(world)] if kind == "decision" else ["--range", f"{FIRST_DECIDED}..{LAST_DAY}"]
    assert audit(*arguments, "--as-html", str(page)).exit_code == 0
    browser.requested.clear()
    for scheme, width in (("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)):
        browser.look_as(scheme, width)
        browser.open(page.as_uri())
        assert browser.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (scheme, width)
        contrast = browser.evaluate(CONTRAST)
        assert contrast["texts"] > 100
        assert contrast["found"] == [], (scheme, width)
    browser.look_as("light", 760)
    browser.command("Emulation.setEmulatedMedia", media="print", features=[])
    browser.open(page.as_uri())
    cut = "[...document.querySelectorAll('.scroll')].filter((each) => each.scrollWidth > each.clientWidth + 1).length"
    assert browser.evaluate(cut) == 0, "a table is wider than the paper"
    browser.command("Emulation.setEmulatedMedia", media="", features=[])
    assert {url.partition(":")[0] for url in browser.requested} == {"file"}
    assert browser.errors == []
