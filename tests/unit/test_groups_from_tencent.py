"""The tables of groups follow Tencent's own callbacks, from the request to the row."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from consumers.projections.groups import GroupsProjection
from consumers.projections.reading import group_with_members
from consumers.store.base import Store
from tests.consuming import commit, key, opened
from tests.samples import CATALOG, MOMENT, receive

START_MS = 1_761_000_000_000


class Community:
    """One group whose callbacks arrive a second apart and are applied at once."""

    def __init__(self, store: Store) -> None:
        self.store, self.count = store, 0

    async def hears(self, command: str, **body: Any) -> None:
        self.count += 1
        told = {"GroupId": "g1", "Type": "Public", "EventTime": START_MS + 1000 * self.count, **body}
        target = f"/?SdkAppid=1400000000&CallbackCommand=Group.{command}"
        made = receive(target, {}, orjson.dumps(told), MOMENT + self.count)
        spec = CATALOG.find("tencent", made.command)
        assert spec is not None
        effects = GroupsProjection().effects(spec.normalize(made))
        await commit(self.store, await self.store.claim(key(), "test"), self.count, effects)

    async def group(self) -> dict[str, Any] | None:
        found = await group_with_members(self.store, "g1")
        return found[0] if found else None

    async def roles(self) -> dict[str, str | None]:
        """Return the role of everybody in the group."""
        group = await self.group()
        return {member["user_id"]: member["role"] for member in group["members"]} if group else {}


@pytest.fixture
async def community(tmp_path: Path) -> AsyncIterator[Community]:
    store = await opened(f"sqlite:///{tmp_path / 'store.db'}")
    yield Community(store)
    await store.close()


def people(*users: str) -> list[dict[str, str]]:
    return [{"Member_Account": user} for user in users]


async def begun(community: Community) -> None:
    await community.hears(
        "CallbackAfterCreateGroup", Name="Rowers", Owner_Account="ada", MemberList=people("bo")
    )
    await community.hears("CallbackAfterNewMemberJoin", JoinType="Invited", NewMemberList=people("cy", "dee"))


async def test_whoever_leaves_or_is_removed_is_gone(community: Community) -> None:
    await begun(community)
    assert set(await community.roles()) == {"ada", "bo", "cy", "dee"}
    await community.hears("CallbackAfterMemberExit", ExitType="Quit", ExitMemberList=people("cy"))
    await community.hears(
        "CallbackAfterMemberExit", ExitType="Kicked", Operator_Account="ada", ExitMemberList=people("dee")
    )
    assert set(await community.roles()) == {"ada", "bo"}


async def test_what_changes_about_a_group_is_kept_and_the_rest_stays(community: Community) -> None:
    await begun(community)
    await community.hears("CallbackAfterGroupInfoChanged", Notification="Boats leave at 8", FaceUrl="")
    group = await community.group()
    assert group is not None
    assert (group["name"], group["notification"], group["avatar_url"]) == ("Rowers", "Boats leave at 8", "")


async def test_roles_and_the_owner_follow(community: Community) -> None:
    await begun(community)
    await community.hears(
        "CallbackAfterMemberFieldChanged", Modified_Account="cy", Role="Admin", NameCard="Cox"
    )
    await community.hears("CallbackAfterChangeGroupOwner", OldOwner_Account="ada", NewOwner_Account="bo")
    roles, group = await community.roles(), await community.group()
    assert group is not None
    assert (roles["ada"], roles["bo"], roles["cy"]) == ("member", "owner", "admin")
    assert group["owner_id"] == "bo"


async def test_a_dismissed_group_is_empty_until_it_is_created_again(community: Community) -> None:
    await begun(community)
    await community.hears("CallbackAfterGroupDestroyed", MemberList=people("ada", "bo"))
    assert await community.roles() == {}
    await community.hears("CallbackAfterCreateGroup", Owner_Account="zoe")
    assert await community.roles() == {"zoe": "owner"}


async def test_what_the_tables_do_not_hold_leaves_them_alone(community: Community) -> None:
    await begun(community)
    before = await community.group()
    await community.hears("CallbackAfterGroupFull")
    await community.hears("CallbackAfterGroupAttrChanged", GroupAttr=[{"key": "k", "value": "v"}])
    await community.hears("CallbackOnMemberStateChange", EventType="Offline", MemberList=people("bo"))
    await community.hears("CallbackAfterCreateTopic", TopicId="t")
    await community.hears("CallbackOnDailyGroupQuotaAlarm", QuotaUsed=1, Quota=2)
    assert await community.group() == before
