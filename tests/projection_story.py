"""What the tables must hold, told without SQL: the events in order of (version, rank, id), one after another.

``tables`` keeps, for each group of columns, the last thing written to it. ``current`` tells the story itself:
people come and go, a dismissed group is empty, whoever left has left everything behind.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from schemas.envelope import Envelope

RANKS = {
    "created": 0,
    "updated": 1,
    "member.updated": 1,
    "owner.transferred": 2,
    "member.joined": 3,
    "invite.decided": 3,
    "member.left": 4,
    "member.kicked": 4,
    "dismissed": 5,
}
GROUP_TEXTS = ("name", "avatar_url", "introduction", "notification", "extension")
MEMBER_TEXTS = ("nickname", "avatar_url", "role", "extension")
Key = tuple[str, ...]
Rows = dict[Key, dict[str, Any]]


def kind_of(event: Envelope) -> str:
    """Return what happened to the group, without prefix and version."""
    return event.type.removeprefix("im.group.").removesuffix(".v1")


def version_of(event: Envelope) -> int:
    """Return the version as a number."""
    return int(event.sequence, 16)


def group_of(event: Envelope) -> Key:
    """Return provider, app and group."""
    return (*event.source.split("/")[2:], event.data["group_id"])


def in_order(events: Iterable[Envelope]) -> list[Envelope]:
    """Return the events about groups in the one order that counts, repeats left out."""
    once = {event.id: event for event in events if kind_of(event) in RANKS}.values()
    return sorted(once, key=lambda event: (version_of(event), RANKS[kind_of(event)], event.id))


def named(event: Envelope) -> list[str]:
    """Return whom the list of members names."""
    return [each["user_id"] for each in event.data["members"]]


def founders(event: Envelope) -> list[str]:
    """Return who is in a group from its creation on: its owner as well."""
    owner = event.data.get("owner_id")
    return [*([owner] if owner else []), *named(event)]


def admitted(event: Envelope) -> list[str]:
    """Return who may be assumed to have joined: nobody ever confirms it at OpenIM."""
    answer = event.data["decision"]
    if not event.source.startswith("/im/openim/") or answer["sent"] == "deny":
        return []
    out = answer["refused"] if answer["sent"] == "refuse_members" else []
    return [user for user in event.data["invitee_ids"] if user not in out]


def texts(event: Envelope, names: Iterable[str]) -> dict[str, str]:
    """Return those of the fields that the event has."""
    return {name: event.data[name] for name in names if name in event.data}


def custom(event: Envelope) -> dict[str, str]:
    """Return the custom data that the event has."""
    return {item["key"]: item["value"] for item in event.data.get("custom_data", ())}


def tables(events: Iterable[Envelope]) -> dict[str, Rows]:
    """Return the columns ever written of every row, by table and key."""
    found: dict[str, Rows] = {name: defaultdict(dict) for name in ("groups", "members", "group_custom_data")}
    for event in in_order(events):
        if kind_of(event) != "invite.decided" or admitted(event):
            found["groups"].setdefault(group_of(event), {})
            getattr(_Page(found, event), kind_of(event).replace(".", "_"))()
    return {name: dict(rows) for name, rows in found.items()}


class _Page:
    """What one event writes."""

    def __init__(self, found: dict[str, Rows], event: Envelope) -> None:
        self.found, self.event, self.data, self.group = found, event, event.data, group_of(event)
        rank = RANKS[kind_of(event)]
        self.stamp = (version_of(event), f"{rank}{event.id}", event.timebasis or "vendor")

    def put(self, table: str, key: Key, register: str, **columns: Any) -> None:
        stamps = {f"{register}_{part}": each for part, each in zip("veb", self.stamp, strict=True)}
        self.found[table][key].update(columns, **stamps)

    def put_group(self, register: str, **columns: Any) -> None:
        self.put("groups", self.group, register, **columns)

    def put_member(self, user: str, register: str, **columns: Any) -> None:
        self.put("members", (*self.group, user), register, **columns)

    def type(self) -> None:
        for name in texts(self.event, ["group_type"]).values():
            self.put_group("type", type=name)

    def created(self) -> None:
        self.updated()
        self.put_group("created", created_at=self.event.time, creator_id=self.data.get("operator_id"))
        for user in founders(self.event):
            self.put_member(user, "joined", joined_at=self.event.time, join_kind="created", joined_by=None)
        if "owner_id" in self.data:
            self.put_group("owner", owner_id=self.data["owner_id"])
            self.put_member(self.data["owner_id"], "role", role="owner")

    def updated(self) -> None:
        self.type()
        for name, value in texts(self.event, GROUP_TEXTS).items():
            self.put_group(name.removesuffix("_url"), **{name: value})
        for name, value in custom(self.event).items():
            self.put("group_custom_data", (*self.group, name), "value", value=value)

    def dismissed(self) -> None:
        self.found["groups"][self.group]["cleared_v"] = version_of(self.event)

    def owner_transferred(self) -> None:
        self.put_group("owner", owner_id=self.data["new_owner_id"])
        if "old_owner_id" in self.data:
            self.put_member(self.data["old_owner_id"], "role", role="member")
        self.put_member(self.data["new_owner_id"], "role", role="owner")

    def member_joined(self) -> None:
        self.type()
        if "group_extension" in self.data:
            self.put_group("extension", extension=self.data["group_extension"])
        how = {"join_kind": self.data.get("join_kind"), "joined_by": self.data.get("operator_id")}
        for user in named(self.event):
            self.put_member(user, "joined", joined_at=self.event.time, **how)
            for value in texts(self.event, ["extension"]).values():
                self.put_member(user, "extension", extension=value)

    def member_updated(self) -> None:
        self.found["members"].setdefault((*self.group, self.data["user_id"]), {})
        for name, value in texts(self.event, MEMBER_TEXTS).items():
            self.put_member(self.data["user_id"], name.removesuffix("_url"), **{name: value})

    def member_left(self, kind: str = "left") -> None:
        for user in named(self.event):
            by = self.data.get("operator_id")
            self.put_member(user, "left", left_at=self.event.time, left_kind=kind, left_by=by)

    def member_kicked(self) -> None:
        self.member_left("kicked")

    def invite_decided(self) -> None:
        for user in admitted(self.event):
            by = self.data.get("inviter_id")
            self.put_member(user, "assumed", assumed_at=self.event.time, assumed_by=by)


def current(events: Iterable[Envelope]) -> dict[Key, "Group"]:
    """Return every group that exists, by its key."""
    groups: dict[Key, Group] = defaultdict(Group)
    for event in in_order(events):
        if kind_of(event) != "invite.decided" or admitted(event):
            groups[group_of(event)].happen(event)
    return {key: group for key, group in groups.items() if group.is_current()}


class Group:
    """One group as people would tell of it."""

    def __init__(self) -> None:
        self.about: dict[str, Any] = {}
        self.custom: dict[str, str] = {}
        self.confirmed: dict[str, dict[str, Any]] = {}
        self.assumed: dict[str, dict[str, Any]] = {}
        self.infos: dict[str, dict[str, Any]] = defaultdict(dict)
        self.complete = False
        self.over = False

    def is_current(self) -> bool:
        """Return whether there is such a group now: a dismissed one is back once somebody is in it."""
        return not self.over or self.complete or bool(self.confirmed or self.assumed)

    def members(self) -> dict[str, dict[str, Any]]:
        """Return who is in it, and what is known of them."""
        present = {**self.assumed, **self.confirmed}
        empty = {"nickname": None, "avatar_url": None, "role": "member", "extension": None}
        return {user: {**empty, **self.infos[user], **joined} for user, joined in present.items()}

    def happen(self, event: Envelope) -> None:
        """Let the next thing happen."""
        self.event, self.data = event, event.data
        getattr(self, kind_of(event).replace(".", "_"))()

    def join(self, user: str, basis: str, kind: str | None, by: str | None) -> None:
        when = {"joined_at": self.event.time, "joined_ms": version_of(self.event) >> 16}
        people = self.confirmed if basis == "confirmed" else self.assumed
        people[user] = {**when, "basis": basis, "join_kind": kind, "joined_by": by}

    def own(self, user: str) -> None:
        self.about["owner_id"] = user
        self.infos[user]["role"] = "owner"

    def created(self) -> None:
        self.complete = True
        when = {"created_at": self.event.time, "created_ms": version_of(self.event) >> 16}
        self.about |= {**when, "creator_id": self.data.get("operator_id")}
        self.updated()
        for user in founders(self.event):
            self.join(user, "confirmed", "created", None)
        if "owner_id" in self.data:
            self.own(self.data["owner_id"])

    def updated(self) -> None:
        self.about |= texts(self.event, GROUP_TEXTS)
        self.custom |= custom(self.event)
        if "group_type" in self.data:
            self.about["type"] = self.data["group_type"]

    def dismissed(self) -> None:
        for kept in (self.about, self.custom, self.confirmed, self.assumed, self.infos):
            kept.clear()
        self.complete, self.over = False, True

    def owner_transferred(self) -> None:
        if "old_owner_id" in self.data:
            self.infos[self.data["old_owner_id"]]["role"] = "member"
        self.own(self.data["new_owner_id"])

    def member_joined(self) -> None:
        known = {"type": self.data.get("group_type"), "extension": self.data.get("group_extension")}
        self.about |= {name: value for name, value in known.items() if value is not None}
        for user in named(self.event):
            self.join(user, "confirmed", self.data.get("join_kind"), self.data.get("operator_id"))
            self.infos[user] |= texts(self.event, ["extension"])

    def member_updated(self) -> None:
        self.infos[self.data["user_id"]] |= texts(self.event, MEMBER_TEXTS)

    def member_left(self) -> None:
        for user in named(self.event):
            for kept in (self.confirmed, self.assumed, self.infos):
                kept.pop(user, None)

    def member_kicked(self) -> None:
        self.member_left()

    def invite_decided(self) -> None:
        for user in admitted(self.event):
            self.join(user, "assumed", "invited", self.data.get("inviter_id"))
