"""Kafka behind TLS and SCRAM: who has the right authority and password is served, others are told plainly."""

import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bridge.errors import LogUnavailable
from bridge.log.base import Record, TopicPartition
from bridge.log.kafka import KafkaLog
from schemas.topics import GROUP, TOPICS
from tests.conftest import had
from tests.parts import KafkaServer
from tests.parts.kafka import PASSWORD, USERNAME, start_locked_kafka

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed"),
]
TOPIC = TOPICS[GROUP]._replace(partitions=1)


def certified(place: Path, name: str) -> tuple[Path, Path]:
    """Return a certificate for 127.0.0.1, its own authority, and its key."""
    certificate, key = place / f"{name}.crt", place / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certified(tmp_path_factory.mktemp("tls"), "broker")


@pytest.fixture(scope="module")
def locked_kafka(authority: tuple[Path, Path]) -> Iterator[KafkaServer]:
    with had(start_locked_kafka(*authority)) as server:
        yield server


@asynccontextmanager
async def opened(server: KafkaServer, ca_file: Path, prefix: str, **options: Any) -> AsyncIterator[KafkaLog]:
    log = KafkaLog(
        server.bootstrap_servers,
        topic_prefix=prefix,
        topics=(TOPIC,),
        append_seconds=20.0,
        **{
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": USERNAME,
            "sasl_password": PASSWORD,
            "ca_file": ca_file,
            **options,
        },
    )
    try:
        yield log
    finally:
        await log.close()


async def test_over_tls_a_user_of_scram_is_served(
    locked_kafka: KafkaServer, authority: tuple[Path, Path], prefix: str
) -> None:
    sent = Record(GROUP, "g1", b"{}", {"ce_id": "one"}, 1_700_000_000_000)
    async with opened(locked_kafka, authority[0], prefix) as log:
        (position,) = await log.append([sent])
        async with log.reader({TopicPartition(GROUP, 0): position.offset}) as reader:
            batch = None
            while batch is None or not batch.records:
                batch = await reader.read(10, 5.0)
    assert [stored.record for stored in batch.records] == [sent]


async def test_a_wrong_password_is_said_and_shown_nowhere(
    locked_kafka: KafkaServer, authority: tuple[Path, Path], prefix: str
) -> None:
    with capture_logs() as said:
        async with opened(locked_kafka, authority[0], prefix, sasl_password="wrong-secret") as log:
            with pytest.raises(LogUnavailable, match="user name and password") as caught:
                await log.append([Record(GROUP, "g1", b"{}", {}, 1)])
    assert "wrong-secret" not in f"{caught.value!r} {caught.value.__cause__!r} {said}"


async def test_a_broker_of_another_authority_is_not_trusted(
    locked_kafka: KafkaServer, prefix: str, tmp_path: Path
) -> None:
    stranger, _ = certified(tmp_path, "stranger")
    async with opened(locked_kafka, stranger, prefix) as log:
        with pytest.raises(LogUnavailable, match=r"reachable.*security protocol"):
            await log.append([Record(GROUP, "g1", b"{}", {}, 1)])
