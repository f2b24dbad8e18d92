"""Prometheus rules: they pass their promtool tests, use existing metrics, and have runbook pages."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY, CollectorRegistry

from pipelines.runner.metrics import FlowRunMetrics
from services.archive.metrics import DELAY_BUCKETS, ArchiveMetrics
from services.generator.metrics import GeneratorMetrics
from services.monitor.metrics import MonitorMetrics
from services.scoring.metrics import ScoringMetrics
from services.stream.metrics import LATENCY_BUCKETS, StreamMetrics

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "monitoring" / "prometheus"
RUNBOOK = ROOT / "docs" / "runbook"
TESTS = sorted(FOLDER.glob("*_test.yml"))


def rules_of(file: str) -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "rules" / file).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = rules_of("alerts.yml")
RECORDED = rules_of("recording.yml")
each_alert = pytest.mark.parametrize("alert", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")


def panel_queries() -> Iterator[str]:
    for file in sorted((ROOT / "monitoring" / "grafana" / "dashboards").glob("*.json")):
        board = json.loads(file.read_text())
        yield from (target["expr"] for panel in board["panels"] for target in panel.get("targets", []))
        yield from (annotation["expr"] for annotation in board["annotations"]["list"])


@pytest.fixture(scope="module")
def promtool(require: Callable[[object, str], None]) -> Callable[..., str]:
    """Run promtool and return its output; fail if it fails."""
    program = shutil.which("promtool")
    require(program, "promtool is not installed; on Debian and Ubuntu: apt install prometheus")

    def run(*arguments: str) -> str:
        ended = subprocess.run([str(program), *arguments], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    return run


@pytest.mark.parametrize("file", ["prometheus.yml", "embedded.yml"])
def test_configuration_and_rules_are_valid(file: str, promtool: Callable[..., str]) -> None:
    assert "2 rule files found" in promtool("check", "config", "--lint=all", "--lint-fatal", str(FOLDER / file))


@pytest.mark.rubric("monitor-4")
def test_every_rule_passes_its_promtool_tests(promtool: Callable[..., str]) -> None:
    with ThreadPoolExecutor(2) as pool:
        outputs = list(pool.map(lambda file: promtool("test", "rules", str(file)), TESTS))
    assert len(outputs) >= 4
    assert all("SUCCESS" in one for one in outputs)


@each_alert
def test_an_alert_has_a_severity_a_description_with_its_value_and_a_runbook_url(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert re.search(r"\{\{.*\$(value|labels)\b", alert["annotations"]["description"])


@each_alert
def test_an_alert_has_a_runbook_page_that_the_index_links(alert: dict[str, Any]) -> None:
    page = ROOT / alert["annotations"]["runbook_url"]
    words = re.findall("[A-Z][a-z]+", alert["alert"])
    assert page == RUNBOOK / f"{'-'.join(words).lower()}.md"
    assert page.exists()
    assert f"[{alert['alert']}]({page.name})" in (RUNBOOK / "README.md").read_text()


def test_there_is_no_page_without_an_alert() -> None:
    pages = {page.name for page in RUNBOOK.glob("*.md")} - {"README.md"}
    assert pages == {Path(alert["annotations"]["runbook_url"]).name for alert in ALERTS}


@each_alert
def test_an_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not(alert: dict[str, Any]) -> None:
    fires, is_silent = False, False
    for file in TESTS:
        for test in yaml.safe_load(file.read_text())["tests"]:
            for case in test.get("alert_rule_test", []):
                if case["alertname"] == alert["alert"]:
                    severities = [one["exp_labels"]["severity"] for one in case.get("exp_alerts", [])]
                    fires |= alert["labels"]["severity"] in severities
                    is_silent |= alert["labels"]["severity"] not in severities
    assert fires
    assert is_silent


def test_every_recorded_series_is_used() -> None:
    names = [rule["record"] for rule in RECORDED]
    asked = [*(rule["expr"] for rule in ALERTS), *panel_queries()]
    for name in names:
        others = [rule["expr"] for rule in RECORDED if rule["record"] != name]
        assert any(name in metrics_in(expr) for expr in [*asked, *others]), name
    assert len(set(names)) == len(names)


def test_every_metric_in_an_expression_is_exported(counted: dict[str, set[str]]) -> None:
    known = set(counted) | {rule["record"] for rule in RECORDED} | {"up", "ALERTS"}
    for expr in [*(rule["expr"] for rule in [*ALERTS, *RECORDED]), *panel_queries()]:
        assert metrics_in(expr), expr
        assert metrics_in(expr) <= known, expr


def test_every_label_in_an_expression_is_a_label_of_the_metric(counted: dict[str, set[str]]) -> None:
    for expr in [*(rule["expr"] for rule in [*ALERTS, *RECORDED]), *panel_queries()]:
        for name, matchers in re.findall(r"(cardwatch_\w+)\{([^}]*)\}", expr):
            asked = set(re.findall(r'(\w+)(?:=~|!~|!=|=)"', matchers))
            assert asked <= counted[name] | {"job", "instance", "le"}, expr


def test_the_latency_objective_is_a_bucket_bound() -> None:
    bounds = {f"{bound}" for bound in LATENCY_BUCKETS}
    delays = {f"{bound}" for bound in DELAY_BUCKETS}
    for expr in [*(rule["expr"] for rule in RECORDED), *panel_queries()]:
        for name, bound in re.findall(r'(\w+)_bucket\{le="([^"]+)"\}', expr):
            assert bound in (delays if name.startswith("cardwatch_archive") else bounds)


def test_prometheus_scrapes_every_service() -> None:
    configured = {
        config["job_name"]: config
        for config in yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    }
    services_of_ours = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert set(configured) == {"stream", "scoring", "archive", "monitor", "pipelines", "console", "generator"}
    assert set(configured) <= set(services_of_ours)
    [lookup] = configured["stream"]["dns_sd_configs"]
    assert (lookup["names"], lookup["type"], lookup["port"]) == (["stream"], "A", 9464)
    for job in set(configured) - {"stream"}:
        port = 3000 if job == "scoring" else 9464
        assert configured[job]["static_configs"] == [{"targets": [f"{job}:{port}"]}]


@pytest.fixture(scope="module")
def counted() -> dict[str, set[str]]:
    """Names of all exported metrics with their labels."""
    collectors = of_scoring()
    for metrics in (StreamMetrics, ArchiveMetrics, MonitorMetrics, GeneratorMetrics, FlowRunMetrics):
        registry = CollectorRegistry()  # one per process: several export `cardwatch_skipped_records`
        metrics(registry)
        collectors |= registry._collector_to_names
    found = {name: set(getattr(one, "_labelnames", ())) for one, names in collectors.items() for name in names}
    assert '"cardwatch_ready"' in (ROOT / "adapters" / "runtime" / "health.py").read_text()
    return {**found, "cardwatch_ready": set()}


def of_scoring() -> dict[Any, list[str]]:
    """Return the metrics of the scoring service and of every Python process.

    The service uses the global registry, which is restored.
    """
    before = set(REGISTRY._collector_to_names)
    try:
        ScoringMetrics()
    except ValueError:  # another test has made one before
        return dict(REGISTRY._collector_to_names)
    found = dict(REGISTRY._collector_to_names)
    for collector in set(found) - before:
        REGISTRY.unregister(collector)
    return found


def metrics_in(expr: str) -> set[str]:
    """Return the names of the metrics in an expression."""
    left = re.sub(r'"[^"]*"|\'[^\']*\'', "", expr)
    left = re.sub(r"\{[^}]*\}|\[[^\]]*\]|offset \w+", " ", left)
    left = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", left)
    words = re.findall(r"(?<![\w.$])[a-zA-Z_][\w:]*(?!\w)(?!\s*\()", left)
    return set(words) - {"and", "or", "unless", "group_left", "group_right", "bool"}
