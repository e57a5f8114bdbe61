"""Bodies made from the catalog's samples: what is an id, a time or a number there, is filled in anew.

A template is the sample cut into literal bytes and slots. Equal values of a sample share a slot, so that what
names one user, group or message in the sample names one in the body.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from bridge.simulate.markers import FIELD

Slots = Mapping[str, str]
"""What stands in each slot, as text that needs no escaping; missing ones are made when asked for."""

USER: Final = "user:"
_SLOT: Final = re.compile(rb'"\\u0001([^"\\]+)\\u0001"|\\u0002([^"\\]+)\\u0002')
_OPENIM_USER: Final = re.compile(
    r"\w*user_?ids?|\w*useridlist|atuserlist|(?:apply|owner|receive|recv|send|members)id", re.IGNORECASE
)
_TENCENT_GROUPS: Final = frozenset({"GroupId", "GroupID", "groupID", "ToGroupId"})
_OPENIM_GROUPS: Final = frozenset({"groupID", "groupId", "group_id"})
_KEY_PARTS: Final = 3
_NOT_PEOPLE: Final = ("@RBT#", "@TOA#")


class Template(NamedTuple):
    """A sample, cut: ``literals`` with one of ``slots`` between each two. ``users`` are the sample's own."""

    literals: tuple[bytes, ...]
    slots: tuple[str, ...]
    users: tuple[str, ...]

    def render(self, values: Slots) -> bytes:
        """Return the body with these values in its slots."""
        parts = [self.literals[0]]
        for slot, literal in zip(self.slots, self.literals[1:], strict=True):
            parts.append(values[slot].encode())
            parts.append(literal)
        return b"".join(parts)


def compile_template(
    provider: str,
    sample: Mapping[str, Any],
    time_keys: Mapping[str, str] | None = None,
    *,
    marked: bool = False,
) -> Template:
    """Return the template of a sample. ``time_keys`` are keys that hold times, with their unit.

    One that is ``marked`` has a field for the marker, as its last.
    """
    finder, times = _FINDERS[provider], time_keys or {}
    slotted = _slotted(sample, "", lambda key, value: _time(key, value, times) or finder(key, value))
    return _cut(orjson.dumps({**slotted, FIELD: text("marker")} if marked else slotted))


def text(*slots: str) -> str:
    """Return a sample's text that is made of these slots alone."""
    return "".join(f"\x02{slot}\x02" for slot in slots)


def number(slot: str) -> str:
    """Return what stands in a sample for a number in this slot."""
    return f"\x01{slot}\x01"


def _cut(written: bytes) -> Template:
    literals, slots, end = [], [], 0
    for found in _SLOT.finditer(written):
        literals.append(written[end : found.start()])
        slots.append((found[1] or found[2]).decode())
        end = found.end()
    literals.append(written[end:])
    users = dict.fromkeys(user for slot in slots for user in _users_of(slot))
    return Template(tuple(literals), tuple(slots), tuple(users))


def _users_of(slot: str) -> list[str]:
    kind, _, example = slot.partition(":")
    return example.split("+") if kind in ("user", "pair") else []


def _slotted(value: Any, key: str, find: Callable[[str, Any], str | None]) -> Any:
    if isinstance(value, Mapping):
        return {name: _slotted(inner, name, find) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_slotted(inner, key, find) for inner in value]
    if value in ("", 0, None) or isinstance(value, bool):
        return value
    found = find(key, value)
    return value if found is None else found


def _time(key: str, value: Any, units: Mapping[str, str]) -> str | None:
    unit = units.get(key)
    if unit is None:
        return None
    return text(unit) if isinstance(value, str) else number(unit)


def _tencent(key: str, value: Any) -> str | None:
    if key in _TENCENT_GROUPS:
        return text("group")
    if key in ("TopicId", "TopicIdList"):
        return text("group") + "@TOPIC#main"
    if key == "Official_Account":
        return "@TOA#_" + text("group")
    if key.endswith("_Account"):
        return None if str(value).startswith(_NOT_PEOPLE) else text(USER + str(value))
    return _TENCENT_KEYS[key](value) if key in _TENCENT_KEYS else None


def _message_key(value: Any) -> str:
    """Return a message key of Tencent's: its sequence number, random number and second."""
    parts = str(value).split("_")
    if len(parts) != _KEY_PARTS:
        return text(f"fresh:{value}")
    return f"{text(f'seq:{parts[0]}')}_{text(f'random:{parts[1]}')}_{text('s')}"


_TENCENT_KEYS: Final[Mapping[str, Callable[[Any], str]]] = {
    "MsgKey": _message_key,
    "MsgID": _message_key,
    "MsgId": lambda value: text(f"fresh:{value}"),
    "CtxcbRequestId": lambda value: text(f"fresh:{value}"),
    "TaskId": lambda value: text(f"fresh:{value}"),
    "MsgSeq": lambda value: number(f"seq:{value}"),
    "Seq": lambda value: number(f"seq:{value}"),
    "QuotaUsed": lambda _: number("count"),
    "MsgRandom": lambda value: number(f"random:{value}"),
    "Random": lambda value: number(f"random:{value}"),
    "EventTime": lambda value: text("ms") if isinstance(value, str) else number("ms"),
    "MsgTime": lambda _: number("s"),
    "LastReadTime": lambda _: number("s"),
    "TaskTime": lambda _: number("s"),
    "SdkAppId": lambda _: number("app"),
}


def _openim(key: str, value: Any) -> str | None:
    if key in _OPENIM_GROUPS:
        return text("group")
    if key in ("conversationID", "conversationId", "conversation_id"):
        return _conversation(str(value))
    if _OPENIM_USER.fullmatch(key):
        return text(USER + str(value))
    return _OPENIM_KEYS[key](value) if key in _OPENIM_KEYS else None


def _conversation(value: str) -> str:
    """Return a conversation's id: that of a group, or of two users in the order of their ids."""
    if value.startswith("sg_"):
        return "sg_" + text("group")
    first, _, second = value.removeprefix("si_").rpartition("_u_")
    return "si_" + text(f"pair:{first}+u_{second}")


_OPENIM_KEYS: Final[Mapping[str, Callable[[Any], str]]] = {
    "serverMsgID": lambda value: text(f"fresh:{value}"),
    "clientMsgID": lambda value: text(f"fresh:{value}"),
    "operationID": lambda _: text("op"),
    "sendTime": lambda _: number("ms"),
    "createTime": lambda _: number("ms"),
    "seq": lambda value: number(f"seq:{value}"),
    "Seqs": lambda value: number(f"seq:{value}"),
    "unreadMsgNum": lambda value: number(f"seq:{value}"),
}
_FINDERS: Final[Mapping[str, Callable[[str, Any], str | None]]] = {"tencent": _tencent, "openim": _openim}
