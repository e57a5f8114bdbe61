"""Makes logs, stores and providers from the settings: every concrete class is named here."""

from typing import Any

from bridge.config import KafkaSettings, Settings
from bridge.errors import ConfigurationError
from bridge.log.base import Log
from bridge.log.embedded import EmbeddedLog
from bridge.log.segments.journal import SegmentLog
from consumers.store.base import Store
from consumers.store.opening import store_for


def open_log(settings: Settings, journal: SegmentLog | None = None) -> Log:
    """Return the log that consumers read and the command line looks at: Kafka if set, else the journals."""
    return EmbeddedLog(settings.data_dir, journal) if settings.embedded else open_kafka(settings)


def open_set_aside(settings: Settings) -> Log:
    """Return the log on this machine where the relay sets records aside that Kafka refuses."""
    return EmbeddedLog(settings.data_dir)


def open_kafka(settings: Settings) -> Any:
    """Return the Kafka log. Raises ConfigurationError when its driver is not installed."""
    try:
        from bridge.log.kafka import KafkaLog  # noqa: PLC0415 an extra that may be missing
    except ImportError as error:
        raise ConfigurationError(
            f"kafka.bootstrap_servers is set and the driver is not installed ({error}): "
            "install it with `pip install 'imbridge[kafka]'`"
        ) from error
    return KafkaLog(body_bytes=settings.ingress.body_bytes, **_kafka(settings.kafka))


def _kafka(kafka: KafkaSettings) -> dict[str, Any]:
    return {
        "bootstrap_servers": kafka.bootstrap_servers,
        "security_protocol": kafka.security_protocol,
        "sasl_mechanism": kafka.sasl_mechanism,
        "sasl_username": kafka.sasl_username,
        "sasl_password": kafka.sasl_password.get_secret_value(),
        "ca_file": kafka.ca_file,
        "topic_prefix": kafka.topic_prefix,
        "replication_factor": kafka.replication_factor,
    }


def open_store(settings: Settings) -> Store:
    """Return the store of the projections, not yet connected."""
    return store_for(settings.store_url)
