"""Makes logs, stores and providers from the settings: every concrete class is named here."""

import asyncio
from collections.abc import Sequence
from typing import Any

from bridge.config import KafkaSettings, OpenimSettings, Settings
from bridge.errors import ConfigurationError
from bridge.ingress.before import Decider
from bridge.ingress.ingress import Ingress
from bridge.log.base import Log
from bridge.log.clock import HybridClock
from bridge.log.embedded import EmbeddedLog
from bridge.log.segments import SegmentLog, consumer_mark, list_marks
from bridge.providers.base import Provider
from bridge.providers.openim import OpenIMProvider
from bridge.providers.openim_signature import NonceSignature
from bridge.providers.tencent import TencentProvider
from consumers.rules import RulesConsumer
from consumers.store.base import Store
from consumers.store.opening import LOG_BYTES, store_for
from schemas.catalog import Catalog


def open_log(settings: Settings, journal: SegmentLog | None = None) -> Log:
    """Return the log that consumers read and the command line looks at: Kafka if set, else the journals."""
    return EmbeddedLog(settings.data_dir, journal) if settings.embedded else open_kafka(settings)


async def readers_of(settings: Settings, log: Any, topic: str) -> list[str]:
    """Return the consumer groups known to read a topic: Kafka's, or those with a mark in a journal."""
    if not settings.embedded:
        return sorted(reading.group for reading in await log.groups_of(topic))
    ends = consumer_mark("", topic)
    names = {placed.name for placed in await asyncio.to_thread(list_marks, settings.data_dir)}
    return sorted(name.removesuffix(ends) for name in names if name.endswith(ends))


def open_set_aside(settings: Settings) -> Log:
    """Return the log on this machine where the relay sets records aside that Kafka refuses."""
    return EmbeddedLog(settings.data_dir)


def open_kafka(settings: Settings) -> Any:
    """Return the Kafka log. Raises ConfigurationError when its driver is not installed."""
    try:
        from bridge.log.kafka import KafkaLog, MemberBook  # noqa: PLC0415 an extra that may be missing
    except ImportError as error:
        raise ConfigurationError(
            f"kafka.bootstrap_servers is set and the driver is not installed ({error}): "
            "install it with `pip install 'imbridge[kafka]'`"
        ) from error
    return KafkaLog(
        body_bytes=settings.ingress.body_bytes,
        members=MemberBook(settings.data_dir / "locks"),
        **_kafka(settings.kafka),
    )


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
    """Return the store of the projections, not yet connected.

    A full embedded journal leaves a segment's worth of the disk to it, and is read off by its commits alone:
    SQLite's log has to find its end well within that.
    """
    return store_for(settings.store_url, log_bytes=min(LOG_BYTES, settings.journal.segment_bytes // 4))


def open_rules(settings: Settings, log: Log) -> RulesConsumer:
    """Return the consumer of the rules, which decides."""
    rules = settings.rules
    return RulesConsumer(
        log,
        set_name=rules.set,
        directory=settings.data_dir / "rules",
        fallback=rules.fallback,
        max_stale_seconds=rules.max_stale_seconds,
        grace_seconds=rules.grace_seconds,
    )


def open_ingress(settings: Settings, catalog: Catalog, decider: Decider, clock: HybridClock) -> Ingress:
    """Return the ingress for the providers that are enabled, without a journal yet."""
    return Ingress(
        catalog,
        _enabled(settings),
        None,
        decider,
        clock,
        body_bytes=settings.ingress.body_bytes,
        body_seconds=settings.ingress.body_seconds,
        keepalive_seconds=settings.ingress.keepalive_seconds,
        max_waiting=settings.ingress.max_waiting,
        max_connections=settings.ingress.max_connections,
        buffer_bytes=settings.ingress.buffer_bytes,
        fallback=settings.rules.fallback,
        networks={"tencent": settings.tencent.networks, "openim": settings.openim.networks},
        trusted_hops=settings.ingress.trusted_hops,
        replay_seconds=2 * settings.tencent.freshness_seconds,
    )


def _enabled(settings: Settings) -> Sequence[Provider]:
    tencent = (_tencent(settings),) if settings.tencent.enabled else ()
    return (*tencent, _openim(settings)) if settings.openim.enabled else tencent


def open_doors(settings: Settings) -> Sequence[Provider]:
    """Return both providers as a reader of captured requests needs them: signatures are long stale."""
    tencent = settings.tencent.model_copy(update={"tokens": ()})
    openim = settings.openim.model_copy(update={"signature_algorithm": ""})
    unsigned = settings.model_copy(update={"tencent": tencent, "openim": openim})
    return _tencent(unsigned), _openim(unsigned)


def _tencent(settings: Settings) -> TencentProvider:
    tencent = settings.tencent
    return TencentProvider(
        path=tencent.path,
        app_ids=tencent.app_ids,
        tokens=[token.get_secret_value() for token in tencent.tokens],
        freshness_seconds=tencent.freshness_seconds,
    )


def _openim(settings: Settings) -> OpenIMProvider:
    openim = settings.openim
    secrets = [secret.get_secret_value() for secret in openim.path_secrets]
    return OpenIMProvider(
        path=openim.path, app=openim.app, path_secrets=secrets, signature=_signature(openim)
    )


def _signature(openim: OpenimSettings) -> NonceSignature | None:
    if not openim.signature_algorithm:
        return None
    return NonceSignature(
        openim.signature_algorithm,
        signature_header=openim.signature_header,
        nonce_header=openim.nonce_header,
        secrets=[secret.get_secret_value() for secret in openim.signature_secrets],
    )
