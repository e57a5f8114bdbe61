"""What the tables say after something happened, on every store."""

from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from consumers.projections.decisions import DecisionsProjection
from consumers.projections.groups import GroupsProjection
from consumers.projections.reading import group_with_members, recent_decisions
from consumers.store.base import Store
from consumers.store.tables import GROUPS, MEMBERS
from schemas.envelope import Envelope
from tests.consuming import commit, event, key, opened

STORES = [pytest.param("sqlite"), pytest.param("postgres", marks=pytest.mark.postgres)]
OPENIM = "/im/openim/openim"
TIMES = [f"2023-11-14T22:13:2{second}.000Z" for second in range(10)]
DECISION = {
    "wanted": "refuse_members",
    "sent": "refuse_members",
    "refused": ["jared"],
    "reason": {"text": "not you", "code": 10150, "rule": "no-jared"},
    "rule_set": {"name": "default", "version": 7, "digest": "abc"},
    "staleness_ms": 12,
    "rules": [{"id": "no-jared", "rev": 1, "effect": "refuse_members"}],
    "shadow": None,
    "facts": {"request.size": 2, "note": "a\0b"},
    "fallback": None,
    "elapsed_us": 40,
}


class Told:
    """Applies events as they are told, each a second later than the one before unless said otherwise."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._ids = count()
        self._offset = 0

    async def that(
        self, *facts: tuple[str, Mapping[str, Any]], source: str = "/im/tencent/1", at: int | None = None
    ) -> None:
        """Apply facts about the group g1, in one batch."""
        events = [self._event(name, data, source, at) for name, data in facts]
        await self.apply(events)

    async def apply(self, events: Sequence[Envelope]) -> None:
        effects = [*GroupsProjection().effects(events), *DecisionsProjection().effects(events)]
        claim = await self.store.claim(key(), "test")
        self._offset += 1
        await commit(self.store, claim, self._offset, effects)

    async def group(self) -> dict[str, Any] | None:
        """Return the group, None if there is none."""
        found = await group_with_members(self.store, "g1")
        assert len(found) < 2
        return found[0] if found else None

    async def members(self) -> dict[str, dict[str, Any]]:
        """Return the people in the group, by id."""
        group = await self.group()
        return {member["user_id"]: member for member in group["members"]} if group else {}

    def _event(self, name: str, data: Mapping[str, Any], source: str, at: int | None) -> Envelope:
        number = next(self._ids)
        version = (1_700_000_000_000 + 1000 * (number if at is None else at)) << 16
        return event(f"group.{name}", {"group_id": "g1", **data}, version, f"e{number}", source)


@pytest.fixture(params=STORES)
async def told(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Told]:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    store = await opened(url if request.param == "sqlite" else request.getfixturevalue("postgres_database"))
    yield Told(store)
    await store.close()


def people(*names: str) -> dict[str, Any]:
    return {"members": [{"user_id": name} for name in names]}


async def test_a_created_group_has_its_owner_and_first_members(told: Told) -> None:
    about = {"group_type": "Public", "name": "First", "owner_id": "leckie", "operator_id": "root"}
    data = [{"key": "UserDefined1", "value": "hello"}]
    await told.that(("created", {**about, **people("bob", "peter"), "custom_data": data}))
    group = await told.group()
    assert group is not None
    members = group.pop("members")
    assert group == {
        "provider": "tencent",
        "app": "1",
        "group_id": "g1",
        "name": "First",
        "type": "Public",
        "owner_id": "leckie",
        "creator_id": "root",
        "member_count": 3,
        "complete": 1,
        "avatar_url": None,
        "introduction": None,
        "notification": None,
        "extension": None,
        "created_at": TIMES[0],
        "created_ms": 1_700_000_000_000,
        "custom_data": {"UserDefined1": "hello"},
    }
    assert [(each["user_id"], each["role"], each["joined_at"]) for each in members] == [
        ("bob", "member", TIMES[0]),
        ("leckie", "owner", TIMES[0]),
        ("peter", "member", TIMES[0]),
    ]


async def test_people_who_join_are_confirmed_members_of_a_group_whose_creation_was_not_seen(
    told: Told,
) -> None:
    await told.that(
        (
            "member.joined",
            {
                **people("jared", "tommy"),
                "join_kind": "invited",
                "operator_id": "leckie",
                "group_type": "Public",
            },
        )
    )
    group = await told.group()
    assert group is not None
    assert (group["type"], group["member_count"], group["complete"], group["name"]) == ("Public", 2, 0, None)
    assert group["members"][0] == {
        "provider": "tencent",
        "app": "1",
        "group_id": "g1",
        "user_id": "jared",
        "nickname": None,
        "avatar_url": None,
        "role": "member",
        "extension": None,
        "basis": "confirmed",
        "joined_at": TIMES[0],
        "joined_ms": 1_700_000_000_000,
        "join_kind": "invited",
        "joined_by": "leckie",
    }


async def test_a_late_join_does_not_bring_back_who_has_left(told: Told) -> None:
    await told.that(("member.left", people("bob")), at=5)
    await told.that(("member.joined", people("bob")), at=4)
    assert await told.members() == {}
    await told.that(("member.joined", people("bob")), at=6)
    assert (await told.members())["bob"]["joined_at"] == TIMES[6]


async def test_a_patch_changes_what_it_names_and_nothing_else(told: Told) -> None:
    await told.that(("member.joined", people("bob")))
    await told.that(("member.updated", {"user_id": "bob", "nickname": "Bobby", "role": "admin"}), at=3)
    await told.that(("member.updated", {"user_id": "bob", "nickname": "Old", "avatar_url": "x"}), at=2)
    bob = (await told.members())["bob"]
    assert (bob["nickname"], bob["avatar_url"], bob["role"]) == ("Bobby", "x", "admin")


async def test_an_empty_text_is_a_value(told: Told) -> None:
    await told.that(
        ("member.joined", people("bob")), ("member.updated", {"user_id": "bob", "nickname": "Bobby"})
    )
    await told.that(("member.updated", {"user_id": "bob", "nickname": "", "role": None}))
    assert (await told.members())["bob"]["nickname"] == ""


async def test_a_profile_of_somebody_not_seen_to_join_makes_no_member(told: Told) -> None:
    await told.that(("member.updated", {"user_id": "bob", "nickname": "Bobby"}), at=4)
    assert await told.members() == {}
    await told.that(("member.joined", people("bob")), at=3)
    assert (await told.members())["bob"]["nickname"] == "Bobby"


async def test_who_comes_back_comes_back_as_a_plain_member(told: Told) -> None:
    await told.that(("member.joined", people("bob")))
    await told.that(("member.updated", {"user_id": "bob", "role": "admin", "nickname": "Boss"}))
    await told.that(("member.kicked", {**people("bob"), "operator_id": "leckie"}))
    await told.that(("member.joined", people("bob")))
    bob = (await told.members())["bob"]
    assert (bob["role"], bob["nickname"]) == ("member", None)
    (row,) = await told.store.select(select(MEMBERS))
    assert (row["left_kind"], row["left_by"], row["left_at"]) == ("kicked", "leckie", TIMES[2])


async def test_a_dismissed_group_is_gone_and_a_new_one_of_that_id_starts_empty(told: Told) -> None:
    await told.that(
        ("created", {**people("bob"), "name": "First", "custom_data": [{"key": "k", "value": "v"}]})
    )
    await told.that(("dismissed", {}))
    assert await told.group() is None
    await told.that(("created", people("peter")))
    group = await told.group()
    assert group is not None
    assert (group["name"], group["custom_data"], group["member_count"]) == (None, {}, 1)
    assert list(await told.members()) == ["peter"]
    assert len(await told.store.select(select(MEMBERS))) == 2


async def test_a_late_join_does_not_bring_back_a_dismissed_group(told: Told) -> None:
    await told.that(("dismissed", {}), at=5)
    await told.that(("member.joined", people("bob")), ("updated", {"name": "Late"}), at=4)
    assert await told.group() is None
    await told.that(("member.joined", people("bob")), at=6)
    group = await told.group()
    assert group is not None
    assert (group["member_count"], group["complete"], group["name"]) == (1, 0, None)


async def test_a_transfer_moves_the_ownership_and_both_roles(told: Told) -> None:
    await told.that(("created", {**people("bob"), "owner_id": "leckie"}))
    await told.that(("owner.transferred", {"old_owner_id": "leckie", "new_owner_id": "bob"}))
    group = await told.group()
    assert group is not None
    assert group["owner_id"] == "bob"
    assert {name: each["role"] for name, each in (await told.members()).items()} == {
        "bob": "owner",
        "leckie": "member",
    }


async def test_an_allowed_invitation_at_openim_is_assumed_until_it_is_confirmed(told: Told) -> None:
    asked = {"invitee_ids": ["bob", "jared"], "inviter_id": "leckie"}
    await told.that(("invite.decided", {**asked, "decision": {**DECISION, "sent": "allow"}}), source=OPENIM)
    members = await told.members()
    assert {name: (each["basis"], each["joined_by"]) for name, each in members.items()} == {
        "bob": ("assumed", "leckie"),
        "jared": ("assumed", "leckie"),
    }
    await told.that(("member.joined", people("bob")), source=OPENIM)
    await told.that(("invite.decided", {**asked, "decision": {**DECISION, "sent": "allow"}}), source=OPENIM)
    assert (await told.members())["bob"]["basis"] == "confirmed"
    await told.that(("member.left", people("bob", "jared")), source=OPENIM)
    assert await told.members() == {}


@pytest.mark.parametrize(
    ("source", "sent", "assumed"),
    [(OPENIM, "deny", []), (OPENIM, "refuse_members", ["bob"]), ("/im/tencent/1", "allow", [])],
)
async def test_nobody_is_assumed_to_join_who_was_refused_or_will_be_confirmed(
    told: Told, source: str, sent: str, assumed: list[str]
) -> None:
    answer = {**DECISION, "sent": sent}
    await told.that(("invite.decided", {"invitee_ids": ["bob", "jared"], "decision": answer}), source=source)
    assert list(await told.members()) == assumed
    assert (await told.group() is None) == (not assumed)


async def test_groups_of_one_id_at_two_providers_are_two_groups(told: Told) -> None:
    await told.that(("member.joined", people("bob")))
    await told.that(("member.joined", people("peter")), source=OPENIM)
    found = await group_with_members(told.store, "g1")
    assert [(each["provider"], each["members"][0]["user_id"]) for each in found] == [
        ("openim", "peter"),
        ("tencent", "bob"),
    ]
    assert len(await group_with_members(told.store, "g1", "openim", "openim")) == 1
    assert await group_with_members(told.store, "g1", "openim", "other") == []


async def test_the_first_of_two_values_for_one_key_in_one_event_counts_wherever_it_is_applied(
    told: Told,
) -> None:
    twice = {"custom_data": [{"key": "k", "value": "first"}, {"key": "k", "value": "second"}]}
    again = event("group.updated", {"group_id": "g1", **twice}, 1_700_000_000_000 << 16)
    for _ in range(2):
        await told.apply([again])
        group = await told.group()
        assert group is not None
        assert group["custom_data"] == {"k": "first"}


async def test_a_nul_in_free_text_is_replaced_alike_everywhere(told: Told) -> None:
    await told.that(("updated", {"name": "a\0b", "custom_data": [{"key": "k", "value": "\0"}]}))
    group = await told.group()
    assert group is not None
    assert (group["name"], group["custom_data"]) == ("a\ufffdb", {"k": "\ufffd"})


async def test_the_greatest_version_there_is_can_be_stored(told: Told) -> None:
    await told.apply([event("group.updated", {"group_id": "g1", "name": "Last"}, 2**63 - 1)])
    (row,) = await told.store.select(select(GROUPS))
    assert (row["name"], row["name_v"], row["name_e"], row["name_b"]) == ("Last", 2**63 - 1, "1e1", "vendor")


async def test_a_decision_is_one_row_however_often_it_comes(told: Told) -> None:
    asked = {
        "group_id": "g1",
        "group_type": "Public",
        "inviter_id": "leckie",
        "invitee_ids": ["jared", "bob"],
    }
    origin = {"command": "group.callbackbeforeinvitejoingroup"}
    data = {**asked, "decision": DECISION, "origin": origin}
    decided = event("group.invite.decided", data, 1_700_000_000_000 << 16, "d1")
    await told.apply([decided, decided])
    await told.apply([decided])
    (row,) = await recent_decisions(told.store, group_id="g1")
    assert row == {
        "provider": "tencent",
        "app": "1400000000",
        "decision_id": "d1",
        "type": "im.group.invite.decided.v1",
        "act": "invite",
        "command": "Group.CallbackBeforeInviteJoinGroup",
        "subject": "group/g1",
        "members": ["jared", "bob"],
        "decided_at": TIMES[0],
        "decided_ms": 1_700_000_000_000,
        **asked,
        "correlation_id": None,
        "wanted": "refuse_members",
        "sent": "refuse_members",
        "refused": ["jared"],
        "reason_text": "not you",
        "reason_code": 10150,
        "reason_rule": "no-jared",
        "rule_set": "default",
        "rule_set_version": 7,
        "rule_set_digest": "abc",
        "staleness_ms": 12,
        "rules": DECISION["rules"],
        "shadow": None,
        "facts": DECISION["facts"],
        "fallback": None,
        "elapsed_us": 40,
    }


async def test_a_decision_without_rules_has_its_fallback(told: Told) -> None:
    answer = {
        "wanted": "allow",
        "sent": "allow",
        "rule_set": None,
        "fallback": "no rules",
        "shadow": {"effect": "deny"},
    }
    await told.that(
        ("invite.decided", {"invitee_ids": ["bob"], "decision": answer}),
        ("invite.decided", {"invitee_ids": ["a"], "decision": answer}),
    )
    found = await recent_decisions(told.store, provider="tencent", app="1", limit=1)
    assert [
        (row["decision_id"], row["rule_set"], row["fallback"], row["shadow"], row["rules"], row["facts"])
        for row in found
    ] == [("e1", None, "no rules", {"effect": "deny"}, [], {})]
    assert len(await recent_decisions(told.store, decision_id="e0")) == 1


async def test_decisions_of_every_act_are_found_by_act_subject_and_group(told: Told) -> None:
    origin = {"command": "Group.CallbackBeforeSendMsg"}
    message = event(
        "message.send.decided", {"group_id": "g1", "origin": origin, "decision": DECISION}, 3 << 16, "d3"
    )._replace(subject="conversation/sg_g1")
    creation = event(
        "group.create.decided", {"members": [{"user_id": "ada"}], "decision": DECISION}, 2 << 16, "d2"
    )._replace(subject="user/ada")
    await told.apply([message, creation])
    await told.that(("invite.decided", {"invitee_ids": ["bob"], "decision": DECISION}))

    async def found(**asked: str) -> list[Any]:
        rows = await recent_decisions(told.store, limit=9, **asked)
        return [(row["act"], row["subject"], row["group_id"], row["members"]) for row in rows]

    invited = ("invite", "group/g1", "g1", ["bob"])
    sent: Any = ("send_message", "conversation/sg_g1", "g1", [])
    created = ("create_group", "user/ada", None, ["ada"])
    assert await found() == [invited, sent, created]
    assert await found(act="send_message") == [sent]
    assert await found(subject="user/ada") == [created]
    assert await found(group_id="g1") == [invited, sent]
    assert await found(act="create_group", group_id="g1") == []
    (row,) = await recent_decisions(told.store, act="send_message")
    assert (row["command"], row["inviter_id"], row["invitee_ids"]) == (origin["command"], None, [])
