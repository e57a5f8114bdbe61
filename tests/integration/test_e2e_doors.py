"""Closed doors, a broker that wants a login, a database with a password: enforced, and never told."""

import asyncio
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from schemas.topics import TOPICS
from tests.command_line import imbridge
from tests.integration.callers import Call, openim_join, tencent_invite, tencent_join
from tests.looking import members, on_kafka
from tests.parts import KafkaServer
from tests.parts.kafka import PASSWORD
from tests.process_kit import Bridge, environment, get, post, running, until

OLD_TOKEN, TOKEN = "token-of-yesterday", "token-of-today"
PATH_SECRET = "unguessable-path-segment"
STORE_PASSWORD = "password-of-the-store"
SECRETS = (OLD_TOKEN, TOKEN, PATH_SECRET, STORE_PASSWORD, PASSWORD)
APP = "1400000042"


def signed(call: Call, token: str = TOKEN, age: float = 0) -> Call:
    """Return the call as Tencent sends it where signing is on."""
    moment = int(time.time() - age)
    sign = sha256(f"{token}{moment}".encode()).hexdigest()
    return call._replace(path=f"{call.path}&RequestTime={moment}&Sign={sign}")


def below(secret: str, call: Call) -> Call:
    return call._replace(path=call.path.replace("/openim/", f"/openim/{secret}/"))


@pytest.fixture
def guarded(sasl_kafka: KafkaServer, postgres_database: str, prefix: str) -> dict[str, str]:
    """Settings that close every door."""
    server = {
        "KAFKA__BOOTSTRAP_SERVERS": sasl_kafka.bootstrap_servers,
        "KAFKA__TOPIC_PREFIX": prefix,
        "STORE__URL": postgres_database.replace("@", f":{STORE_PASSWORD}@"),
        "TENCENT__APP_IDS": APP,
        "TENCENT__TOKENS": f"{OLD_TOKEN},{TOKEN}",
        "OPENIM__PATH_SECRETS": f'["{PATH_SECRET}"]',
        "LOG__LEVEL": "debug",
    }
    return server | {f"KAFKA__{name.upper()}": value for name, value in sasl_kafka.security.items()}


def said_by(bridge: Bridge) -> Iterator[str]:
    """Yield everything a process tells."""
    yield bridge.out
    yield bridge.err
    for path in ("livez", "readyz", "metrics"):
        yield get(f"{bridge.ops}/{path}")[1].decode()


def refused(bridge: Bridge, call: Call) -> bool:
    """Say whether the call is turned away at the door, in its vendor's words."""
    status, body = post(bridge.ingress + call.path, call.body, call.headers)
    failed = {"ActionStatus": "FAIL", "ErrorCode": 1} if "SdkAppid" in call.path else {"actionCode": 1}
    return status == 403 and failed.items() <= body.items()


def accepted(bridge: Bridge, call: Call) -> bool:
    return post(bridge.ingress + call.path, call.body, call.headers) == (200, call.wanted)


def test_doors_are_enforced_over_sasl_into_postgresql_and_no_secret_is_told(
    tmp_path: Path, sasl_kafka: KafkaServer, postgres_database: str, prefix: str, guarded: dict[str, str]
) -> None:
    data_dir = tmp_path / "data"
    join, ask = tencent_join("g", "ada", app=APP), tencent_invite("g", "eve", app=APP)
    with running("run", data_dir=data_dir, **guarded) as bridge:
        assert refused(bridge, join)
        assert refused(bridge, ask)
        assert refused(bridge, signed(join, "another-token"))
        assert refused(bridge, signed(join, age=600))
        assert refused(bridge, signed(tencent_join("g", "ada", app="1400000043")))
        assert accepted(bridge, signed(join))
        assert accepted(bridge, signed(tencent_join("g", "bob", 1, app=APP), OLD_TOKEN))
        assert accepted(bridge, signed(ask))
        outsider = openim_join("h", "cid")
        assert refused(bridge, outsider)
        assert refused(bridge, below("a-guess", outsider))
        assert accepted(bridge, below(PATH_SECRET, outsider))
        until(lambda: members(postgres_database) >= {"ada", "bob", "cid"}, "all is in PostgreSQL", 40)

        env = environment(data_dir, **guarded, OPS__PORT=bridge.ops.rpartition(":")[2])
        looked = [imbridge("doctor", *words, env=env) for words in (["--settings"], ["--settings", "--json"])]
        assert [one.code for one in looked] == [0, 0]
        topics = ("im.group.v1", "im.decision.v1")
        looked += [imbridge("topics", "read", topic, "--json", env=env) for topic in topics]
        wrong_login = env | {"IMBRIDGE_KAFKA__SASL_USERNAME": "nobody"}
        looked.append(imbridge("doctor", "--json", env=wrong_login))
        told = [*said_by(bridge), *(text for one in looked for text in (one.out, one.err))]
        assert bridge.stop() == 0
    assert looked[-1].code == 1
    assert "user name and password" in looked[-1].out
    assert [secret for secret in SECRETS for text in (*told, bridge.err) if secret in text] == []
    events = on_kafka(sasl_kafka, f"{prefix}im.group.v1")
    assert sorted(user for event in events for user in event.users) == ["ada", "bob", "cid"]
    redacted = {event.users[0]: event.data["origin"].get("redacted") for event in events}
    assert redacted == {"ada": ["Sign"], "bob": ["Sign"], "cid": ["path_secret"]}


async def make_wrong_topics(kafka: KafkaServer, prefix: str) -> None:
    """Create one topic with too few partitions, and the topic of rules without compaction."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    try:
        few = NewTopic(f"{prefix}im.group.v1", 3, 1)
        wrong = NewTopic(f"{prefix}im.rules.v1", 1, 1, topic_configs={"cleanup.policy": "delete"})
        await admin.create_topics([few, wrong])
    finally:
        await admin.close()


def test_before_the_first_start_over_kafka_nothing_is_wrong(
    tmp_path: Path, kafka: KafkaServer, prefix: str
) -> None:
    settings = {"KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "KAFKA__TOPIC_PREFIX": prefix}
    for _ in range(2):  # the first look has created nothing
        said = imbridge("doctor", "--json", env=environment(tmp_path / "data", **settings))
        assert said.code == 0
        missing = [one["says"] for one in said.json()["findings"] if one["about"] in TOPICS]
        assert len(missing) == len(TOPICS)
        assert all("does not exist" in says for says in missing)


def test_the_doctor_names_topics_that_stand_otherwise_than_they_should(
    tmp_path: Path, kafka: KafkaServer, prefix: str
) -> None:
    asyncio.run(make_wrong_topics(kafka, prefix))
    settings = {"KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers, "KAFKA__TOPIC_PREFIX": prefix}
    said = imbridge("doctor", "--json", env=environment(tmp_path / "data", **settings))
    assert said.code == 1
    found = {(one["about"], one["level"], one["says"]) for one in said.json()["findings"]}
    few = f"{prefix}im.group.v1 has 3 partitions instead of 12"
    assert any(level == "warning" and says.startswith(few) for _, level, says in found)
    wrong = f"{prefix}im.rules.v1 has cleanup.policy=delete instead of compact"
    assert any(level == "problem" and says.startswith(wrong) for _, level, says in found)
    missing = f"{prefix}im.user.v1 does not exist"
    assert any(level == "warning" and says.startswith(missing) for _, level, says in found)
