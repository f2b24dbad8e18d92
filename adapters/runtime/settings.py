"""Settings of all processes, from environment variables. This is the only file that reads the environment.

The variable of a field is `CARDWATCH_` and the field's name in capitals. Business policy (costs, thresholds, the
promotion gate) comes from a file instead, see `adapters.runtime.policy_file`.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import msgspec.inspect
from msgspec import Meta, Struct, structs

from adapters.runtime.addresses import (
    HttpUrl,
    Secret,
    SecretUrl,
    SqlUrl,
    StoreUrl,
    is_unicode,
    plain,
    split_userinfo,
)
from adapters.runtime.kafka_connection import MSK_IAM, KafkaClient, KafkaConnection
from cardwatch.errors import Misconfigured
from cardwatch.partitioning import Partitioner, Partitioning

PREFIX: Final = "CARDWATCH_"

Count = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=1, le=65_535)]
Share = Annotated[float, Meta(ge=0, le=1)]
LogFormat = Annotated[str, Meta(pattern=r"^(text|json)\Z")]
LogLevel = Annotated[str, Meta(pattern=r"^(DEBUG|INFO|WARNING|ERROR)\Z")]


class Settings(Struct, frozen=True, kw_only=True):
    """Addresses, paths and limits. If an address is empty, the local stack chooses one or starts the part itself."""

    home: Path = Path(".cardwatch")
    """Folder of everything that the local stack stores."""
    kafka_bootstrap: str = ""
    """Addresses of the brokers, like `host:9092`, separated by commas; the clients use `kafka`."""
    kafka_security_protocol: str = "PLAINTEXT"
    """PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."""
    kafka_sasl_mechanism: str = ""
    """PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER, if the protocol begins with SASL."""
    kafka_username: str = ""
    kafka_password: Secret = Secret("")
    """User and password; client and secret at the identity provider with OAUTHBEARER and `oidc`."""
    kafka_token_provider: str = ""
    """Where tokens of OAUTHBEARER come from: `oidc` (an identity provider) or `msk-iam` (credentials of AWS)."""
    kafka_token_url: HttpUrl = HttpUrl("")
    """Token endpoint of the identity provider, and the scope that is asked for."""
    kafka_token_scope: str = ""
    kafka_aws_region: str = ""
    """Region of the MSK cluster; empty for that in `AWS_REGION` or `AWS_DEFAULT_REGION`."""
    kafka_ca_file: Path | None = None
    """PEM file of the authorities that are trusted for the brokers; without it, the machine's."""
    kafka_certificate: Path | None = None
    """PEM file of a client certificate, and the file and password of its key, if the brokers want one."""
    kafka_key: Path | None = None
    kafka_key_password: Secret = Secret("")
    kafka_client: KafkaClient = KafkaClient.CONFLUENT
    """Library with which the brokers are reached: `confluent-kafka` or `kafka-python`."""
    mlflow_url: HttpUrl = HttpUrl("")
    prefect_url: HttpUrl = HttpUrl("")
    scoring_url: HttpUrl = HttpUrl("")
    console_url: HttpUrl = HttpUrl("")
    """Address at which the console listens."""
    console_token: Secret = Secret("")
    """What a page of the console must know to change something; the local stack chooses one."""
    console_watches: str = ""
    """The parts that the console watches where it runs in a container: `NAME=URL of its readiness check`, separated by
    commas. Empty for the processes of the stack in `home`."""
    hold_steps: bool = False
    """Debug: whether `cardwatch steps` and the console can hold the stream worker before a step of the commit order."""
    console_recording: str = ""
    """File in which the console records what its pages receive, for a replay. Empty: it records nothing."""
    store_url: StoreUrl = StoreUrl("")
    """Feature store: empty for LMDB in `home`, `redis://`, `rediss://` or `valkey://` and an address, or
    `dynamodb://TABLE?region=...&endpoint=...`."""
    index_url: SqlUrl = SqlUrl("")
    """Index of the archive: empty for the SQLite file in the archive, or `postgresql://` and an address."""
    database_url: SqlUrl = SqlUrl("")
    """Database of the MLflow or Prefect server of `infra.images.servers`: empty for SQLite in `home`, or
    `postgresql://` and an address."""
    postgres_password: Secret = Secret("")
    """Password of `index_url` and `database_url`, as it is: no character is escaped."""
    store_password: Secret = Secret("")
    """Password of a `store_url` of Redis or Valkey, as it is."""
    partitions: Count = 4
    """Partitions of each topic that is keyed by card."""
    partitioner: Partitioner = Partitioner.MURMUR2
    """How the producers of `transactions` choose the partition of a key: `murmur2` (Kafka's Java client and
    kafka-python), `crc32` (librdkafka), `fnv1a` (Sarama), or `unchecked`."""
    policy_file: Path | None = None
    control_key: Secret = Secret("")
    """Key by which the transactions of the policy's control share are chosen, at least 16 characters; the same for all
    processes that decide."""
    control_key_secret: str = ""
    """Name or ARN of the secret of AWS Secrets Manager that holds `control_key`, which the functions on AWS read."""
    java: str = ""
    """Java of the embedded broker: a path or a name on the PATH."""
    toxiproxy: str = ""
    """Program of Toxiproxy's server: a path or a name on the PATH. With it the local stack runs a proxy between the
    stream worker and what it needs, and faults of the network can be switched on."""

    api_key: Secret = Secret("")
    """Key with every scope at the scoring service; Cardwatch's own clients send it."""
    api_keys_file: Path | None = None
    """Keys of other callers, see `keys_file`."""
    tls_certificate: Path | None = None
    """PEM file; with `tls_key` the scoring service accepts TLS only, see `tls_of`."""
    tls_key: Path | None = None
    tls_ca: Path | None = None
    """PEM file of the authorities that clients trust for a `scoring_url` with https; without it, the machine's."""
    scoring_workers: Count = 1
    """Processes that answer scoring requests."""
    deadline_ms: Count = 250
    """Time limit of a scoring request that does not set its own."""
    model_folder: Path | None = None
    """Folder of the model that the scoring service serves if it follows no registry."""

    traces_url: HttpUrl = HttpUrl("")
    """Address of an OpenTelemetry collector that takes spans by OTLP over HTTP, like `http://host:4318`; empty for no
    tracing."""
    traces_share: Share = 0.01
    """Share of the transactions and requests that are traced of those without a caller's trace context. A caller's
    context decides itself."""

    watch_port: Port | None = None
    """Port of `/livez`, `/readyz` and `/metrics`; None for no port. The scoring service uses its own port instead."""
    bind: str = ""
    """Address to listen on: empty for 127.0.0.1, and for the scoring service the host of `scoring_url`."""
    log_format: LogFormat = "text"
    log_level: LogLevel = "INFO"
    """At DEBUG every service logs a line per transaction."""

    endpoint: str = ""
    """Name of the SageMaker endpoint that scores."""
    data_bucket: str = ""
    """S3 bucket of all stored data, see `adapters.aws.object_keys`."""
    decisions_stream: str = ""
    """Name of the Kinesis stream of decisions."""
    dead_letters_queue: str = ""
    """URL of the SQS queue of dead letters."""
    model_package_group: str = ""
    """SageMaker model package group that is the model registry."""
    event_bus: str = ""
    """EventBridge bus that receives drift events."""
    as_of_day: str = ""
    """Day that a batch job processes, as YYYY-MM-DD; empty for the last complete day (UTC)."""
    execution: str = ""
    """Name of the run that a batch job is part of."""
    tf_plugins: Path | None = None
    """Folder with Terraform's providers, for machines that cannot reach its registry."""

    @property
    def partitioning(self) -> Partitioning:
        """Partitioner and number of partitions of the topic `transactions`."""
        return Partitioning(self.partitioner, self.partitions)

    @property
    def kafka(self) -> KafkaConnection:
        """How clients reach Kafka."""
        return KafkaConnection(
            bootstrap=self.kafka_bootstrap,
            security_protocol=self.kafka_security_protocol,
            sasl_mechanism=self.kafka_sasl_mechanism,
            username=self.kafka_username,
            password=self.kafka_password,
            token_provider=self.kafka_token_provider,
            token_url=self.kafka_token_url,
            token_scope=self.kafka_token_scope,
            aws_region=self.kafka_aws_region,
            ca_file=self.kafka_ca_file,
            certificate=self.kafka_certificate,
            key=self.kafka_key,
            key_password=self.kafka_key_password,
            client=self.kafka_client,
        )

    @property
    def archive(self) -> Path:
        """Folder of the Parquet files and the SQL index."""
        return self.home / "archive"

    @property
    def store(self) -> Path:
        """Folder of the embedded feature store."""
        return self.home / "store"

    @property
    def tables(self) -> Path:
        """Folder of the reference tables."""
        return self.home / "tables"

    @property
    def reports(self) -> Path:
        """Folder of the reports of monitor and demo."""
        return self.home / "reports"

    @property
    def keys_file(self) -> Path:
        """File with the API keys of the scoring service's callers; it need not exist."""
        return self.api_keys_file or self.home / "api-keys.json"

    def to_environment(self) -> dict[str, str]:
        """Return the variables from which `read_settings` restores these settings in a child process."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return {PREFIX + name.upper(): text_of(value) for name, value in values.items() if value not in (None, "")}

    def __post_init__(self) -> None:
        """Make addresses that were given as plain strings secrets."""
        for name, (kind, _) in _URLS.items():
            if type(value := getattr(self, name)) is str:
                structs.force_setattr(self, name, kind(value))


def read_settings(environment: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    """Return the settings in `environment` (default: this process's), then `overrides`.

    An address that names no password gets that of its own variable. Raises `Misconfigured` with key and value; the
    value of a secret is not shown.
    """
    variables = os.environ if environment is None else environment
    values: dict[str, object] = {}
    for field in structs.fields(Settings):
        key = PREFIX + field.name.upper()
        if raw := variables.get(key, ""):
            values[field.name] = _convert(key, raw, field)
    settings = Settings(**{**values, **overrides})  # type: ignore[arg-type]
    if settings.kafka_token_provider == MSK_IAM and not settings.kafka_aws_region:
        region = variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION") or ""
        settings = structs.replace(settings, kafka_aws_region=region)
    _require_kafka(settings)
    return structs.replace(settings, **{name: _with_password(settings, name) for name in _URLS})


def variables_of(prefix: str) -> dict[str, str]:
    """Return the variables of another program, such as `MLFLOW_TRACKING_`, by their names without this prefix.

    Raises `Misconfigured`, without the value, for one that is not UTF-8: no header can carry it.
    """
    for key, value in os.environ.items():
        if key.startswith(prefix) and prefix != PREFIX:
            _require_unicode(key, value)
    return {key.removeprefix(prefix): value for key, value in os.environ.items() if value and key.startswith(prefix)}


def text_of(value: object) -> str:
    """Return the value of a setting as a variable holds it, secrets included."""
    return plain(value) if isinstance(value, str) else str(value)


def child_environment(settings: Settings, **extra: str) -> dict[str, str]:
    """Return the environment of a child process: this process's, overridden by `settings` and `extra`."""
    return {**os.environ, **settings.to_environment(), **extra}


def new_api_key() -> Secret:
    """Return a random API key, for one run of the local stack."""
    return Secret(secrets.token_urlsafe(24))


def tls_of(settings: Settings) -> tuple[Path, Path] | None:
    """Return certificate and key of a server that uses TLS, None for one that does not.

    Raises `Misconfigured` with key and value if one of the two settings, or a file, is missing.
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


def _convert(key: str, raw: str, field: structs.FieldInfo) -> object:
    if field.type not in (Path, Path | None):
        _require_unicode(key, raw)
    if field.type in (Count, Port | None) and not raw.isdecimal():  # msgspec also reads 4.0 and null
        raise Misconfigured(f"{key}={raw!r}: expected a whole number, 1 or more")
    try:
        return msgspec.convert(raw, field.type, strict=False, dec_hook=_construct)
    except msgspec.ValidationError as error:
        shown = "" if isinstance(field.default, Secret) else f"{raw!r}: "
        raise Misconfigured(f"{key}={shown}{error}{_choices(field.type)}") from error


def _require_unicode(key: str, value: str) -> None:
    if not is_unicode(value):
        raise Misconfigured(f"{key}: is not UTF-8 text; set the variable in a terminal or file with that encoding")


def _choices(kind: Any) -> str:
    """Return the accepted values of an enumeration as the end of a message, nothing for other types."""
    match msgspec.inspect.type_info(kind):
        case msgspec.inspect.EnumType(cls=enumeration):
            return "; one of " + ", ".join(str(member.value) for member in enumeration)
        case _:
            return ""


_URLS: Final[dict[str, tuple[type[SecretUrl], str]]] = {
    "kafka_token_url": (HttpUrl, ""),
    "mlflow_url": (HttpUrl, ""),
    "prefect_url": (HttpUrl, ""),
    "scoring_url": (HttpUrl, ""),
    "console_url": (HttpUrl, ""),
    "traces_url": (HttpUrl, ""),
    "store_url": (StoreUrl, "store_password"),
    "index_url": (SqlUrl, "postgres_password"),
    "database_url": (SqlUrl, "postgres_password"),
}
"""The addresses, and the setting with the password of each."""


def _require_kafka(settings: Settings) -> None:
    if settings.kafka_bootstrap:
        settings.kafka.validated()
    elif settings.kafka != KafkaConnection("", client=settings.kafka_client):
        raise Misconfigured(
            f"{PREFIX}KAFKA_BOOTSTRAP is not set, but other variables of {PREFIX}KAFKA_ are: the embedded broker, "
            "which is used without an address, has neither TLS nor a login"
        )


def _with_password(settings: Settings, name: str) -> SecretUrl:
    url: SecretUrl = getattr(settings, name)
    variable = _URLS[name][1]
    password = getattr(settings, variable) if variable else ""
    if not url or not password or url.startswith("dynamodb://"):
        return url
    key, password_key = PREFIX + name.upper(), PREFIX + variable.upper()
    if isinstance(url, SqlUrl) and not split_userinfo(url).username:
        raise Misconfigured(f"{key} names no user, whose password {password_key} would be: postgresql://user@host/...")
    try:
        return url.with_password(password)
    except ValueError as error:
        raise Misconfigured(f"{key}: {error}, and another one is in {password_key}; remove one of them") from error


def _construct(kind: Any, raw: str) -> object:
    return kind.parse(raw) if issubclass(kind, SecretUrl) else kind(raw)
