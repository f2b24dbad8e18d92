"""MLflow and Prefect behind a login: in the address, or in their own variables, and never in a message."""

from __future__ import annotations

import base64
import json
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import quote

import pytest

from adapters.local_stack.readiness import is_responding
from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.prefect import PrefectDeployments
from adapters.runtime.addresses import HttpUrl, Secret
from adapters.runtime.settings import Settings
from adapters.scoring.client import ScoringClient
from cardwatch.errors import CardwatchError, Misconfigured, OrchestratorUnavailable, RegistryUnavailable
from pipelines.__main__ import prefect_environment

USER, PASSWORD = "alice", "hunter2@/#ü%"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


class Guarded(BaseHTTPRequestHandler):
    """Answers as MLflow and Prefect do, if the request has the login or the token."""

    def do_GET(self) -> None:
        allowed = self.headers.get("Authorization") in (BASIC, "Bearer hunter2-token")
        body = (
            {"registered_model": {"aliases": []}, "id": "1"} if allowed else {"message": "You are not authenticated."}
        )
        content = json.dumps(body).encode()
        self.send_response(200 if allowed else 401)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Guarded) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    for name in ("AUTH_STRING", "KEY"):
        monkeypatch.delenv(f"PREFECT_API_{name}", raising=False)


def mlflow_aliases(address: str) -> object:
    with closing(MlflowRegistry(address)) as registry:
        return registry.aliases().versions


def prefect_has(address: str) -> object:
    with closing(PrefectDeployments(address)) as deployments:
        return deployments.exists("retrain/local")


def with_login(host: str, user: str = USER, password: str = PASSWORD) -> HttpUrl:
    return HttpUrl.parse(f"http://{user}:{quote(password, safe='')}@{host}")


def test_a_login_in_the_address_is_used(host: str) -> None:
    assert mlflow_aliases(with_login(host)) == {}
    assert prefect_has(with_login(host)) is True
    assert is_responding(with_login(host) + "/health", "mlflow")


def test_the_variables_of_mlflow_are_honoured(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as login:
        login.setenv("MLFLOW_TRACKING_USERNAME", USER)
        login.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        assert mlflow_aliases(f"http://{host}") == {}
        assert is_responding(f"http://{host}/health", "mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "hunter2-token")
    assert mlflow_aliases(f"http://{host}") == {}


def test_the_variables_of_prefect_are_honoured(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as login:
        login.setenv("PREFECT_API_AUTH_STRING", f"{USER}:{PASSWORD}")
        assert prefect_has(f"http://{host}") is True
    monkeypatch.setenv("PREFECT_API_KEY", "hunter2-token")
    assert prefect_has(f"http://{host}") is True


def test_a_login_in_the_address_comes_before_the_variables(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "mallory")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "guessed")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "mallory:guessed")
    assert mlflow_aliases(with_login(host)) == {}
    assert prefect_has(with_login(host)) is True


def test_prefects_client_gets_the_login_apart_from_the_address(host: str) -> None:
    environment = prefect_environment(Settings(prefect_url=with_login(host)))
    assert environment["PREFECT_API_URL"] == f"http://{host}/api"
    assert environment["PREFECT_API_AUTH_STRING"] == f"{USER}:{PASSWORD}"


@pytest.mark.parametrize(
    ("call", "error", "variable"),
    [
        (mlflow_aliases, RegistryUnavailable, "MLFLOW_TRACKING_USERNAME"),
        (prefect_has, OrchestratorUnavailable, "PREFECT_API_AUTH_STRING"),
    ],
)
def test_no_message_shows_the_login_and_a_refusal_says_where_it_is_set(
    host: str, call: Callable[[str], object], error: type[CardwatchError], variable: str
) -> None:
    for address in (with_login(host, user="bob"), with_login(host, USER, "hunter2-wrong"), f"http://{host}"):
        with pytest.raises(error, match=f"http://{host}.* 401.*{variable}") as refusal:
            call(address)
        assert "hunter2" not in "".join(traceback.format_exception(refusal.value))
    with pytest.raises(error, match=r"http://127\.0\.0\.1:9") as absence:
        call(with_login("127.0.0.1:9"))
    assert "hunter2" not in "".join(traceback.format_exception(absence.value))


def test_a_missing_champion_is_reported_without_the_login(host: str) -> None:
    with closing(MlflowRegistry(with_login(host))) as registry:
        assert f"the registry at http://{host} has no" in str(registry.no_champion())


@pytest.mark.parametrize("variable", ["MLFLOW_TRACKING_SERVER_CERT_PATH", "MLFLOW_TRACKING_CLIENT_CERT_PATH"])
def test_a_file_of_mlflows_tls_variables_that_cannot_be_used_is_named(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "gone.pem")
    with pytest.raises(Misconfigured, match=rf"{variable}='gone\.pem' cannot be used: .*No such file"):
        MlflowRegistry("https://127.0.0.1:9")


@pytest.mark.parametrize("token", ["hunter2\n", "hunter2\r\nX-Other: 1", "hünter2"])
@pytest.mark.parametrize("variable", ["MLFLOW_TRACKING_TOKEN", "PREFECT_API_KEY", "CARDWATCH_API_KEY"])
def test_a_token_that_no_header_can_carry_is_refused_without_showing_it(
    host: str, variable: str, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, token)
    calls: dict[str, Callable[[], object]] = {
        "MLFLOW_TRACKING_TOKEN": lambda: MlflowRegistry(f"http://{host}"),
        "PREFECT_API_KEY": lambda: PrefectDeployments(f"http://{host}"),
        "CARDWATCH_API_KEY": lambda: ScoringClient(
            Settings(scoring_url=HttpUrl(f"http://{host}"), api_key=Secret(token)), timeout_seconds=1.0
        ),
    }
    with pytest.raises(Misconfigured, match=f"^{variable} cannot be sent in a header") as refused:
        calls[variable]()
    assert "nter2" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("variable", ["MLFLOW_TRACKING_PASSWORD", "PREFECT_API_AUTH_STRING"])
def test_a_login_in_another_encoding_is_refused_without_showing_it(
    host: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "alice")
    monkeypatch.setenv(variable, os.fsdecode("alice:hünter2".encode("latin-1")))
    with pytest.raises(Misconfigured, match=f"^{variable}: is not UTF-8 text") as refused:
        (MlflowRegistry if variable.startswith("MLFLOW") else PrefectDeployments)(f"http://{host}")
    assert "nter2" not in "".join(traceback.format_exception(refused.value))


def test_the_scoring_service_takes_a_key_and_no_login() -> None:
    with pytest.raises(Misconfigured, match="CARDWATCH_API_KEY") as refusal:
        ScoringClient(Settings(scoring_url=HttpUrl("http://alice:hunter2@host:3000")), timeout_seconds=1.0)
    assert "hunter2" not in str(refusal.value)
