"""Where every part finds the others: the one file that reads the environment.

Each key is `CARDWATCH_` and the field's name in capitals. Business policy (costs, thresholds, gates) is not here: it
is read from a file, see `adapters.runtime.policy_file`.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct, structs

from cardwatch.errors import Misconfigured

PREFIX: Final = "CARDWATCH_"
LOOPBACK: Final = "127.0.0.1"

STORE_SCHEMES: Final = ("redis", "rediss", "valkey", "dynamodb")
SQL_SCHEMES: Final = ("postgresql",)

LOG_FORMATS: Final = ("text", "json")
LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")

_WHOLE_NUMBERS: Final = ("partitions", "scoring_workers", "deadline_ms", "watch_port")
_WORDS: Final = {"log_format": LOG_FORMATS, "log_level": LOG_LEVELS}
_SECRET_ADDRESSES: Final = {
    "store_url": ("a feature store", STORE_SCHEMES),
    "index_url": ("an index of the archive", SQL_SCHEMES),
    "database_url": ("a database", SQL_SCHEMES),
}
_PATHS: Final = (
    "home", "policy_file", "api_keys_file", "tls_certificate", "tls_key", "tls_ca", "model_folder", "tf_plugins",
)  # fmt: skip


class Secret(str):
    """A string that does not show itself in logs and tracebacks."""

    __slots__ = ()

    def __repr__(self) -> str:
        """A mask, whatever the value."""
        return "Secret('***')"


class Settings(Struct, frozen=True, kw_only=True):
    """Addresses and places. Empty addresses mean: the local stack chooses.

    `store_url` is the feature store: empty for the embedded one in `home`, `redis://`, `rediss://` or `valkey://` and
    an address, or `dynamodb://TABLE?region=...&endpoint=...`. It is a secret, for it may hold a password.

    `api_key` may do everything at the scoring service, and is what our own clients send; `api_keys_file` holds the keys
    of everybody else, see `keys_file`. `tls_certificate` and `tls_key` are PEM files, both or neither: with them the
    scoring service speaks TLS only, see `tls_of`. `tls_ca` is a PEM file of the authorities that a client trusts when
    `scoring_url` is https; without it, those of the machine. `scoring_workers` are the processes that answer, and
    `deadline_ms` is how long a scoring request may take in all if it does not say so itself.

    `index_url` is the archive's index: empty for the SQLite file in the archive, or `postgresql://` and an address.
    `database_url` is where the MLflow or Prefect server that `infra.images.servers` starts keeps what it knows:
    empty for
    SQLite in `home`, or the like. Both are secrets for the same reason.

    On AWS: `endpoint` is the SageMaker endpoint that scores, `data_bucket` the S3 bucket of all that is kept,
    `decisions_stream` the Kinesis stream of decisions, `dead_letters_queue` the URL of the SQS queue of refused
    records, `model_package_group` the registry and `event_bus` the EventBridge bus that is told of drift.
    `model_folder` is where the scoring service finds its one model if it follows no registry; `as_of_day` and
    `execution` say to a job which day it is about and which run it belongs to. `tf_plugins` is a folder with
    Terraform's providers, for machines that do not reach its registry.

    `watch_port` is where this process answers `/livez`, `/readyz` and `/metrics` (the scoring service does so where it
    answers everything else); None: nowhere. `bind` is the address that this process listens on with whatever it has:
    empty for 127.0.0.1, and for the scoring service the host in `scoring_url`. `log_format` is `text` for people or
    `json`; at `log_level` DEBUG every service has a line for every transaction.
    """

    home: Path = Path(".cardwatch")
    kafka_bootstrap: str = ""
    mlflow_url: str = ""
    prefect_url: str = ""
    scoring_url: str = ""
    store_url: Secret = Secret("")
    index_url: Secret = Secret("")
    api_key: Secret = Secret("")
    partitions: int = 4
    policy_file: Path | None = None
    java: str = ""
    api_keys_file: Path | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_ca: Path | None = None
    scoring_workers: int = 1
    deadline_ms: int = 250
    watch_port: int | None = None
    bind: str = ""
    database_url: Secret = Secret("")
    log_format: str = "text"
    log_level: str = "INFO"
    endpoint: str = ""
    data_bucket: str = ""
    decisions_stream: str = ""
    dead_letters_queue: str = ""
    model_package_group: str = ""
    event_bus: str = ""
    model_folder: Path | None = None
    as_of_day: str = ""
    execution: str = ""
    tf_plugins: Path | None = None

    @property
    def archive(self) -> Path:
        """Parquet files and the SQL index."""
        return self.home / "archive"

    @property
    def store(self) -> Path:
        """The embedded feature store."""
        return self.home / "store"

    @property
    def tables(self) -> Path:
        """Reference tables, one file per content id."""
        return self.home / "tables"

    @property
    def reports(self) -> Path:
        """What monitor and demo write for people."""
        return self.home / "reports"

    @property
    def keys_file(self) -> Path:
        """The API keys of the scoring service's callers; there need not be such a file."""
        return self.api_keys_file or self.home / "api-keys.json"

    def to_environment(self) -> dict[str, str]:
        """The variables that make `read_settings` return these settings in a child process."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return {PREFIX + name.upper(): str(value) for name, value in values.items() if value not in (None, "")}


def read_settings(environment: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    """The settings of this process: environment, then `overrides`. Raises `Misconfigured` naming key and value."""
    variables = os.environ if environment is None else environment
    values: dict[str, object] = {}
    for field in structs.fields(Settings):
        key = PREFIX + field.name.upper()
        if raw := variables.get(key, ""):
            values[field.name] = _convert(key, raw, field.name)
    return Settings(**{**values, **overrides})  # type: ignore[arg-type]


def child_environment(settings: Settings, **extra: str) -> dict[str, str]:
    """This process's environment with `settings` and `extra` laid over it, for a process we start."""
    return {**os.environ, **settings.to_environment(), **extra}


def new_api_key() -> Secret:
    """A key for one run of the local stack."""
    return Secret(secrets.token_urlsafe(24))


def tls_of(settings: Settings) -> tuple[Path, Path] | None:
    """Certificate and key of a server that speaks TLS, or None for one that does not.

    Raises `Misconfigured` naming key and value if one of them is missing: the setting, or the file.
    """
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        shown = f"{PREFIX}TLS_CERTIFICATE={str(certificate or '')!r} and {PREFIX}TLS_KEY={str(key or '')!r}"
        raise Misconfigured(f"{shown}: TLS needs both, or neither")
    for name, path in (("TLS_CERTIFICATE", certificate), ("TLS_KEY", key)):
        if not path.is_file():
            raise Misconfigured(f"{PREFIX}{name}={str(path)!r}: there is no such file")
    return certificate, key


def _convert(key: str, raw: str, name: str) -> object:
    if name in _WHOLE_NUMBERS:
        if not raw.isdecimal() or int(raw) < 1:
            raise Misconfigured(f"{key}={raw!r} is not a whole number of at least 1")
        return int(raw)
    if name in _PATHS:
        return Path(raw)
    if name == "api_key":
        return Secret(raw)
    if name in _SECRET_ADDRESSES:
        return _secret_address(key, raw, *_SECRET_ADDRESSES[name])
    if name in _WORDS and raw not in _WORDS[name]:
        raise Misconfigured(f"{key}={raw!r} is none of {', '.join(_WORDS[name])}")
    if name.endswith("_url") and not raw.startswith(("http://", "https://")):
        raise Misconfigured(f"{key}={raw!r} is not an address that begins with http:// or https://")
    return raw


def _secret_address(key: str, raw: str, what: str, schemes: tuple[str, ...]) -> Secret:
    scheme, separator, rest = raw.partition("://")
    if scheme not in schemes or not rest:
        shown = f"{scheme}{separator}..." if separator else repr(raw)  # what follows may hold a password
        known = ", ".join(f"{known}://" for known in schemes)
        raise Misconfigured(f"{key}={shown} is not the address of {what}: it begins with one of {known}")
    return Secret(raw)
