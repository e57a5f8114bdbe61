"""Rules about messages, groups, applications and friends, served by a real process to both vendors."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from schemas.dialects.readings import Reading
from tests.command_line import Said, imbridge
from tests.process_kit import Bridge, environment, post, running, until
from tests.samples import CATALOG
from tests.verdicts import reading

RULES = """\
kind: list
name: blocked
values: [mallory]
---
kind: list
name: rude
values: [damn]
---
kind: rule
id: no-links
rev: 1
on: [send_message]
match: {fact: message.text, contains: "http://"}
effect: deny
reason: {text: no links, code: {openim: 20666}}
tests:
  - given: {sender: {id: ada}, message: {text: "see http://example.org", kind: text}}
    expect: {effect: deny}
  - given: {message: {kind: image}}
    expect: {effect: allow, matched: false}
---
kind: rule
id: no-links-in-groups
rev: 1
priority: 10
scope: {command: [Group.CallbackBeforeSendMsg]}
on: [send_message]
match: {fact: message.text, contains: "http://"}
effect: deny
reason: {text: no links in groups, code: {tencent: 10166}}
tests:
  - given: {group: {id: g1}, message: {text: "http://"}}
    expect: {effect: deny}
---
kind: rule
id: decent-names
rev: 1
on: [create_group]
match: {fact: group.name, on_list: rude}
effect: deny
reason: {text: another name please, code: {tencent: 10188, openim: 20188}}
tests:
  - given: {group: {name: damn}, owner: {id: ada}, lists: {rude: [damn]}}
    expect: {effect: deny}
---
kind: rule
id: blocked-people-stay-out
rev: 1
on: [join]
match: {fact: user.id, on_list: blocked}
effect: deny
reason: {text: you are blocked, code: {tencent: 10111, openim: 20111}}
tests:
  - given: {user: {id: mallory}, members: [mallory], lists: {blocked: [mallory]}}
    expect: {effect: deny}
---
kind: rule
id: blocked-people-are-no-friends
rev: 1
on: [add_friend]
members: {fact: member.id, on_list: blocked}
effect: refuse_members
reason: {text: blocked, code: {tencent: 38111, openim: 20111}}
tests:
  - given: {requester: {id: ada}, members: [mallory, bob], lists: {blocked: [mallory]}}
    expect: {effect: refuse_members, refused: [mallory], sent: refuse_members}
  - given: {request: {provider: openim}, members: [mallory], lists: {blocked: [mallory]}}
    expect: {effect: deny}
"""


def friends(*targets: str) -> dict[str, Any]:
    return {"FriendItem": [{"To_Account": target} for target in targets]}


def tencent_text(text: str) -> dict[str, Any]:
    return {"MsgBody": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": text}}]}


def openim_text(text: str) -> dict[str, Any]:
    return {"contentType": 101, "content": orjson.dumps({"content": text}).decode()}


class Case(NamedTuple):
    """A question, by what differs from the command's example, and how the vendor reads the answer."""

    provider: str
    command: str
    changes: Mapping[str, Any]
    wanted: Reading


ALLOW, LINK = Reading("allow"), "look: http://example.org"
CASES = (
    Case("tencent", "C2C.CallbackBeforeSendMsg", tencent_text(LINK), Reading("deny", 1, "no links")),
    Case("tencent", "C2C.CallbackBeforeSendMsg", tencent_text("hello"), ALLOW),
    Case(
        "tencent",
        "Group.CallbackBeforeSendMsg",
        tencent_text(LINK),
        Reading("deny", 10166, "no links in groups"),
    ),
    Case(
        "tencent",
        "Group.CallbackBeforeCreateGroup",
        {"Name": "damn"},
        Reading("deny", 10188, "another name please"),
    ),
    Case("tencent", "Group.CallbackBeforeCreateGroup", {}, ALLOW),
    Case(
        "tencent",
        "Group.CallbackBeforeApplyJoinGroup",
        {"Requestor_Account": "mallory"},
        Reading("deny", 10111, "you are blocked"),
    ),
    Case("tencent", "Group.CallbackBeforeApplyJoinGroup", {}, ALLOW),
    Case(
        "tencent",
        "Sns.CallbackPrevFriendAdd",
        friends("bob", "mallory"),
        Reading("refuse_some", 38111, "blocked", ("mallory",)),
    ),
    Case("tencent", "Sns.CallbackPrevFriendAdd", friends("mallory"), Reading("deny", 38111, "blocked")),
    Case("tencent", "Sns.CallbackPrevFriendAdd", {}, ALLOW),
    Case(
        "openim", "callbackBeforeSendSingleMsgCommand", openim_text(LINK), Reading("deny", 20666, "no links")
    ),
    Case(
        "openim", "callbackBeforeSendGroupMsgCommand", openim_text(LINK), Reading("deny", 20666, "no links")
    ),
    Case("openim", "callbackBeforeSendGroupMsgCommand", openim_text("hello"), ALLOW),
    Case(
        "openim",
        "callbackBeforeCreateGroupCommand",
        {"groupName": "damn"},
        Reading("deny", 20188, "another name please"),
    ),
    Case("openim", "callbackBeforeCreateGroupCommand", {}, ALLOW),
    Case(
        "openim",
        "callbackBeforeJoinGroupCommand",
        {"applyID": "mallory"},
        Reading("deny", 20111, "you are blocked"),
    ),
    Case("openim", "callbackBeforeJoinGroupCommand", {}, ALLOW),
    Case(
        "openim", "callbackBeforeAddFriendCommand", {"toUserID": "mallory"}, Reading("deny", 20111, "blocked")
    ),
    Case("openim", "callbackBeforeAddFriendCommand", {}, ALLOW),
)


class Ruled(NamedTuple):
    """A running bridge whose rules are in force, and the environment of commands beside it."""

    bridge: Bridge
    env: dict[str, str]

    def ask(self, case: Case) -> tuple[bytes, int, Any]:
        """Send the question; return it with the answer."""
        spec = CATALOG.find(case.provider, case.command)
        assert spec is not None
        body = orjson.dumps({**spec.row.example, **case.changes})
        query = f"?{spec.row.example_query}" if spec.row.example_query else ""
        path = f"/tencent{query}" if case.provider == "tencent" else f"/openim/{spec.name}{query}"
        return body, *post(self.bridge.ingress + path, body, spec.row.example_headers)


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ruled]:
    """A bridge that serves the rules."""
    place = tmp_path_factory.mktemp("acts")
    (place / "rules.yaml").write_text(RULES)
    with running("run", data_dir=place / "data") as bridge:
        env = environment(place / "data")
        published(place / "rules.yaml", env)
        until(lambda: "version 1" in bridge.part("rules")["says"], "the rules are in force")
        yield Ruled(bridge, env)


def published(rules: Path, env: Mapping[str, str]) -> Said:
    said = imbridge("rules", "publish", str(rules), env=env)
    assert (said.code, "warning" in said.err) == (0, False), said
    return said


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.command}-{case.wanted.kind}")
def test_a_rule_is_told_in_the_words_of_the_callback(ruled: Ruled, case: Case) -> None:
    asked, status, answer = ruled.ask(case)
    assert status == 200
    assert reading(case.provider, orjson.dumps(answer), case.command, orjson.loads(asked)) == case.wanted


def test_each_decision_is_an_event_that_names_its_rule_and_facts(ruled: Ruled) -> None:
    ruled.ask(CASES[0])

    def decisions() -> list[dict[str, Any]]:
        said = imbridge("topics", "read", "im.decision.v1", "--json", env=ruled.env)
        return [
            event["data"]["decision"]
            for event in said.lines()
            if event["type"] == "im.message.send.decided.v1"
        ]

    found = until(
        lambda: [one for one in decisions() if one["sent"] == "deny"], "the decision is on its topic"
    )
    assert found[0]["facts"]["message.text"] == LINK
    assert [rule["id"] for rule in found[0]["rules"] if rule["matched"]] == ["no-links"]


def test_decisions_of_any_act_are_in_the_tables(ruled: Ruled) -> None:
    case = CASES[0]
    ruled.ask(case)

    def recorded() -> list[dict[str, Any]]:
        listed = imbridge("decisions", "list", "--act", "send_message", "--json", env=ruled.env).json()
        return [one for one in listed if (one["command"], one["sent"]) == (case.command, "deny")]

    latest = until(recorded, "the decision is in the tables")[0]
    assert latest["reason_text"] == "no links"
    assert latest["subject"].startswith("conversation/")
    assert [rule["id"] for rule in latest["rules"] if rule["matched"]] == ["no-links"]
