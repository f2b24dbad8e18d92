"""How an MLflow server is reached: its address without userinfo, the login, and what TLS trusts.

A login in the address comes first. Without one, MLflow's own variables are honoured as MLflow's client honours them:
`MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`, else `MLFLOW_TRACKING_TOKEN`, and for TLS
`MLFLOW_TRACKING_INSECURE_TLS`, `MLFLOW_TRACKING_SERVER_CERT_PATH` and `MLFLOW_TRACKING_CLIENT_CERT_PATH`.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from msgspec import Struct

from adapters.runtime.addresses import Secret, basic_authorization, bearer_authorization, split_userinfo
from adapters.runtime.settings import variables_of
from cardwatch.errors import Misconfigured

if TYPE_CHECKING:  # it takes a tenth of a second to import, which a process that only checks the login does not need
    import httpx

PREFIX: Final = "MLFLOW_TRACKING_"


class MlflowAccess(Struct, frozen=True):
    """Address and login of a server. `variables` are those of MLflow's client, by name without `MLFLOW_TRACKING_`."""

    url: str
    variables: dict[str, Secret]

    @classmethod
    def to(cls, address: str) -> Self:
        """Return the access to the server at `address`, with the login in it or in MLflow's variables."""
        url, username, password = split_userinfo(address)
        variables = {name: Secret(value) for name, value in variables_of(PREFIX).items()}
        if username or password:
            variables |= {"USERNAME": Secret(username), "PASSWORD": Secret(password)}
        return cls(url.rstrip("/"), variables)

    def http_client(self, *, timeout_seconds: float) -> httpx.Client:
        """Return a client of the server. Raises `Misconfigured` if a file of the TLS variables cannot be used."""
        import httpx  # noqa: PLC0415

        return httpx.Client(
            base_url=self.url, timeout=timeout_seconds, trust_env=False, headers=self.headers(), verify=self._trust()
        )

    def require_usable(self) -> None:
        """Raise the errors of `http_client`, without a client."""
        self.headers()
        self._trust()

    def headers(self) -> dict[str, str]:
        """Return the header with the login, or none. Raises `Misconfigured` for a token that no header can carry."""
        username, password, token = (self.variables.get(name, "") for name in ("USERNAME", "PASSWORD", "TOKEN"))
        if username and password:
            return {"Authorization": basic_authorization(f"{username}:{password}")}
        return {"Authorization": bearer_authorization(token, variable=f"{PREFIX}TOKEN")} if token else {}

    def refusal_hint(self) -> str:
        """Return what to do when the server rejects the login."""
        given = "the login that was given is wrong" if self.headers() else "no login was given"
        return f"{given}: set {PREFIX}USERNAME and {PREFIX}PASSWORD, or {PREFIX}TOKEN"

    def _trust(self) -> ssl.SSLContext | bool:
        if self.variables.get("INSECURE_TLS", "").lower() in ("true", "1"):
            return False
        trusted, own = (self._file(f"{kind}_CERT_PATH") for kind in ("SERVER", "CLIENT"))
        if trusted is None and own is None:
            return True
        key = ""
        try:
            key = "SERVER_CERT_PATH"
            folder = trusted is not None and trusted.is_dir()
            context = ssl.create_default_context(cafile=None if folder else trusted, capath=trusted if folder else None)
            if own is not None:
                key = "CLIENT_CERT_PATH"
                context.load_cert_chain(own)
        except OSError as error:  # includes SSLError
            raise Misconfigured(f"{PREFIX}{key}={str(self.variables[key])!r} cannot be used: {error}") from error
        return context

    def _file(self, name: str) -> Path | None:
        value = self.variables.get(name, "")
        return Path(value) if value else None
