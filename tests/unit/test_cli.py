"""The command line by itself: refusals, exit codes, times, what is printed. Nothing is running."""

import asyncio
import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bridge.cli.banner import banner
from bridge.cli.output import clean, complain, print_bytes, print_line, print_table
from bridge.cli.times import when
from bridge.config import load_settings
from bridge.errors import UsageError
from bridge.log.clock import wall_ms
from bridge.main.service import Started
from consumers.projections.decisions import DecisionsProjection
from consumers.rules import PublishReport
from consumers.store.opening import store_for
from schemas.catalog import Catalog
from schemas.envelope import Envelope
from schemas.topics import TOPICS
from tests.command_line import Said, imbridge
from tests.consuming import commit, event, key

HOSTILE = "\x1b]0;owned\x07\x9b31m\x7f\r\nnick\u202e"
TOPIC = "im.group.v1"
FAILING_RULE = """\
kind: rule
id: r1
rev: 1
on: [invite]
effect: deny
tests:
  - given: {invitees: [ada]}
    expect: {effect: allow}
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"IMBRIDGE_DATA_DIR": str(tmp_path / "data"), "PATH": ""}


def steers_no_terminal(text: str) -> bool:
    return all(char.isprintable() or char == "\n" for char in text)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["topics", "read", "im.gruop.v1"], "no topic of this bridge; known: im.group.v1"),
        (["topics", "read", TOPIC, "--since", "yesterday"], "'yesterday' is no time"),
        (["replay", "plan", TOPIC, "--offsets", "100"], "'100' is no range of offsets"),
        (["replay", "plan", TOPIC, "--offsets", "a:b"], "'a:b' is no range of offsets"),
        (["replay", "plan", TOPIC, "--offsets", ":"], "':' is no range of offsets"),
        (["replay", "plan", TOPIC, "--to-topic", TOPIC, "--to-projection", "groups"], "give one target"),
        (["replay", "plan", TOPIC, "--to-topic", "elsewhere"], "elsewhere is no topic of this bridge"),
        (["replay", "plan", TOPIC, "--to-projection", "grups"], "no projection; known: groups, decisions"),
        (["replay", "plan", "im.user.v1", "--to-projection", "groups"], "does not read im.user.v1"),
        (["replay", "run", TOPIC, "--to-topic", TOPIC, "--rate", "0"], "--rate"),
        (["replay", "run", TOPIC, "--to-projection", "groups", "--rate", "5"], "a rewind has no --rate"),
        (["decisions", "list", "--act", "send_mesage"], "send_mesage is no act; known: add_friend, "),
        (["dlq", "show", "0123"], "no dead letter 0123"),
        (["dlq", "redrive", "0123", "--execute"], "no dead letter 0123"),
        (["rules", "rollback", "7"], "version 7 of the set default is not on record"),
        (["topics", "red"], "No such command"),
        (["--config", "nowhere.toml", "topics", "list"], "nowhere.toml does not exist"),
    ],
)
def test_what_cannot_be_carried_out_as_asked_exits_with_2_and_a_sentence(
    env: dict[str, str], words: list[str], says: str
) -> None:
    said = imbridge(*words, env=env)
    assert (said.code, said.out) == (2, "")
    assert says in said.err
    assert "Traceback" not in said.err


def test_a_rewind_that_is_narrowed_down_is_refused(env: dict[str, str]) -> None:
    said = imbridge("replay", "run", TOPIC, "--to-projection", "groups", "--key", "g", "--execute", env=env)
    assert (said.code, said.out) == (2, "")
    assert "leave out key, type and ends" in said.err


def test_settings_that_do_not_fit_exit_with_2_all_named(env: dict[str, str]) -> None:
    wrong = env | {"IMBRIDGE_INGRESS__PORT": "http", "IMBRIDGE_KAFKA__SASL_PASWORD": "open-sesame"}
    said = imbridge("topics", "list", env=wrong)
    assert said.code == 2
    assert "IMBRIDGE_INGRESS__PORT" in said.err
    assert "did you mean IMBRIDGE_KAFKA__SASL_PASSWORD" in said.err
    assert "open-sesame" not in said.err


def test_help_names_every_command_and_a_version_is_told(env: dict[str, str]) -> None:
    listed = imbridge("--help", env=env)
    assert listed.code == 0
    commands = (
        "run ingress relay consume doctor demo simulate verify normalize "
        "catalog topics groups decisions rules projections replay dlq"
    )
    assert re.findall(r"^│ ([a-z]+) ", listed.out, re.MULTILINE) == commands.split()
    assert imbridge("--version", env=env).out.startswith("imbridge ")


@pytest.mark.parametrize(
    ("module", "others"),
    [
        ("bridge.cli", {"aiohttp", "pydantic", "sqlalchemy", "bridge.main.opening"}),
        ("bridge.cli.service", {"aiokafka", "psycopg", "sqlalchemy", "bridge.simulate", "bridge.cli.demo"}),
    ],
)
def test_a_command_loads_nothing_that_only_others_need(module: str, others: set[str]) -> None:
    code = f"import sys, {module}; print({others} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_an_empty_bridge_is_looked_at_without_complaint(env: dict[str, str]) -> None:
    listed = imbridge("topics", "list", "--json", env=env).json()
    assert [topic["topic"] for topic in listed] == list(TOPICS)
    assert imbridge("topics", "read", TOPIC, "--json", env=env) == Said(0, "", "")
    planned = imbridge("replay", "plan", TOPIC, "--json", env=env).json()
    assert (planned["records"], planned["first"], planned["consumer_groups"]) == (0, None, [])
    assert imbridge("dlq", "list", "--json", env=env).json() == []
    assert "none" in imbridge("dlq", "list", env=env).out
    assert imbridge("rules", "status", "--json", env=env).json()["sets"] == []


def test_decisions_are_listed_by_act_subject_and_group(env: dict[str, str]) -> None:
    answer = {"wanted": "deny", "sent": "deny", "reason": {"text": "no links"}}
    about = {"group_id": "g1", "decision": answer, "origin": {"command": "Group.CallbackBeforeSendMsg"}}
    sent = event("message.send.decided", about, 2 << 16, "e2")._replace(subject="conversation/sg_g1")
    asked = {"group_id": "g1", "user_id": HOSTILE, "decision": answer}
    data_dir = Path(env["IMBRIDGE_DATA_DIR"])
    data_dir.mkdir()
    asyncio.run(_decided(data_dir, sent, event("group.join.decided", asked, 1 << 16)))

    def acts(*words: str) -> list[str]:
        return [one["act"] for one in imbridge("decisions", "list", "--json", *words, env=env).json()]

    assert acts() == acts("--group", "g1") == ["send_message", "join"]
    assert acts("--act", "join") == acts("--subject", "group/g1") == ["join"]
    assert acts("--act", "join", "--subject", "conversation/sg_g1") == []
    (said,) = imbridge("decisions", "list", "--act", "join", "--json", env=env).json()
    assert said["members"] == [HOSTILE]
    shown = imbridge("decisions", "list", env=env).out
    assert all(
        word in shown for word in ("send_message", "conversation/sg_g1", "join", "group/g1", "no links")
    )
    assert steers_no_terminal(shown)


async def _decided(data_dir: Path, *decisions: Envelope) -> None:
    store = store_for(f"sqlite:///{data_dir / 'imbridge.sqlite'}")
    await store.open()
    claim = await store.claim(key("decisions"), "test")
    await commit(store, claim, 1, DecisionsProjection().effects(decisions))
    await store.close()


def test_rules_whose_own_test_fails_are_refused_with_4(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "r1.yaml").write_text(FAILING_RULE)
    checked = imbridge("rules", "check", str(tmp_path), env=env)
    assert checked.code == 4
    assert "1 tests run, 1 failed" in checked.out
    assert imbridge("rules", "check", str(tmp_path), "--json", env=env).json()["ok"] is False
    published = imbridge("rules", "publish", str(tmp_path), env=env)
    assert (published.code, published.out) == (4, "")
    assert "r1.yaml" in published.err
    assert imbridge("rules", "status", "--json", env=env).json()["sets"] == []


@pytest.mark.parametrize(("text", "ago_ms"), [("90s", 90_000), ("2h", 7_200_000), ("7d", 604_800_000)])
def test_how_long_ago_is_a_time(text: str, ago_ms: int) -> None:
    before = wall_ms()
    meant = when(text)
    assert meant is not None
    assert before - ago_ms <= meant <= wall_ms() - ago_ms


def test_a_moment_is_a_time_and_nothing_is_none() -> None:
    assert when("2022-12-09T08:28:34.123Z") == 1670574514123
    assert when(None) is None
    with pytest.raises(UsageError, match="is no time"):
        when("2022-12-09T08:28:34")


def test_nothing_printed_can_steer_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    err = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    print_table("members", ("user",), [(HOSTILE,), (None,), (7,)])
    print_line(f"said {HOSTILE}")
    complain(f"imbridge: {HOSTILE}")
    print_bytes(f'"{"".join(map(chr, range(0x7F, 0xA1)))}ü"'.encode())
    printed = out.buffer.getvalue().decode()
    assert steers_no_terminal(printed.replace("\u00a0", ""))
    assert steers_no_terminal(err.getvalue())
    assert "nick" in printed
    assert "\\u007f\\u0080" in printed
    assert "\u00a0ü" in printed


def test_clean_text_is_one_line() -> None:
    assert clean("a\nb\tc") == "a\\nb\\tc"
    assert clean("Grüße 你好") == "Grüße 你好"
    assert clean(None) == "-"


def test_the_banner_shows_placeholders_instead_of_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMBRIDGE_TENCENT__TOKENS", "the-token")
    monkeypatch.setenv("IMBRIDGE_OPENIM__PATH_SECRETS", "the-secret")
    monkeypatch.setenv("IMBRIDGE_TENCENT__APP_IDS", "1400000042")
    text = banner(load_settings(), Started("http://h:1", "http://h:2", "no rules"), Catalog.load())
    assert "the-token" not in text
    assert "the-secret" not in text
    assert "SdkAppid=1400000042" in text
    assert "http://h:1/openim/$SECRET/callback" in text
    assert "RequestTime=$T&Sign=$SIGN" in text


def test_the_banner_shows_the_providers_that_are_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    started, catalog = Started("http://h:1", "http://h:2", "no rules"), Catalog.load()
    for off, on in (("TENCENT", "OpenIM"), ("OPENIM", "Tencent")):
        with monkeypatch.context() as patched:
            patched.setenv(f"IMBRIDGE_{off}__ENABLED", "false")
            text = banner(load_settings(), started, catalog)
        assert f"{on} door" in text
        assert off.lower() not in text.lower().replace("openimbridge", "")


def test_a_command_of_the_catalog_is_shown_in_words(env: dict[str, str]) -> None:
    said = imbridge("catalog", "show", "group.callbackbeforeinvitejoingroup", env=env)
    assert said.code == 0
    assert "deny_code 1, codes 10100 to 10200, refuse_some RefusedMembers_Account" in said.out
    assert "group_id, group_type, inviter_id, invitee_ids" in said.out
    assert not [syntax for syntax in ("None", "()", "[]", "['", "False") if syntax in said.out]


@pytest.mark.parametrize(
    ("overwrote", "overtaken_by", "says"),
    [
        ((6,), (), "version 6 was published at the same time and stands earlier: this one took its place"),
        ((), (8,), "version 8 was published at the same time and stands later: it is in force, not this one"),
    ],
)
def test_who_publishes_beside_another_is_told_of_the_other(
    overwrote: tuple[int, ...],
    overtaken_by: tuple[int, ...],
    says: str,
    env: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def publish(*_: Any, **__: Any) -> PublishReport:
        return PublishReport("default", 7, 5, "d", True, 1, 1, 0, 1, (), True, overwrote, overtaken_by)

    monkeypatch.setattr("bridge.cli.rules.rules.publish", publish)
    said = imbridge("rules", "publish", str(tmp_path), env=env)
    assert (said.code, says in said.err) == (0, True)
    assert "set default version 7 published: 1 rules" in said.out
