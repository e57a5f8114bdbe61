"""Every answer to every question is read as it was meant, by readers that know the vendors alone."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.providers.base import AuthenticRequest, Provider
from bridge.providers.openim import OpenIMProvider
from bridge.providers.tencent import TencentProvider
from schemas.catalog import CommandSpec, Misfit
from schemas.catalog_rows import Answers
from schemas.decisions import Decision, Effect, Question
from schemas.dialects import openim, tencent
from schemas.dialects.readings import Fault, Reading
from tests.samples import CATALOG

PROVIDERS: dict[str, Provider] = {"tencent": TencentProvider(), "openim": OpenIMProvider()}
READS = {"tencent": tencent.read_answer, "openim": openim.read_answer}
BEFORE = [spec for spec in CATALOG if spec.phase == "before"]
EACH = pytest.mark.parametrize("spec", BEFORE, ids=lambda spec: spec.name)
SOME = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))

ASKED_ONLY = {"callbackBeforeUpdateUserInfoExCommand"}
"""Those that can change only what the question holds."""

ROLES = {"member": 20, "admin": 60, "owner": 100}
TEXT = st.text(max_size=12) | st.sampled_from(["\x00\x1b[31m\u202e", "ё" * 3000, '"}\n', "😀"])
ELEMENT = st.builds(
    lambda kind, text: {"kind": "text", "vendor_kind": kind, "body": {"content": text}},
    st.sampled_from(["TIMTextElem", "101", "x"]),
    TEXT,
)
CHANGES: dict[str, st.SearchStrategy[Any]] = {
    "content": st.lists(ELEMENT, min_size=1, max_size=1),
    "role": st.sampled_from(sorted(ROLES)),
    "pinned": st.booleans(),
    "private": st.booleans(),
    "burn_duration": st.integers(-(2**31), 2**31 - 1),
    "mention_kind": st.integers(0, 3),
    "mentioned_ids": st.lists(TEXT, min_size=1, max_size=3),
    "user_ids": st.lists(TEXT, min_size=1, max_size=3),
    "members": st.lists(
        st.fixed_dictionaries(
            {"user_id": st.sampled_from(["ada", "bo"])}, optional={"nickname": TEXT, "extension": TEXT}
        ),
        min_size=1,
        max_size=2,
    ),
}


def likely(value: Any) -> st.SearchStrategy[Any]:
    """Return values of the same shape as this one of an example."""
    if isinstance(value, bool):
        return st.booleans()
    if isinstance(value, int):
        return st.just(value) | st.integers(0, 2**31 - 1)
    if isinstance(value, str):
        return st.just(value) | TEXT
    if isinstance(value, list):
        return st.lists(st.one_of([likely(one) for one in value]), max_size=3) if value else st.just([])
    if isinstance(value, dict):
        return st.fixed_dictionaries(
            {}, optional={key: likely(one) for key, one in value.items()}
        ) | st.fixed_dictionaries({key: likely(one) for key, one in value.items()})
    return st.just(value)


def bodies(spec: CommandSpec) -> st.SearchStrategy[dict[str, Any]]:
    """Return question bodies: the row's example with other values, some fields missing or null."""
    example = dict(spec.row.example)
    changed = st.fixed_dictionaries({key: st.just(one) | likely(one) for key, one in example.items()})
    gone = st.sets(st.sampled_from(sorted(example)), max_size=2)
    blank = st.sets(st.sampled_from(sorted(example)), max_size=2)
    return st.builds(
        lambda body, gone, blank: {
            key: None if key in blank else value for key, value in body.items() if key not in gone
        },
        changed,
        st.just(set()) | gone,
        st.just(set()) | blank,
    )


def effects(answers: Answers, members: tuple[str, ...]) -> st.SearchStrategy[Effect]:
    """Return every effect the row has words for, and those it has not."""
    kinds = [st.sampled_from([Effect("allow"), Effect("deny"), Effect("drop")])]
    if members:
        some = st.lists(st.sampled_from(members), unique=True)
        kinds.append(some.map(lambda refused: Effect("refuse_members", tuple(refused))))
    if answers.modify:
        fields = {name: CHANGES.get(name, TEXT.filter(bool)) for name in answers.modify}
        changes = st.fixed_dictionaries({}, optional=fields).filter(bool)
        kinds.append(changes.map(lambda changes: Effect("modify", changes=changes)))
    return st.one_of(kinds)


def asked(spec: CommandSpec, body: Mapping[str, Any]) -> tuple[Question | None, bytes, Any]:
    """Return the question as the ingress asks it, None where the body does not fit its row."""
    sent = orjson.dumps(body)
    request = AuthenticRequest(spec.provider, "app", spec.name, {}, None)
    callback = PROVIDERS[spec.provider].parse(request, sent, 7)
    try:
        return spec.question(callback), sent, callback.json
    except Misfit:
        return None, sent, callback.json


def read(spec: CommandSpec, decision: Decision, sent: bytes, body: Any) -> Reading:
    reply = PROVIDERS[spec.provider].reply(spec.answers, decision, body)
    reading = READS[spec.provider](spec.name, sent, reply.status, reply.body)
    assert not isinstance(reading, Fault), (reading.why, reply.body, sent)
    return reading


@EACH
@SOME
@given(data=st.data())
def test_a_verdict_is_read_as_it_was_meant(spec: CommandSpec, data: st.DataObject) -> None:
    body = data.draw(bodies(spec))
    question, sent, parsed = asked(spec, body)
    members = () if question is None else question.members
    wanted = data.draw(effects(spec.answers, members) if question else fallbacks())
    reason = data.draw(TEXT)
    code = data.draw(st.none() | st.integers(-1, 130001) | st.sampled_from(spec.answers.codes))
    effect = spec.answers.express(wanted)
    reading = read(spec, Decision(wanted, effect, reason, code), sent, parsed)
    if effect.kind == "modify":
        check_changes(spec, effect.changes, reading, body)
        return
    meant = verdict_of(spec, effect, parsed, members)
    assert reading.kind in meant
    if reading.kind in ("deny", "failed"):
        check_refusal(spec.answers, reading, reason, code)
    if reading.kind == "refuse_some":
        assert set(reading.refused) == set(effect.refused)


def fallbacks() -> st.SearchStrategy[Effect]:
    return st.sampled_from([Effect("allow"), Effect("deny")])


def verdict_of(spec: CommandSpec, effect: Effect, body: Any, members: tuple[str, ...]) -> set[str]:
    """Return the readings a verdict may have; where some must be left, refusing all is a plain refusal."""
    if effect.kind == "deny" and spec.answers.per_target:
        return {"deny", "failed"} if not members else {"deny"}
    if effect.kind != "refuse_members":
        return {effect.kind}
    if not effect.refused:
        return {"allow"}
    if set(effect.refused) < set(members):
        return {"refuse_some"}
    return {"refuse_some"} if spec.answers.refuse_some else {"deny"}


def check_refusal(answers: Answers, reading: Reading, reason: str, code: int | None) -> None:
    low, high = answers.codes
    assert reading.code == (code if code is not None and low <= code <= high else answers.deny_code)
    assert reading.text in {reason, reason or "refused"}


def check_changes(
    spec: CommandSpec, changes: Mapping[str, Any], reading: Reading, body: Mapping[str, Any]
) -> None:
    """Hold what is read as changed against what was meant; what the question has no room for is refused."""
    words = spec.answers.modify
    if spec.name in ASKED_ONLY and any(body.get(words[name]) is None for name in changes):
        assert reading.kind == "deny"
        return
    assert reading.kind in {"modify", "allow"}
    for name, value in changes.items():
        said = reading.changes.get(words[name], body.get(words[name]))
        assert worded(spec.provider, name, value) == (orjson.loads(said) if is_json(spec, name) else said)
    extra = reading.changes.keys() - {words[name] for name in changes}
    assert extra <= ({"contentType"} if "content" in changes else set())


def is_json(spec: CommandSpec, name: str) -> bool:
    return spec.provider == "openim" and name == "content"


def worded(provider: str, name: str, value: Any) -> Any:
    """Return a changed field as the vendor writes it."""
    if name == "content" and provider == "tencent":
        return [{"MsgType": one["vendor_kind"], "MsgContent": one["body"]} for one in value]
    if name == "content":
        return value[0]["body"]
    if name == "members":
        names = {"user_id": "userID", "nickname": "nickname", "extension": "ex"}
        return [{names[key]: one for key, one in member.items()} for member in value]
    return ROLES[value] if name == "role" else value


@EACH
def test_the_checker_knows_the_command_as_the_catalog_does(spec: CommandSpec) -> None:
    """An answer nobody may give is a fault for each row: the readers cannot be blind."""
    nothing = READS[spec.provider](spec.name, b"{}", 200, b"ok")
    assert isinstance(nothing, Fault)
    assert isinstance(READS[spec.provider](spec.name, b"{}", 200, b"[]"), Fault)
