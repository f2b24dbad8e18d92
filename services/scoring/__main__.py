"""`python -m services.scoring`: become `bentoml serve` on the address in the settings."""

from __future__ import annotations

import json
import os
import sys
from urllib.parse import urlsplit

from adapters.api_keys import read_keys
from adapters.logs import set_up_logging
from adapters.policies import read_policies
from adapters.process import one_line_errors
from adapters.settings import Settings, child_environment, read_settings, tls_of
from cardwatch.errors import Misconfigured
from infra.local.ports import require_free

SERVICE = "cardwatch-scoring"

_KEEP_ALIVE_SECONDS = 75


def main() -> None:
    """Replace this process by the server, so that its signals and status are the server's."""
    with one_line_errors():
        settings = read_settings()
        set_up_logging(settings, "scoring")
        # What a worker cannot read it cannot be started with, and BentoML would start it again and again.
        read_policies(settings)
        read_keys(settings.keys_file)
        command = _command(settings)
        environment = _environment(settings)
        os.execve(command[0], command, environment)  # noqa: S606 (no shell is what we want)


def _command(settings: Settings) -> list[str]:
    address = urlsplit(settings.scoring_url)
    if not address.hostname or not address.port:
        raise Misconfigured(f"CARDWATCH_SCORING_URL={settings.scoring_url!r} must name a host and a port to listen on")
    require_free(address.port, "the scoring service")
    tls = tls_of(settings)
    if (address.scheme == "https") != (tls is not None):
        raise Misconfigured(
            f"CARDWATCH_SCORING_URL={settings.scoring_url!r} and CARDWATCH_TLS_CERTIFICATE do not go together: an"
            " address with https:// needs a certificate, and a certificate such an address"
        )
    options = [] if tls is None else ["--ssl-certfile", str(tls[0]), "--ssl-keyfile", str(tls[1])]
    return [
        sys.executable, "-m", "services.scoring.supervisor", "serve", "services.scoring.service:Scoring",
        "--host", settings.bind or address.hostname, "--port", str(address.port),
        "--timeout-keep-alive", str(_KEEP_ALIVE_SECONDS),
        "--timeout-graceful-shutdown", "5",
        "--quiet",  # a worker, until it speaks as we do; what is wrong comes out
        *options,
    ]  # fmt: skip


def _environment(settings: Settings) -> dict[str, str]:
    if not settings.api_key:
        raise Misconfigured("CARDWATCH_API_KEY is not set: the scoring service does not run without one")
    if not settings.mlflow_url:
        raise Misconfigured("CARDWATCH_MLFLOW_URL is not set: the scoring service takes its model from there")
    bentoml_home = settings.home.absolute() / "bentoml"
    try:
        bentoml_home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Misconfigured(f"cannot write to {settings.home}: {error}") from error
    return child_environment(
        settings,
        BENTOML_HOME=str(bentoml_home),
        BENTOML_DO_NOT_TRACK="True",
        BENTOML_CONFIG_OVERRIDES=json.dumps(
            {
                "tracing": {"excluded_urls": ".*"},  # else each request of BentoML's own costs a third of a millisecond
                "services": {SERVICE: {"workers": settings.scoring_workers}},
            }
        ),
    )


if __name__ == "__main__":
    main()
