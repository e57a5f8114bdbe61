"""Every command beside a running bridge, embedded and over Kafka."""

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

import pytest

from bridge.config import load_settings
from bridge.log.base import Log, record_of
from bridge.log.scan import Selection, ranges_of, scan
from bridge.main.opening import open_log
from schemas.envelope import Envelope, read_structured
from tests.command_line import Said, imbridge
from tests.consuming import event
from tests.integration.callers import (
    OPENIM_OK,
    TENCENT_OK,
    Call,
    openim_join,
    tencent_invite,
    tencent_join,
)
from tests.looking import tables
from tests.process_kit import Bridge, command, environment, get, post, running, until

GROUP = "im.group.v1"
T = TypeVar("T")
STARTS = "im.ops.replay.started.v1"
ENDS = "im.ops.replay.finished.v1"
RULE = """\
kind: rule
id: {name}
rev: {rev}
on: [invite]
scope: {{group: {{id: ["{group}"]}}}}
members: {{fact: invitee.id, eq: {refused}}}
effect: refuse_members
tests:
  - given: {{group: {{id: "{group}"}}, invitees: [{refused}, ada]}}
    expect: {{effect: refuse_members, refused: [{refused}]}}
"""


class Side(NamedTuple):
    """A running bridge and the environment of commands beside it."""

    kind: str
    bridge: Bridge
    env: dict[str, str]
    data_dir: Path

    def __call__(self, *words: str, code: int = 0) -> Said:
        """Run a command that ends with this code."""
        said = imbridge(*words, env=self.env)
        assert said.code == code, said
        return said

    def send(self, call: Call) -> Any:
        """Send a callback and return the answer."""
        return post(self.bridge.ingress + call.path, call.body, call.headers)[1]

    def events(self, topic: str = GROUP, *words: str) -> list[Envelope]:
        """Return what ``topics read --json`` prints, read back."""
        said = self("topics", "read", topic, "--json", *words)
        return [read_structured(line.encode()) for line in said.out.splitlines()]

    def joined(self, *users: str) -> str:
        """Have users join a new group; return its id once all of them are in the tables."""
        group = f"g{uuid4().hex[:8]}"
        for number, user in enumerate(users):
            assert self.send(tencent_join(group, user, number)) == TENCENT_OK
        until(lambda: len(self.members(group)) == len(set(users)), f"{group} is in the tables", 30)
        return group

    def members(self, group: str) -> list[str]:
        """Return the members that ``groups show`` tells."""
        return [member["user_id"] for member in self._shown(group)]

    def nicknames(self, group: str) -> list[str | None]:
        """Return the nicknames that ``groups show`` tells."""
        return [member["nickname"] for member in self._shown(group)]

    def asked_about(self) -> list[list[str]]:
        """Return whom the latest decisions were about."""
        return [one["invitee_ids"] for one in self("decisions", "list", "--json").json()]

    def _shown(self, group: str) -> list[dict[str, Any]]:
        said = imbridge("groups", "show", group, "--json", env=self.env)
        return [member for one in said.json() for member in one["members"]] if said.code == 0 else []

    @property
    def store(self) -> str:
        """The address of the store."""
        return store_of(self.data_dir)

    def applied(self) -> int:
        """Return how many records of groups the projection of groups has applied so far."""
        return applied(self.bridge)

    def lags(self) -> dict[str, int]:
        """Return the lag of each projection."""
        found: dict[str, int] = {}
        for row in self("projections", "list", "--json").json():
            found[row["projection"]] = found.get(row["projection"], 0) + (row["lag"] or 0)
        return found


def store_of(data_dir: Path) -> str:
    return f"sqlite:///{data_dir}/imbridge.sqlite"


def applied(bridge: Bridge) -> int:
    """Return how many records of groups the projection of groups has applied so far."""
    batches = bridge.events("batch.applied")
    return sum(one["records"].get(GROUP, 0) for one in batches if one["consumer"] == "groups")


@pytest.fixture(scope="module", params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def side(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    data_dir = tmp_path_factory.mktemp(request.param) / "data"
    settings = {}
    if request.param == "kafka":
        servers = request.getfixturevalue("kafka").bootstrap_servers
        settings = {
            "KAFKA__BOOTSTRAP_SERVERS": servers,
            "KAFKA__TOPIC_PREFIX": f"c{uuid4().hex[:8]}.",
        }
    with running("run", data_dir=data_dir, **settings) as bridge:
        env = environment(data_dir, **settings, OPS__PORT=bridge.ops.rpartition(":")[2])
        yield Side(request.param, bridge, env, data_dir)
        assert bridge.stop() == 0


def with_log(env: dict[str, str], monkeypatch: pytest.MonkeyPatch, use: Callable[[Log], Awaitable[T]]) -> T:
    """Return what is done with the log that these settings lead to, opened as a command does."""

    async def open_and_use() -> T:
        log = open_log(load_settings())
        try:
            return await use(log)
        finally:
            await log.close()

    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return asyncio.run(open_and_use())


async def headers_in(log: Log) -> list[dict[str, str]]:
    """Return the headers of every record, those that are no part of the event included."""
    found = scan(log, await ranges_of(log, Selection(GROUP)))
    return [dict(stored.record.headers) async for _, stored in found]


def test_topics_are_listed_with_what_they_hold(side: Side) -> None:
    side.joined("ada")
    listed = {topic["topic"]: topic for topic in side("topics", "list", "--json").json()}
    assert sum(held["end"] - held["begin"] for held in listed[GROUP]["partitions"]) > 0
    assert listed["im.rules.v1"]["cleanup"] == "compact"
    assert len(listed["im.rules.v1"]["partitions"]) == 1
    shown = side("topics", "list").out
    assert all(name in shown for name in listed)


def test_events_are_read_back_and_narrowed_down_by_key_type_and_time(side: Side) -> None:
    group = side.joined("ada", "bob")
    other = side.joined("eve")
    ours = side.events(GROUP, "--key", group)
    assert [event.data["members"][0]["user_id"] for event in ours] == ["ada", "bob"]
    assert {event.partitionkey for event in ours} == {group}
    assert len({event.id for event in ours}) == 2
    assert {event.partitionkey for event in side.events(GROUP, "--key", "g*")} >= {group, other}
    assert side.events(GROUP, "--key", group, "--type", "im.group.member.*") == ours
    assert side.events(GROUP, "--key", group, "--type", "im.group.created.v1") == []
    assert side.events(GROUP, "--key", group, "--since", "1h") == ours
    assert side.events(GROUP, "--key", group, "--since", "2100-01-01T00:00:00Z") == []
    assert side.events(GROUP, "--key", group, "--until", ours[0].recordedtime) == []
    lines = side("topics", "read", GROUP, "--key", group).out.splitlines()
    assert len(lines) == 2
    assert all(event.id in line for event, line in zip(ours, lines, strict=True))


def test_following_a_topic_prints_what_arrives_until_it_is_interrupted(side: Side) -> None:
    group = f"g{uuid4().hex[:8]}"
    follower = Bridge("topics", "read", GROUP, "--json", "--follow", "--key", group, data_dir=side.data_dir,
                      **{name.removeprefix("IMBRIDGE_"): value for name, value in side.env.items()
                         if name.startswith("IMBRIDGE_")})  # fmt: skip
    try:
        for user in ("ada", "bob"):
            assert side.send(openim_join(group, user)) == OPENIM_OK
            until(lambda user=user: f'"{user}"' in follower.out, f"{user} is printed", 30)  # type: ignore[misc]
        follower.signal(signal.SIGINT)
        assert follower.wait() == 130
        assert "Traceback" not in follower.err
    finally:
        follower.end()
    printed = [read_structured(line.encode()) for line in follower.out.splitlines()]
    assert [event.partitionkey for event in printed] == [group, group]


def test_a_replay_is_planned_printed_and_given_again_with_ids_and_sequences_kept(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = side.joined("ada", "bob", "cid")
    before = side.events(GROUP, "--key", group)
    held = tables(side.store)
    words = (GROUP, "--key", group, "--to-topic", GROUP)
    planned = side("replay", "plan", *words, "--json").json()
    assert planned["records"] == 3
    assert planned["counts"][0]["type"] == "im.group.member.joined.v1"
    assert planned["first"] <= planned["last"]
    assert [name.rpartition(".")[2] for name in planned["consumer_groups"]] == ["groups"]
    assert "Read by" in side("replay", "plan", *words).out
    printed = side("replay", "run", GROUP, "--key", group).out.splitlines()
    assert [read_structured(line.encode()) for line in printed] == before
    since = time.monotonic()
    slowly = side("replay", "run", GROUP, "--key", group, "--rate", "4").out.splitlines()
    assert (slowly, time.monotonic() - since >= 2 / 4) == (printed, True)

    assert "Nothing was written" in side("replay", "run", *words, code=2).out
    assert side.events(GROUP, "--key", group) == before
    done = side("replay", "run", *words, "--execute").out
    job = done.partition(":")[0]
    assert "3 records given again" in done

    again = side.events(GROUP, "--key", group)
    assert sorted(event.id for event in again) == sorted([event.id for event in before] * 2)
    assert {(event.id, event.sequence) for event in again} == {(event.id, event.sequence) for event in before}
    jobs = [headers.get("im-replay-job") for headers in with_log(side.env, monkeypatch, headers_in)]
    assert jobs.count(job) == 3
    told = [event for event in side.events("im.ops.v1") if event.data.get("job") == job]
    assert [event.type for event in told] == [STARTS, ENDS]
    assert told[-1].data["records"] == 3
    until(lambda: side.lags()["groups"] == 0, "the projection has read them again", 30)
    assert tables(side.store)["members"] == held["members"]
    assert tables(side.store)["groups"] == held["groups"]


def test_a_running_projection_is_rewound_and_comes_to_the_same_tables(side: Side) -> None:
    side.joined("ada", "bob")
    held = tables(side.store)
    before = side.applied()
    said = side("replay", "run", GROUP, "--to-projection", "groups", "--since", "1h", "--execute").out
    job = said.partition(":")[0]
    assert "checkpoints of groups set back" in said

    until(lambda: side.applied() > before, "the running projection applies them again", 30)
    until(lambda: side.lags()["groups"] == 0, "it has caught up", 30)
    now = tables(side.store)
    assert (now["groups"], now["members"]) == (held["groups"], held["members"])
    told = [event.type for event in side.events("im.ops.v1") if event.data.get("job") == job]
    assert told == [STARTS, ENDS]


def test_published_rules_decide_within_seconds_and_are_rolled_back(side: Side, tmp_path: Path) -> None:
    group = f"g{uuid4().hex[:8]}"
    rule = tmp_path / "rule.yaml"

    def publish(refused: str, rev: int) -> int:
        rule.write_text(RULE.format(name=f"r-{group}", rev=rev, group=group, refused=refused))
        assert "1 rules, 0 lists, 1 tests run, 0 failed" in side("rules", "check", str(tmp_path)).out
        report = side("rules", "publish", str(tmp_path), "--json").json()
        assert (report["confirmed"], report["tests_run"], report["rules"]) == (True, 1, 1)
        return int(report["version"])

    def decides(refused: str) -> None:
        asked = tencent_invite(group, "ada", "eve", "mallory", refused=refused)
        until(lambda: side.send(asked) == asked.wanted, f"{refused} is refused", 10)

    first = publish("mallory", 1)
    decides("mallory")
    second = publish("eve", 2)
    decides("eve")
    assert "nothing to do" in side("rules", "publish", str(tmp_path)).out
    side("rules", "rollback", str(first))
    decides("mallory")
    (served,) = side("rules", "status", "--json").json()["sets"]
    assert (served["version"], served["restores"]) == (second + 1, first)
    assert [one["id"] for one in served["rules"]] == [f"r-{group}"]
    assert f"r-{group}" in side("rules", "status").out
    wanted = f"version {second + 1}"
    until(lambda: wanted in side.bridge.part("rules")["says"], "/readyz says so within a second")

    rule.write_text(
        RULE.format(name=f"r-{group}", rev=3, group=group, refused="ada").replace("[ada, ada]", "[bob]")
    )
    assert "rule.yaml" in side("rules", "publish", str(tmp_path), code=4).err
    assert side("rules", "status", "--json").json()["sets"][0]["version"] == second + 1
    recorded = until(
        lambda: side("decisions", "list", "--group", group, "--json").json(),
        "decisions are in the tables",
        30,
    )
    assert {one["sent"] for one in recorded} <= {"allow", "refuse_members"}
    until(
        lambda: side("decisions", "list", "--group", group, "--json").json()[0]["refused"] == ["mallory"],
        "the latest decision is in the tables",
        30,
    )
    shown = side("decisions", "list", "--group", group).out
    assert "refuse_members" in shown
    assert f"r-{group}" in shown


def test_projections_are_listed_and_a_dropped_one_starts_anew(side: Side) -> None:
    side.joined("ada")
    held = tables(side.store)
    rows = side("projections", "list", "--json").json()
    assert {row["projection"] for row in rows} == {"groups", "decisions"}
    assert {row["log"].partition(":")[0] for row in rows} == {"kafka" if side.kind == "kafka" else "journal"}
    assert "groups" in side("projections", "list").out
    assert "Nothing was changed" in side("projections", "drop", "groups", code=2).out
    assert {row["next offset"] for row in rows} != {None}
    assert "has no checkpoint" in side("projections", "drop", "nobody", code=2).err
    before = side.applied()
    assert "forgotten" in side("projections", "drop", "groups", "--execute").out
    until(lambda: side.applied() > before, "it reads everything again", 30)
    until(lambda: side.lags()["groups"] == 0, "it has caught up", 30)
    now = tables(side.store)
    assert (now["groups"], now["members"]) == (held["groups"], held["members"])


def test_a_group_is_shown_and_an_unknown_one_is_said_to_be(side: Side) -> None:
    group = side.joined("ada", "bob")
    (shown,) = side("groups", "show", group, "--json").json()
    assert [member["user_id"] for member in shown["members"]] == ["ada", "bob"]
    assert shown["complete"] == 0
    assert "creation was not seen" in side("groups", "show", group).out
    assert group in side("groups", "list", "--limit", "1000").out
    assert group in [row["group_id"] for row in side("groups", "list", "--limit", "1000", "--json").json()]
    assert "no current group 'nowhere'" in side("groups", "show", "nowhere", code=2).err
    assert side("groups", "show", group, "--provider", "openim", code=2).out == ""


def test_a_record_no_projection_can_apply_is_parked_shown_and_redriven(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = f"g{uuid4().hex[:8]}"
    wrong = event("group.member.joined", {"group_id": group, "members": "ada"}, event_id=f"e-{group}")
    with_log(side.env, monkeypatch, lambda log: log.append([record_of(GROUP, wrong, 1_700_000_000_000)]))

    def parked() -> list[dict[str, Any]]:
        listed = side("dlq", "list", "--json").json()
        return [one for one in listed if side("dlq", "show", one["id"]).json()["key"] == group]

    (letter,) = until(parked, "the record is parked", 30)
    assert (letter["consumer"], letter["topic"], letter["disposition"]) == ("groups", GROUP, "poison")
    assert "members" in letter["reason"]
    assert side("dlq", "show", letter["id"]).json()["value"] == wrong.data
    assert group in [line["key"] for line in side("dlq", "show", letter["id"]).lines()]
    assert side("dlq", "list", "--consumer", "relay", "--json").json() == []
    assert "poison" in side("dlq", "list", "--consumer", "groups").out
    assert "Nothing was written" in side("dlq", "redrive", letter["id"], code=2).out
    job = side("dlq", "redrive", letter["id"], "--execute").out.partition(":")[0]
    until(lambda: len(parked()) == 2, "given again, it is parked again", 30)
    told = [one for one in side.events("im.ops.v1") if one.data.get("job") == job]
    assert [one.type for one in told] == ["im.ops.dead_letter.redriven.v1"]
    repeats = side.events(GROUP, "--key", group)
    assert [(one.id, one.sequence) for one in repeats] == [(wrong.id, wrong.sequence)] * 2


def test_hostile_text_never_reaches_the_terminal(side: Side) -> None:
    hostile = "\x1b]0;owned\x07\x9b31mmallory\r\n\u202e"
    group, user = f"g{uuid4().hex[:8]}", "u\u202eu"
    renamed = "callbackAfterSetGroupMemberInfoCommand"
    call = openim_join(group, user)
    assert side.send(call) == OPENIM_OK
    body = {"callbackCommand": renamed, "groupID": group, "userID": user, "nickName": hostile}
    path = call.path.replace("callbackAfterMemberJoinGroupCommand", renamed)
    assert side.send(call._replace(path=path, body=body)) == OPENIM_OK
    assert side.send(tencent_join(hostile, hostile)) == TENCENT_OK  # no id of anything: kept verbatim
    assert side.send(tencent_invite(group, user, hostile)) == TENCENT_OK
    assert side.send(tencent_invite(group, user)) == TENCENT_OK
    until(lambda: side.nicknames(group) == [hostile], "the nickname is in the tables", 30)
    until(lambda: [user] in side.asked_about(), "the decision is in the tables", 30)
    until(lambda: len(side.events("im.unrecognized.v1")) >= 2, "what has no id is kept", 30)
    everything = [
        side("groups", "show", group),
        side("groups", "show", group, "--json"),
        side("groups", "list", "--limit", "1000"),
        side("groups", "show", hostile, code=2),
        *(side("topics", "read", topic) for topic in (GROUP, "im.unrecognized.v1", "im.decision.v1")),
        *(side("topics", "read", topic, "--json") for topic in (GROUP, "im.unrecognized.v1")),
        side("decisions", "list"),
        side("decisions", "list", "--json"),
        side("replay", "plan", "im.unrecognized.v1"),
    ]
    for said in everything:
        printed = (said.out + said.err).replace("\n", "")
        assert [char for char in printed if ord(char) < 32 or 127 <= ord(char) < 160] == []
    assert "mallory" in everything[0].out


def test_the_doctor_finds_a_running_bridge_well(side: Side) -> None:
    side.joined("ada")
    said = side("doctor", "--json")
    found = {one["about"]: one for one in said.json()["findings"]}
    assert [one for one in found.values() if one["level"] == "problem"] == []
    assert found["process"]["says"].startswith("ready at")
    assert found["store"]["level"] == "ok"
    assert found["journal 1"]["level"] == "ok"
    assert ("Kafka" in found) == (side.kind == "kafka")
    assert "findings" in side("doctor").out


def test_metrics_and_health_are_told_by_name(side: Side) -> None:
    side.joined("ada")
    status, body = get(f"{side.bridge.ops}/livez")
    assert (status, json.loads(body)) == (200, {"alive": True})
    status, content = side.bridge.readyz()
    assert (status, content["ready"]) == (200, True)
    relays = {"relay of journal 1"} if side.kind == "kafka" else set()
    wanted = {"journal", "ingress", "rules", "projection groups", "projection decisions"} | relays
    assert set(content["parts"]) >= wanted
    gates = {name for name, part in content["parts"].items() if part["gates"]}
    assert gates == ({"workers"} if side.kind == "kafka" else {"journal", "rules"})
    metrics = side.bridge.metrics()
    for name in (
        "callbacks_total",
        "callback_seconds_bucket",
        "decisions_total",
        "decision_seconds_bucket",
        "journal_records_total",
        "journal_sync_seconds_bucket",
        "journal_full",
        "consumer_records_total",
        "consumer_lag_records",
        "rules_version",
    ):
        assert f"\nimbridge_{name}" in metrics, name
    if side.kind == "kafka":
        assert "\nimbridge_relay_lag_records" in metrics
        assert "\nimbridge_relay_records_total" in metrics


def test_what_is_done_while_nothing_runs_counts_from_the_next_start(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    env = environment(data_dir)
    rule = tmp_path / "rule.yaml"
    rule.write_text(RULE.format(name="r1", rev=1, group="g", refused="mallory"))
    assert imbridge("rules", "publish", str(rule), env=env).code == 0
    with running("run", data_dir=data_dir) as bridge:
        asked = tencent_invite("g", "ada", "mallory", refused="mallory")
        assert post(bridge.ingress + asked.path, asked.body) == (200, asked.wanted)
        for number in range(3):
            call = tencent_join("g", f"u{number}", number)
            assert post(bridge.ingress + call.path, call.body) == (200, TENCENT_OK)
        until(lambda: len(tables(store_of(data_dir)).get("members", ())) >= 3, "all is in the tables")
        assert bridge.stop() == 0
    held = tables(store_of(data_dir))
    for words in (["--to-projection", "groups"], ["--to-topic", GROUP]):
        assert imbridge("replay", "run", GROUP, *words, "--execute", env=env).code == 0
    with running("run", data_dir=data_dir) as bridge:
        until(lambda: applied(bridge) >= 3 + 3, "it applies the old records and those given again")
        bridge.kill()
    assert tables(store_of(data_dir)) == held


def test_a_reader_that_goes_away_ends_a_command_quietly(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with running("ingress", data_dir=data_dir) as bridge:
        for number in range(80):
            call = tencent_join("g", "u" * 500, number)
            assert post(bridge.ingress + call.path, call.body) == (200, TENCENT_OK)
        bridge.kill()
    for words in ("--json", "--key=*"):
        child = subprocess.Popen(
            command("topics", "read", GROUP, words),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(data_dir),
        )
        with child:
            assert child.stdout is not None
            assert child.stderr is not None
            assert child.stdout.readline()
            child.stdout.close()
            assert (child.stderr.read(), child.wait(20)) == (b"", 0)
