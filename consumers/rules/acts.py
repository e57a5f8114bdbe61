"""What rules can be about: one row per act, with its facts; what its callbacks can say and be told.

Adding an act (``join``, ``create_group``, ``send_message``) is one row in ``_DECLARED``: which commands ask,
which codes they take and which facts they carry is read from the catalog.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final, Literal, NamedTuple

from schemas.callback import Callback
from schemas.catalog import Catalog
from schemas.catalog_rows import Row
from schemas.decisions import Question

PROVIDERS: Final = ("tencent", "openim")
Value = str | int | float
Values = Mapping[str, Value | None]
"""Every fact about one request with its value, None where the provider did not say."""


class Fact(NamedTuple):
    """One thing a rule can look at. ``get`` is None for a fact about one member.

    ``field`` is the normalized field it is read from, if it is; ``silent`` names the providers that never
    say it.
    """

    name: str
    kind: Literal["text", "number"]
    get: Callable[[Question], Any] | None
    field: str | None = None
    silent: frozenset[str] = frozenset()


class Act(NamedTuple):
    """One thing about to happen. ``refusal`` is the reason told where a rule gives none.

    Per provider: ``commands`` are the callbacks that ask, ``codes`` what a refusal of each may carry, and
    ``partial`` says whether some members can be refused.
    """

    name: str
    refusal: str
    facts: Mapping[str, Fact]
    commands: Mapping[str, Sequence[str]]
    codes: Mapping[str, Sequence[range]]
    partial: Mapping[str, bool]

    def values(self, question: Question) -> dict[str, Value | None]:
        """Return every request fact of the question; empty text counts as not said."""
        return {fact.name: fact.get(question) for fact in self.facts.values() if fact.get}


def _text(fetch: Callable[[Question], Any]) -> Callable[[Question], str | None]:
    def get(question: Question) -> str | None:
        value = fetch(question)
        return value if isinstance(value, str) and value else None

    return get


def _data(name: str, field: str) -> Fact:
    return Fact(name, "text", _text(lambda question: question.data.get(field)), field)


def _query(name: str, parameter: str) -> Fact:
    only_tencent = frozenset(PROVIDERS) - {"tencent"}
    get = _text(lambda question: question.callback.query.get(parameter))
    return Fact(name, "text", get, silent=only_tencent)


_REQUEST: Final = (
    Fact("request.provider", "text", lambda question: question.callback.provider),
    Fact("request.app", "text", lambda question: question.callback.app),
    Fact("request.command", "text", lambda question: question.callback.command),
    Fact("request.operation_id", "text", _text(lambda question: question.callback.operation_id)),
    _query("request.platform", "OptPlatform"),
    _query("request.client_ip", "ClientIP"),
)
_GROUP: Final = (_data("group.id", "group_id"), _data("group.type", "group_type"))
_MEMBERS: Final = (
    Fact("request.member_count", "number", lambda question: len(question.members)),
    Fact("invitee.id", "text", None),
)
_DECLARED: Final = (
    (
        "invite",
        "This invitation is not allowed.",
        (*_REQUEST, *_GROUP, *_MEMBERS, _data("inviter.id", "inviter_id"), _data("request.reason", "reason")),
    ),
)


@cache
def known_acts() -> Mapping[str, Act]:
    """Return every act rules can be about, by name; the catalog is read the first time."""
    rows = [spec.row for spec in Catalog.load()]
    return {
        name: _act(name, refusal, facts, [row for row in rows if row.act == name])
        for name, refusal, facts in _DECLARED
    }


def _act(name: str, refusal: str, facts: Sequence[Fact], rows: Sequence[Row]) -> Act:
    asking = {provider: [row for row in rows if row.provider == provider] for provider in PROVIDERS}
    return Act(
        name=name,
        refusal=refusal,
        facts={fact.name: _heard(fact, asking) for fact in facts},
        commands={provider: [row.name for row in some] for provider, some in asking.items()},
        codes={
            provider: [range(row.answers.codes[0], row.answers.codes[1] + 1) for row in some if row.answers]
            for provider, some in asking.items()
        },
        partial={
            provider: bool(some) and all(row.answers and row.answers.partial() for row in some)
            for provider, some in asking.items()
        },
    )


def _heard(fact: Fact, asking: Mapping[str, Sequence[Row]]) -> Fact:
    """Return the fact with the providers none of whose callbacks carry its field."""
    if fact.field is None:
        return fact
    carrying = {
        provider
        for provider, rows in asking.items()
        if any(field.name == fact.field for row in rows for field in row.fields)
    }
    return fact._replace(silent=frozenset(PROVIDERS) - carrying)


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
        "reason": request.get("reason"),
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
            command=request.get("command", next(iter(act.commands.get(provider, ())), act.name)),
            query={name: value for name, value in query.items() if value is not None},
            operation_id=request.get("operation_id"),
            body=b"",
            json={},
            moment=0,
        ),
    )
