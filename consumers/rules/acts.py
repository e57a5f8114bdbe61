"""What rules can be about: one row per act, with its facts and the providers' codes.

Adding an act (``join``, ``create_group``, ``send_message``) is one row here.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple

from schemas.callback import Callback
from schemas.decisions import Question

PROVIDERS: Final = ("tencent", "openim")
Value = str | int | float
Values = Mapping[str, Value | None]
"""Every fact about one request with its value, None where the provider did not say."""


class Fact(NamedTuple):
    """One thing a rule can look at. ``get`` is None for a fact about one member.

    ``silent`` names the providers that never say it.
    """

    name: str
    kind: Literal["text", "number"]
    get: Callable[[Question], Any] | None
    silent: frozenset[str] = frozenset()


class Act(NamedTuple):
    """One thing about to happen. ``refusal`` is the reason told where a rule gives none.

    ``commands``, ``codes`` and ``partial`` are per provider: the callback that asks, the codes a refusal
    may carry, and whether some members can be refused.
    """

    name: str
    refusal: str
    facts: Mapping[str, Fact]
    commands: Mapping[str, str]
    codes: Mapping[str, range]
    partial: Mapping[str, bool]

    def values(self, question: Question) -> dict[str, Value | None]:
        """Return every request fact of the question; empty text counts as not said."""
        return {fact.name: fact.get(question) for fact in self.facts.values() if fact.get}


def _text(fetch: Callable[[Question], Any]) -> Callable[[Question], str | None]:
    def get(question: Question) -> str | None:
        value = fetch(question)
        return value if isinstance(value, str) and value else None

    return get


def _data(name: str, field: str, silent: frozenset[str] = frozenset()) -> Fact:
    return Fact(name, "text", _text(lambda question: question.data.get(field)), silent)


def _query(name: str, parameter: str) -> Fact:
    return Fact(
        name, "text", _text(lambda question: question.callback.query.get(parameter)), frozenset({"openim"})
    )


_REQUEST: Final = (
    Fact("request.provider", "text", lambda question: question.callback.provider),
    Fact("request.app", "text", lambda question: question.callback.app),
    Fact("request.command", "text", lambda question: question.callback.command),
    Fact("request.operation_id", "text", _text(lambda question: question.callback.operation_id)),
    _query("request.platform", "OptPlatform"),
    _query("request.client_ip", "ClientIP"),
)
_INVITE: Final = (
    *_REQUEST,
    Fact("request.member_count", "number", lambda question: len(question.members)),
    _data("group.id", "group_id"),
    _data("group.type", "group_type", silent=frozenset({"openim"})),
    _data("inviter.id", "inviter_id", silent=frozenset({"openim"})),
    Fact("invitee.id", "text", None),
)

ACTS: Final[Mapping[str, Act]] = {
    act.name: act
    for act in (
        Act(
            name="invite",
            refusal="This invitation is not allowed.",
            facts={fact.name: fact for fact in _INVITE},
            commands={
                "tencent": "Group.CallbackBeforeInviteJoinGroup",
                "openim": "callbackBeforeInviteJoinGroupCommand",
            },
            # https://www.tencentcloud.com/document/product/1047/34371
            # https://docs.openim.io/zh/platform-api/error-codes
            codes={"tencent": range(10100, 10201), "openim": range(20001, 30000)},
            # OpenIM documents refusedMembersAccount; open-im-server internal/rpc/group/callback.go ignores it
            partial={"tencent": True, "openim": False},
        ),
    )
}


def ask(act: Act, given: Mapping[str, Any], default_provider: str) -> Question:
    """Return the question a rule's test describes, as the catalog would make it from a real callback."""
    request = given.get("request", {})
    provider = request.get("provider", default_provider)
    group, invitees = given.get("group", {}), tuple(given.get("invitees", ()))
    said = {
        "group_id": group.get("id"),
        "group_type": group.get("type"),
        "inviter_id": given.get("inviter", {}).get("id"),
        "invitee_ids": list(invitees),
    }
    query = {"OptPlatform": request.get("platform"), "ClientIP": request.get("client_ip")}
    return Question(
        act=act.name,
        subject=f"group/{group.get('id', '')}",
        partitionkey=group.get("id", ""),
        data={name: value for name, value in said.items() if value is not None},
        members=invitees,
        partial=act.partial.get(provider, False),
        callback=Callback(
            provider=provider,
            app=request.get("app", "test"),
            command=request.get("command", act.commands.get(provider, act.name)),
            query={name: value for name, value in query.items() if value is not None},
            operation_id=request.get("operation_id"),
            body=b"",
            json={},
            moment=0,
        ),
    )
