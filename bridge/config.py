"""Settings: one frozen tree, read once from a TOML file and ``IMBRIDGE_`` variables, checked completely.

Variables win over the file. ``IMBRIDGE_KAFKA__TOPIC_PREFIX`` is ``topic_prefix`` in ``[kafka]``. This is the
only module that reads the environment.
"""

import difflib
import ipaddress
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from bridge.errors import ConfigurationError

PREFIX: Final = "IMBRIDGE_"
DEFAULT_FILE: Final = Path("imbridge.toml")
_NOT_SETTINGS: Final = ("IMBRIDGE_CONFIG", "IMBRIDGE_TEST_")


def _split(value: Any) -> Any:
    """Take a list as JSON or as text separated by commas."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise ValueError(f"a list is JSON or separated by commas; as JSON this fails: {error}") from error
    return [item.strip() for item in value.split(",") if item.strip()]


def _texts(value: Any) -> Any:
    """Take numbers in a list as text: app ids are often written without quotes."""
    value = _split(value)
    return (
        [str(item) if isinstance(item, int) else item for item in value] if isinstance(value, list) else value
    )


def _networks(value: tuple[str, ...]) -> tuple[str, ...]:
    for text in value:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            raise ValueError(f"{error}: networks are written like 203.0.113.0/24 or 2001:db8::/32") from error
    return value


def _algorithm(value: Any) -> Any:
    if isinstance(value, str):
        value = value.strip().upper()
        if value.startswith(("RSA", "ECDSA")):
            raise ValueError(
                f"{value} cannot be checked here: choose HMAC-SHA1, HMAC-SHA256 or HMAC-SHA512 on both sides"
            )
    return value


Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]
Size = Annotated[int, Field(ge=64 * 1024)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_texts)]
Networks = Annotated[Names, AfterValidator(_networks)]
Algorithm = Annotated[Literal["", "HMAC-SHA1", "HMAC-SHA256", "HMAC-SHA512"], BeforeValidator(_algorithm)]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]*$")]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_texts), Field(max_length=2)]
BasePath = Annotated[str, Field(pattern=r"^/[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class IngressSettings(_Section):
    """Where callbacks arrive. ``max_waiting`` bounds after-callbacks that wait for their turn or the disk.

    ``max_connections`` have a place, those silent for ``keepalive_seconds`` are ended, and ``buffer_bytes``
    hold what has arrived of requests that are not whole.

    ``workers`` processes take callbacks in, a journal each, under one that watches over them, and all else is
    done in a process behind them; with 0 one process does everything. Unsaid it is 1 where the whole bridge
    runs over Kafka, else 0. ``share_port`` lets several such services listen on one port. ``trusted_hops``
    counts the proxies in front that write X-Forwarded-For. ``allow_unauthenticated`` lets it start with an
    open door.
    """

    host: str = "127.0.0.1"
    port: Port = 8080
    body_bytes: Size = 1024 * 1024
    body_seconds: Seconds = 10.0
    keepalive_seconds: Seconds = 620.0
    max_waiting: Count = 4096
    max_connections: Count = 2048
    buffer_bytes: Size = 128 * 1024 * 1024
    workers: Annotated[int, Field(ge=0, le=64)] | None = None
    share_port: bool = False
    trusted_hops: Annotated[int, Field(ge=0, le=16)] = 0
    allow_unauthenticated: bool = False


class OpsSettings(_Section):
    """Where operators look: /livez, /readyz, /metrics."""

    host: str = "127.0.0.1"
    port: Port = 8081


class JournalSettings(_Section):
    """The local durable log. ``max_bytes`` bounds the disk it takes, three segments at least."""

    segment_bytes: Size = 64 * 1024 * 1024
    max_bytes: Count = 16 * 1024**3
    keep_seconds: Seconds = 24 * 3600.0
    queue_records: Count = 16384
    queue_bytes: Size = 32 * 1024 * 1024

    @model_validator(mode="after")
    def _check(self) -> "JournalSettings":
        if self.max_bytes < 3 * self.segment_bytes:
            raise ValueError(f"max_bytes must hold three segments, {3 * self.segment_bytes} bytes at least")
        return self


class StoreSettings(_Section):
    """The database behind the projections; empty means SQLite in the data directory."""

    url: SecretStr = SecretStr("")


class ConsumerSettings(_Section):
    """How projections consume. ``on_gap``: what to do when an offset no longer exists."""

    projections: Names = ("groups", "decisions")
    batch_records: Count = 500
    on_gap: Literal["stop", "skip"] = "stop"
    max_parked_per_minute: Count = 50


class RulesSettings(_Section):
    """Which set answers before-callbacks, and what answers when it cannot."""

    set: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")] = "default"
    fallback: Literal["allow", "deny"] = "allow"
    max_stale_seconds: Seconds | None = None
    grace_seconds: Seconds = 10.0


class TencentSettings(_Section):
    """Tencent Chat. Without app ids every app is accepted; without tokens nothing is signed.

    ``networks`` are those callbacks may come from; none means anywhere. Not ``enabled``, it has no routes.
    """

    enabled: bool = True
    path: BasePath = "/tencent"
    app_ids: Names = ()
    tokens: Secrets = ()
    freshness_seconds: Seconds = 300.0
    networks: Networks = ()


class OpenimSettings(_Section):
    """OpenIM, which sends no app id and cannot sign: an unguessable path segment stands in.

    Its commercial edition signs a nonce: ``signature_algorithm`` turns the check on. ``networks`` are those
    callbacks may come from; none means anywhere. Not ``enabled``, it has no routes.
    """

    enabled: bool = True
    path: BasePath = "/openim"
    app: Annotated[str, Field(min_length=1)] = "openim"
    path_secrets: Secrets = ()
    networks: Networks = ()
    signature_algorithm: Algorithm = ""
    signature_header: HeaderName = ""
    nonce_header: HeaderName = ""
    signature_secrets: Secrets = ()

    @model_validator(mode="after")
    def _check(self) -> "OpenimSettings":
        needed = (self.signature_header, self.nonce_header, self.signature_secrets)
        if self.signature_algorithm and not all(needed):
            raise ValueError(
                "signature_algorithm is set: set signature_header, nonce_header and signature_secrets as well"
            )
        if any(needed) and not self.signature_algorithm:
            raise ValueError("signatures are checked only with signature_algorithm: set it")
        return self


class KafkaSettings(_Section):
    """Kafka; without bootstrap servers the bridge runs embedded."""

    bootstrap_servers: Names = ()
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_username: str = ""
    sasl_password: SecretStr = SecretStr("")
    ca_file: Path | None = None
    topic_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]*$")] = ""
    replication_factor: Annotated[int, Field(ge=1, le=32767)] | None = None

    @model_validator(mode="after")
    def _check(self) -> "KafkaSettings":
        if self.security_protocol.startswith("SASL") and not self.sasl_username:
            raise ValueError(f"sasl_username is needed with security_protocol {self.security_protocol}")
        if not self.security_protocol.startswith("SASL") and self.sasl_username:
            raise ValueError("sasl_username is set: set security_protocol to SASL_PLAINTEXT or SASL_SSL")
        if self.ca_file and not self.security_protocol.endswith("SSL"):
            raise ValueError("ca_file is set: set security_protocol to SSL or SASL_SSL")
        if self.ca_file and not self.ca_file.is_file():
            raise ValueError(f"ca_file {self.ca_file} is not a file")
        return self


class LogSettings(_Section):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    style: Literal["auto", "json", "text"] = "auto"


class Settings(BaseSettings):
    """Everything that can be set. Frozen: read once by the composition root, handed out as plain values."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, env_ignore_empty=True
    )

    data_dir: Path = Path("data")
    drain_seconds: Seconds = 20.0
    ingress: IngressSettings = IngressSettings()
    ops: OpsSettings = OpsSettings()
    journal: JournalSettings = JournalSettings()
    store: StoreSettings = StoreSettings()
    consumers: ConsumerSettings = ConsumerSettings()
    rules: RulesSettings = RulesSettings()
    tencent: TencentSettings = TencentSettings()
    openim: OpenimSettings = OpenimSettings()
    kafka: KafkaSettings = KafkaSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _check(self) -> "Settings":
        if not (self.tencent.enabled or self.openim.enabled):
            raise ValueError("no provider is left: set tencent.enabled or openim.enabled to true")
        return self

    @classmethod
    def settings_customise_sources(  # noqa: D102 the library's hook: variables first, then the file
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def store_url(self) -> str:
        """The database URL in effect."""
        return self.store.url.get_secret_value() or f"sqlite:///{self.data_dir / 'imbridge.sqlite'}"

    @property
    def store_kind(self) -> str:
        """The kind of database in effect, in words."""
        return "PostgreSQL" if self.store_url.startswith("postgres") else "SQLite"

    @property
    def embedded(self) -> bool:
        """Whether the journal is the log, with no Kafka."""
        return not self.kafka.bootstrap_servers


def load_settings(file: Path | None = None, **overrides: Any) -> Settings:
    """Return the settings in effect. Raises ConfigurationError naming every problem at once.

    ``file`` falls back to ``IMBRIDGE_CONFIG``, then to ``imbridge.toml`` where one stands in this directory.
    """
    file = _file(file)
    unknown = list(_unknown_variables(os.environ))
    try:
        settings = _read(file, overrides)
    except ValidationError as error:
        problems = unknown + [_problem(detail) for detail in error.errors()]
    except (SettingsError, ValueError) as error:
        problems = [*unknown, f"{file or 'environment'}: {error.__cause__ or error}"]
    else:
        problems = unknown
        if not problems:
            return settings
    raise ConfigurationError("the settings do not fit:\n" + "\n".join(f"  - {line}" for line in problems))


def _file(file: Path | None) -> Path | None:
    named = file or (Path(os.environ["IMBRIDGE_CONFIG"]) if os.environ.get("IMBRIDGE_CONFIG") else None)
    if named and not named.is_file():
        raise ConfigurationError(f"the configuration file {named} does not exist")
    return named or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)


def _read(file: Path | None, overrides: Mapping[str, Any]) -> Settings:
    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=file)

    read = FromFile(**overrides)
    return Settings.model_construct(**{name: getattr(read, name) for name in Settings.model_fields})


def _unknown_variables(environ: Mapping[str, str]) -> Iterator[str]:
    known = set(variables())
    sections = {
        name.split("__")[0] for name in known if "__" in name
    }  # within these the model itself objects
    for name in sorted(environ):
        if name.startswith(PREFIX) and not name.startswith(_NOT_SETTINGS) and name not in known:
            if "__" in name and name.split("__")[0] in sections:
                continue
            close = difflib.get_close_matches(name, known, n=1)
            yield f"{name} is no setting" + (f": did you mean {close[0]}?" if close else "")


def variables() -> Iterator[str]:
    """Yield the name of every environment variable that is read."""
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, _Section):
            yield from (f"{PREFIX}{name}__{inner}".upper() for inner in field.annotation.model_fields)
        else:
            yield f"{PREFIX}{name}".upper()


def _problem(detail: ErrorDetails) -> str:
    path = [str(part) for part in detail["loc"]]
    said = detail["msg"].removeprefix("Value error, ")
    if not path:
        return said
    key = ".".join(path)
    variable = PREFIX + "__".join(path[:2]).upper()
    if detail["type"] == "extra_forbidden":
        close = difflib.get_close_matches(variable, list(variables()), n=1)
        return f"{key} is no setting" + (f": did you mean {close[0]}?" if close else "")
    shown = "" if _is_secret(path) or detail["type"] == "value_error" else f", got {detail['input']!r}"
    return f"{key} ({variable}): {said}{shown}"


def _is_secret(path: list[str]) -> bool:
    return bool({"tokens", "path_secrets", "signature_secrets", "sasl_password", "url"} & set(path))
