"""The projection ``groups``: who is in which group, and what the group is called.

A group's dismissal clears everything older than it in one ``max()``; a member's departure clears what that
member had been there. What is current is worked out by the views, so nothing is ever deleted or counted up.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from bridge.errors import PoisonRecord
from consumers.projections import fields
from consumers.projections.fields import Data
from consumers.projections.registers import Key, Rank, Register, Stamp, Writes, stamp
from consumers.store.base import Effect
from consumers.store.tables import CUSTOM_DATA, GROUPS, MEMBERS
from schemas.envelope import Envelope
from schemas.topics import DECISION, GROUP

CREATED: Final = Register(GROUPS, "created", "created_at", "creator_id")
TYPE: Final = Register(GROUPS, "type", "type")
NAME: Final = Register(GROUPS, "name", "name")
OWNER: Final = Register(GROUPS, "owner", "owner_id")
AVATAR: Final = Register(GROUPS, "avatar", "avatar_url")
INTRODUCTION: Final = Register(GROUPS, "introduction", "introduction")
NOTIFICATION: Final = Register(GROUPS, "notification", "notification")
EXTENSION: Final = Register(GROUPS, "extension", "extension")
CLEARED: Final = Register(GROUPS, "cleared")
VALUE: Final = Register(CUSTOM_DATA, "value", "value")
JOINED: Final = Register(MEMBERS, "joined", "joined_at", "join_kind", "joined_by")
ASSUMED: Final = Register(MEMBERS, "assumed", "assumed_at", "assumed_by")
LEFT: Final = Register(MEMBERS, "left", "left_at", "left_kind", "left_by")
NICKNAME: Final = Register(MEMBERS, "nickname", "nickname")
MEMBER_AVATAR: Final = Register(MEMBERS, "avatar", "avatar_url")
ROLE: Final = Register(MEMBERS, "role", "role")
MEMBER_EXTENSION: Final = Register(MEMBERS, "extension", "extension")

REGISTERS: Final = (
    *(CREATED, TYPE, NAME, OWNER, AVATAR, INTRODUCTION, NOTIFICATION, EXTENSION, CLEARED, VALUE),
    *(JOINED, ASSUMED, LEFT, NICKNAME, MEMBER_AVATAR, ROLE, MEMBER_EXTENSION),
)
"""Every register of this projection, in the order in which they are written."""

UNCONFIRMED: Final = frozenset({"openim"})
"""Providers that never tell that an invited member joined: an allowed invitation is all there is to go by."""

_GROUP_FIELDS: Final = {
    "name": NAME,
    "avatar_url": AVATAR,
    "introduction": INTRODUCTION,
    "notification": NOTIFICATION,
    "extension": EXTENSION,
}
_MEMBER_FIELDS: Final = {
    "nickname": NICKNAME,
    "avatar_url": MEMBER_AVATAR,
    "role": ROLE,
    "extension": MEMBER_EXTENSION,
}


class GroupsProjection:
    """Keeps ``groups``, ``members`` and ``group_custom_data``."""

    name: Final = "groups"
    topics: Final[Sequence[str]] = (GROUP, DECISION)

    @property
    def types(self) -> Collection[str]:
        """The event types it applies."""
        return _APPLIED.keys()

    def effects(self, envelopes: Sequence[Envelope]) -> Sequence[Effect]:
        """Return the effects of a batch: at most one write for each register of each row."""
        writes = Writes()
        for envelope in envelopes:
            apply = _APPLIED.get(envelope.type)
            if apply is not None:
                apply(writes, envelope, _group(envelope))
        return writes.effects(REGISTERS)


def _group(envelope: Envelope) -> Key:
    return (*fields.app_of(envelope), fields.required_id(envelope.data, "group_id"))


def _created(writes: Writes, envelope: Envelope, group: Key) -> None:
    data, when = envelope.data, stamp(envelope, Rank.CREATED)
    owner = fields.optional_id(data, "owner_id")
    writes.put(CREATED, group, when, envelope.time, fields.optional_id(data, "operator_id"))
    writes.patch(TYPE, group, when, fields.text(data, "group_type"))
    writes.patch(OWNER, group, when, owner)
    _patch(writes, _GROUP_FIELDS, group, when, data)
    _put_custom_data(writes, group, when, data)
    if owner:
        writes.put(ROLE, (*group, owner), when, "owner")
    for user in _users(data) if owner is None else [owner, *_users(data)]:
        writes.put(JOINED, (*group, user), when, envelope.time, "created", None)


def _joined(writes: Writes, envelope: Envelope, group: Key) -> None:
    data, when = envelope.data, stamp(envelope, Rank.JOINED)
    kind, by = fields.text(data, "join_kind"), fields.optional_id(data, "operator_id")
    extension = fields.text(data, "extension")
    writes.make(GROUPS, group)
    writes.patch(TYPE, group, when, fields.text(data, "group_type"))
    writes.patch(EXTENSION, group, when, fields.text(data, "group_extension"))
    for user in _members(data):
        writes.put(JOINED, (*group, user), when, envelope.time, kind, by)
        writes.patch(MEMBER_EXTENSION, (*group, user), when, extension)


def _assumed(writes: Writes, envelope: Envelope, group: Key) -> None:
    """Assume that those whose invitation went ahead have joined, where nobody will ever confirm it."""
    if group[0] not in UNCONFIRMED:
        return
    data, when = envelope.data, stamp(envelope, Rank.JOINED)
    by = fields.optional_id(data, "inviter_id")
    admitted = _admitted(data)
    if admitted:
        writes.make(GROUPS, group)
    for user in admitted:
        writes.put(ASSUMED, (*group, user), when, envelope.time, by)


def _admitted(data: Data) -> Sequence[str]:
    decision, invitees = fields.required_object(data, "decision"), fields.ids(data, "invitee_ids")
    sent = fields.required_id(decision, "sent")
    if sent == "allow":
        return invitees
    refused = invitees if sent == "deny" else fields.ids(decision, "refused")
    return [user for user in invitees if user not in refused]


def _member_updated(writes: Writes, envelope: Envelope, group: Key) -> None:
    member = (*group, fields.required_id(envelope.data, "user_id"))
    writes.make(GROUPS, group)
    writes.make(MEMBERS, member)
    _patch(writes, _MEMBER_FIELDS, member, stamp(envelope, Rank.UPDATED), envelope.data)


def _departed(kind: str) -> Callable[[Writes, Envelope, Key], None]:
    def apply(writes: Writes, envelope: Envelope, group: Key) -> None:
        data, when = envelope.data, stamp(envelope, Rank.LEFT)
        by = fields.optional_id(data, "operator_id")
        writes.make(GROUPS, group)
        for user in _members(data):
            writes.put(LEFT, (*group, user), when, envelope.time, kind, by)

    return apply


def _dismissed(writes: Writes, envelope: Envelope, group: Key) -> None:
    writes.put(CLEARED, group, stamp(envelope, Rank.DISMISSED))


def _group_updated(writes: Writes, envelope: Envelope, group: Key) -> None:
    data, when = envelope.data, stamp(envelope, Rank.UPDATED)
    writes.make(GROUPS, group)
    writes.patch(TYPE, group, when, fields.text(data, "group_type"))
    _patch(writes, _GROUP_FIELDS, group, when, data)
    _put_custom_data(writes, group, when, data)


def _owner_transferred(writes: Writes, envelope: Envelope, group: Key) -> None:
    data, when = envelope.data, stamp(envelope, Rank.TRANSFERRED)
    new, old = fields.required_id(data, "new_owner_id"), fields.optional_id(data, "old_owner_id")
    writes.put(OWNER, group, when, new)
    writes.put(ROLE, (*group, new), when, "owner")
    if old is not None and old != new:
        writes.put(ROLE, (*group, old), when, "member")


def _members(data: Data) -> Sequence[str]:
    users = _users(data)
    if not users:
        raise PoisonRecord("members is missing or empty")
    return users


def _users(data: Data) -> Sequence[str]:
    return [fields.required_id(member, "user_id") for member in fields.objects(data, "members")]


def _patch(writes: Writes, registers: Mapping[str, Register], key: Key, when: Stamp, data: Data) -> None:
    for name, register in registers.items():
        writes.patch(register, key, when, fields.text(data, name))


def _put_custom_data(writes: Writes, group: Key, when: Stamp, data: Data) -> None:
    for item in fields.objects(data, "custom_data"):
        writes.put(VALUE, (*group, fields.required_id(item, "key")), when, fields.text(item, "value"))


_APPLIED: Final[Mapping[str, Callable[[Writes, Envelope, Key], None]]] = {
    "im.group.created.v1": _created,
    "im.group.dismissed.v1": _dismissed,
    "im.group.updated.v1": _group_updated,
    "im.group.owner.transferred.v1": _owner_transferred,
    "im.group.member.joined.v1": _joined,
    "im.group.member.updated.v1": _member_updated,
    "im.group.member.left.v1": _departed("left"),
    "im.group.member.kicked.v1": _departed("kicked"),
    "im.group.invite.decided.v1": _assumed,
}
