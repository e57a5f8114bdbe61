"""What every provider promises, over both."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from bridge.errors import Unauthenticated, UnknownPath
from bridge.providers.base import Provider, RawRequest, failure_for_both
from bridge.providers.openim import OpenIMProvider
from bridge.providers.tencent import TencentProvider
from schemas.callback import UNPARSED
from schemas.catalog import CommandSpec
from schemas.decisions import Decision, Effect
from tests.samples import CATALOG, SAMPLES, Sample
from tests.verdicts import check_failure, verdict

OPEN: list[Provider] = [TencentProvider(), OpenIMProvider()]
LOCKED: list[Provider] = [TencentProvider(tokens=["t1", "t2"]), OpenIMProvider(path_secrets=["s1", "s2"])]
EACH = pytest.mark.parametrize("provider", OPEN, ids=lambda provider: provider.name)
EACH_LOCKED = pytest.mark.parametrize("provider", LOCKED, ids=lambda provider: provider.name)
FEW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

ELEMENTS = st.lists(
    st.fixed_dictionaries(
        {"kind": st.just("text"), "vendor_kind": st.text(), "body": st.just({"Text": "x"})}
    ),
    min_size=1,
    max_size=2,
)
CHANGES = st.one_of(
    st.builds(lambda content: {"content": content}, ELEMENTS),
    st.builds(lambda content, text: {"content": content, "extension": text}, ELEMENTS, st.text()),
    st.builds(lambda text: {"response": text}, st.text()),
    st.just({"unheard_of": 1}),
)
EFFECTS = st.one_of(
    st.sampled_from([Effect("allow"), Effect("deny"), Effect("drop")]),
    st.lists(
        st.sampled_from(["ada", "bo", "cy", "jared", "tommy", "u_1002", "u_1003", "u_1100"])
        | st.text(max_size=8),
        max_size=4,
    ).map(lambda refused: Effect("refuse_members", tuple(refused))),
    CHANGES.map(lambda changes: Effect("modify", changes=changes)),
)
DECISIONS = st.builds(
    lambda sent, text, code: Decision(sent, sent, text, code),
    EFFECTS,
    st.text(),
    st.none() | st.integers(-(2**70), 2**70),
)
QUERIES = st.dictionaries(
    st.sampled_from(
        ["SdkAppid", "sdkappid", "Sign", "RequestTime", "CallbackCommand", "RequestID", "command"]
    )
    | st.text(max_size=6),
    st.text(max_size=20),
    max_size=6,
)
REQUESTS = st.builds(
    RawRequest,
    segments=st.lists(st.sampled_from(["s1", "callbackX"]) | st.text(max_size=6), max_size=3).map(tuple),
    bare=st.booleans(),
    query=QUERIES,
    headers=st.dictionaries(st.just("OperationID"), st.text(max_size=6)).map(CIMultiDict),
)


@EACH
def test_an_acknowledgement_allows(provider: Provider) -> None:
    assert provider.ack().status == 200
    assert verdict(provider.name, provider.ack().body) == "allow"


@EACH
@pytest.mark.parametrize("status", [403, 404, 408, 413, 503])
def test_a_failure_has_its_status_and_is_legal(provider: Provider, status: int) -> None:
    failure = provider.failure(status, "why")
    assert failure.status == status
    check_failure(provider.name, failure.body)


def test_a_failure_is_no_refusal_for_a_vendor_that_reads_no_status() -> None:
    for provider in ("openim", "tencent"):
        check_failure(provider, failure_for_both(400, "why").body)


BEFORE = [spec for spec in CATALOG if spec.phase == "before"]


@FEW
@given(spec=st.sampled_from(BEFORE), decision=DECISIONS)
def test_every_decision_is_answered_legally_and_as_meant(spec: CommandSpec, decision: Decision) -> None:
    provider = next(one for one in OPEN if one.name == spec.provider)
    asked, decision = spec.row.example, about(spec, decision)
    reply = provider.reply(spec.answers, decision, asked)
    assert reply.status == 200
    assert verdict(spec.provider, reply.body, spec.name, asked) == meant(spec, decision)
    unread = provider.reply(spec.answers, decision, UNPARSED)
    verdict(spec.provider, unread.body, spec.name)


def about(spec: CommandSpec, decision: Decision) -> Decision:
    """Return the decision without refused people whom the question does not name: rules refuse no others."""
    people = _people(spec)
    sent = decision.sent._replace(refused=tuple(one for one in decision.sent.refused if one in people))
    return decision._replace(wanted=sent, sent=sent)


def meant(spec: CommandSpec, decision: Decision) -> str:
    """Return what the vendor should make of a decision."""
    effect = spec.answers.express(decision.sent)
    if effect.kind == "modify" and spec.provider == "openim":
        return "modify" if len(effect.changes["content"]) == 1 else "deny"
    if effect.kind == "modify":
        return "modify" if any(effect.changes.values()) or "RspData" not in spec.answers.constant else "allow"
    if effect.kind != "refuse_members":
        return effect.kind
    if spec.answers.refuse_some is not None:
        return "refuse_some" if effect.refused else "allow"
    targets = _people(spec)
    refused = [target for target in targets if target in effect.refused]
    return "allow" if not refused else "deny" if refused == targets else "refuse_some"


def _people(spec: CommandSpec) -> list[str]:
    """Return whom the example of a command is about."""
    sample = next(sample for sample in SAMPLES if sample.spec() is spec)
    return list(spec.question(sample.callback()._replace(json=spec.row.example)).members)


@EACH_LOCKED
@FEW
@given(request=REQUESTS)
def test_nothing_passes_a_locked_door_without_its_secret(provider: Provider, request: RawRequest) -> None:
    try:
        passed = provider.authenticate(request)
    except (Unauthenticated, UnknownPath):
        return
    assert provider.name == "openim"
    assert request.segments[0] in {"s1", "s2"}
    assert passed.redacted == ("path_secret",)


@EACH
@FEW
@given(request=REQUESTS, body=st.binary(max_size=200))
def test_whatever_passes_is_parsed(provider: Provider, request: RawRequest, body: bytes) -> None:
    try:
        passed = provider.authenticate(request)
    except (Unauthenticated, UnknownPath):
        return
    callback = provider.parse(passed, body, 5)
    assert (callback.provider, callback.app, callback.body) == (provider.name, passed.app, body)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: f"{sample.provider}/{sample.name}")
def test_a_sample_is_told_apart_by_its_form(sample: Sample) -> None:
    assert sample.callback().provider == sample.provider
