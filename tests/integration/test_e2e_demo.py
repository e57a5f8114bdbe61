"""``imbridge demo`` shows everything and exits with 0 only if all of it was right."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from bridge.cli import demo
from bridge.providers.tencent import TencentProvider
from tests.command_line import imbridge
from tests.parts import KafkaServer
from tests.process_kit import command, environment


def test_embedded_it_shows_answers_events_tables_and_decisions_and_exits_with_0(tmp_path: Path) -> None:
    done = subprocess.run(
        command("demo"),
        capture_output=True,
        text=True,
        env=environment(tmp_path / "data"),
        cwd=tmp_path,
        timeout=90,
        check=False,
    )
    assert (done.returncode, "FAILED" in done.stdout) == (0, False), done.stdout + done.stderr
    for shown in (
        "embedded, SQLite",
        "im.group.member.joined.v1",
        "RefusedMembers_Account",
        "jared",
        "no-jared",
    ):
        assert shown in done.stdout
    assert done.stdout.count("│ held") >= 10
    assert list(tmp_path.iterdir()) == []


def test_over_kafka_into_postgresql_it_exits_with_0_too(
    tmp_path: Path, kafka: KafkaServer, postgres_database: str
) -> None:
    settings = {"KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "STORE__URL": postgres_database}
    said = imbridge("demo", env=environment(tmp_path / "data", **settings))
    assert (said.code, "FAILED" in said.out) == (0, False), said
    assert "over Kafka, PostgreSQL" in said.out


def test_a_refusal_that_never_reaches_the_vendor_makes_it_exit_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def allow(provider: TencentProvider, *_: Any) -> Any:
        return provider.ack()

    monkeypatch.setattr(TencentProvider, "reply", allow)
    monkeypatch.setattr(demo, "_WAIT_SECONDS", 2)
    said = imbridge("demo", env=environment(tmp_path / "data"))
    assert said.code == 1
    assert "FAILED │ jared is refused, the others may come" in said.out
