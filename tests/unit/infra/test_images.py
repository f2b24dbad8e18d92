"""Every image of the Dockerfile contains the modules that its processes import, and no code for deployment."""

from __future__ import annotations

import importlib.metadata
import re
import shlex
from functools import cache
from pathlib import Path

import grimp
import pytest
import yaml

import cardwatch

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("cardwatch", "adapters", "models", "monitoring", "services", "pipelines", "infra", "cli")
IMAGES = ("generator", "stream", "scoring", "archive", "monitor", "console", "pipelines", "lambda", "mlflow", "prefect")
STAGE = re.compile(r"^FROM (\S+) AS (\S+)$")
COPY = re.compile(r"^COPY (?!--from)(?P<sources>.+) (?P<target>\S+)$")
MODULE_ARGUMENT = re.compile(r"-m[\", ]+([a-z][\w.]+)")

each_image = pytest.mark.parametrize("image", IMAGES)


def instructions(image: str) -> list[str]:
    """The instructions of a target and of the targets that it is built from."""
    stages: dict[str, list[str]] = {}
    parents: dict[str, str] = {}
    for line in re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text()).splitlines():
        if stage := STAGE.match(line):
            parents[stage[2]], lines = stage[1], stages.setdefault(stage[2], [])
        elif stages:
            lines.append(line)
    inherited = instructions(parents[image]) if parents[image] in stages else []
    return [*inherited, *stages[image]]


def copied_modules(image: str) -> set[str]:
    """The modules that the Dockerfile copies into an image."""
    found = set()
    for line in instructions(image):
        if (copy := COPY.match(line)) is None:
            continue
        for source in shlex.split(copy["sources"]):
            path = ROOT / source
            assert path.exists(), f"{source} is copied into {image} but does not exist"
            files = path.rglob("*.py") if path.is_dir() else [path]
            found |= {module_of(file) for file in files if file.suffix == ".py"}
    return found


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def entry_modules(image: str) -> set[str]:
    """The modules that are started in an image by the Dockerfile, the compose file and Terraform."""
    texts = [line for line in instructions(image) if line.startswith(("CMD", "ENTRYPOINT", "RUN"))]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"].values()
    for service in compose:
        if service["image"] == f"cardwatch/{image}":
            texts += [str(service.get("command", "")), str(service.get("healthcheck", ""))]
    modules = {module for text in texts for module in MODULE_ARGUMENT.findall(text.replace("'", '"'))}
    return {module for module in modules | terraform_modules(image) if module.partition(".")[0] in PACKAGES}


def terraform_modules(image: str) -> set[str]:
    """The modules of jobs and functions on AWS."""
    workflows = (ROOT / "infra" / "terraform" / "workflows.tf").read_text()
    jobs = re.findall(r'image = "(\w+)", arguments = \["([\w.]+)"', workflows)
    assert {job_image for job_image, _ in jobs} == {"archive", "monitor", "pipelines"}
    modules = {module for job_image, module in jobs if job_image == image}
    if image == "lambda":
        files = [ROOT / "infra" / "terraform" / name for name in ("functions.tf", "model_function.tf")]
        handlers = {found for file in files for found in re.findall(r'"([\w.]+)\.handle"', file.read_text())}
        assert len(handlers) == 3
        modules |= handlers
    return modules


@cache
def import_graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True, cache_dir=None)


def imported_modules(entries: set[str]) -> set[str]:
    """The entry modules and everything that they import, directly or not, with the packages around each module."""
    graph, found = import_graph(), set[str]()
    waiting = entries | ({f"{entry}.__main__" for entry in entries} & graph.modules)
    while waiting:
        module = waiting.pop()
        found.add(module)
        waiting |= (graph.find_modules_directly_imported_by(module) | packages_of(module)) - found
    return found


def packages_of(module: str) -> set[str]:
    parts = module.split(".")
    return {".".join(parts[:length]) for length in range(1, len(parts))}


def commands_of(image: str) -> set[str]:
    """The commands of `cardwatch` in an image, which `cli.main` imports by name."""
    return {module for module in copied_modules(image) if module.startswith("cli.")}


@each_image
def test_an_image_contains_what_its_processes_import(image: str) -> None:
    entries = entry_modules(image)
    assert entries, "no process is started"
    assert imported_modules(entries | commands_of(image)) - copied_modules(image) == set()


@each_image
def test_an_image_contains_no_code_for_deployment(image: str) -> None:
    servers = {"infra", "infra.images", "infra.images.database_login", "infra.images.servers"}
    allowed = servers if image in ("mlflow", "prefect") else set()
    assert {module for module in copied_modules(image) if module.partition(".")[0] == "infra"} == allowed


def test_every_image_of_the_dockerfile_is_tested() -> None:
    targets = re.findall(r"^FROM \S+ AS (\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    stages = {"base", "builder", "packages", "console-page"}
    assert {target for target in targets if not target.endswith("-libraries")} - stages == set(IMAGES)


def test_the_image_of_the_pipelines_has_the_commands_of_compose_file_and_runbook() -> None:
    pages = [ROOT / "docker-compose.yml", *(ROOT / "docs" / "runbook").glob("*.md")]
    called = {name for page in pages for name in re.findall(r"cli\.main[, ]+([a-z]+)", page.read_text())}
    assert called >= {"bootstrap", "tables", "store"}
    assert {f"cli.{name}" for name in called} <= copied_modules("pipelines")


def test_the_version_of_the_package_is_that_of_the_distribution() -> None:
    assert cardwatch.__version__ == importlib.metadata.version("cardwatch")


def test_no_process_asks_for_a_distribution_that_images_do_not_contain() -> None:
    """Images contain our packages as files, so `importlib.metadata` does not find them there."""
    asking = [
        str(file.relative_to(ROOT))
        for package in PACKAGES
        for file in (ROOT / package).rglob("*.py")
        if re.search(r"""(version|distribution|metadata|requires|files)\(["']cardwatch["']\)""", file.read_text())
    ]
    assert asking == []
