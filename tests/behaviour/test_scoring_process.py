"""`python -m services.scoring` with invalid settings: one line that names the setting, and exit status 2."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from adapters.runtime.addresses import HttpUrl
from adapters.runtime.ports import free_ports
from adapters.runtime.settings import Secret, Settings, child_environment
from cardwatch.errors import Misconfigured
from services.scoring.__main__ import SAGEMAKER_BIND, server_options


def started_with(settings: Settings, *arguments: str, **variables: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "services.scoring", *arguments],
        env=child_environment(settings, **variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(("file", "content"), [("api-keys.json", "{"), ("policy.toml", "[decisions]")])
def test_a_file_that_cannot_be_read_stops_the_start_instead_of_every_worker(
    tmp_path: Path, file: str, content: str
) -> None:
    (tmp_path / file).write_text(content)
    [port] = free_ports(1)
    settings = Settings(
        home=tmp_path,
        scoring_url=f"http://127.0.0.1:{port}",
        mlflow_url="http://127.0.0.1:1",
        api_key=Secret("key"),
        policy_file=tmp_path / "policy.toml" if file == "policy.toml" else None,
    )
    status, said = started_with(settings)
    assert status == 2
    assert file in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "variables", "named"),
    [
        (["serv"], {}, "does not know 'serv'"),
        (["serve", "me"], {}, "does not know 'serve me'"),
        (["serve"], {"SAGEMAKER_BIND_TO_PORT": "http"}, "SAGEMAKER_BIND_TO_PORT='http'"),
        (["serve"], {"SAGEMAKER_BIND_TO_PORT": "65536"}, "SAGEMAKER_BIND_TO_PORT='65536'"),
        ([], {"CARDWATCH_SCORING_URL": "http://127.0.0.1:1"}, "CARDWATCH_API_KEY is not set"),
        ([], {"CARDWATCH_SCORING_URL": "http://127.0.0.1:1", "CARDWATCH_API_KEY": "k"}, "CARDWATCH_MODEL_FOLDER"),
    ],
)
def test_an_invalid_argument_or_setting_is_named(
    tmp_path: Path, arguments: list[str], variables: dict[str, str], named: str
) -> None:
    status, said = started_with(Settings(home=tmp_path), *arguments, **variables)
    assert (status, len(said.splitlines())) == (2, 1)
    assert named in said


def test_a_container_listens_on_sagemakers_port_unless_settings_name_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SAGEMAKER_BIND_TO_PORT", raising=False)
    options = server_options(["serve"], Settings(home=tmp_path))
    assert options.target == "services.scoring.service:SageMakerScoring"
    assert (options.host, options.port) == (SAGEMAKER_BIND, 8080)
    assert options.settings.model_folder == Path("/opt/ml/model")

    monkeypatch.setenv("SAGEMAKER_BIND_TO_PORT", "9000")
    options = server_options(["serve"], Settings(home=tmp_path, bind="127.0.0.1", model_folder=tmp_path))
    assert (options.host, options.port, options.settings.model_folder) == ("127.0.0.1", 9000, tmp_path)


def test_no_setting_starts_the_service_without_api_keys(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, scoring_url="http://127.0.0.1:1", api_key=Secret("key"), model_folder=tmp_path)
    assert server_options([], settings).target == "services.scoring.service:Scoring"


def test_a_token_of_the_registry_that_no_worker_can_send_is_refused_before_the_workers_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BentoML restarts a worker that ends with an error again and again."""
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret\n")
    url = "http://127.0.0.1:5000"
    settings = Settings(home=tmp_path, scoring_url=url, mlflow_url=url, api_key=Secret("key"))
    with pytest.raises(Misconfigured, match=r"^MLFLOW_TRACKING_TOKEN cannot be sent in a header"):
        server_options([], settings)


def test_a_variable_of_opentelemetry_that_no_worker_can_use_is_refused_before_the_workers_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "0")
    url = "http://127.0.0.1:1"
    settings = Settings(
        home=tmp_path, scoring_url=url, api_key=Secret("key"), model_folder=tmp_path, traces_url=HttpUrl(url)
    )
    with pytest.raises(Misconfigured, match=r"variables \(OTEL_\.\.\.\): max_export_batch_size"):
        server_options([], settings)
