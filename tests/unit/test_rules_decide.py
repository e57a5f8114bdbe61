"""What rules decide: one named case a line of the language."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from consumers.rules.deciding import decide
from consumers.rules.examination import compile_set
from schemas.decisions import Effect, Outcome, Question
from tests.rules_kit import SET, decided, question, rule

ALLOW, DENY = Effect("allow"), Effect("deny")
BOTS = {"fact": "invitee.id", "prefix": "bot"}
LISTS = {"blocked": ["u9", "bot1"], "staff": ["ada"]}


def clause(fact: str, **operator: Any) -> dict[str, Any]:
    return {"fact": fact, **operator}


MATCHES: dict[str, tuple[dict[str, Any], Question, bool]] = {
    "eq text": (clause("group.id", eq="g1"), question(), True),
    "eq is exact about letter case": (clause("group.type", eq="work"), question(), False),
    "eq number": (clause("request.member_count", eq=2), question("a", "b"), True),
    "ne": (clause("group.id", ne="g1"), question(), False),
    "in": (clause("group.id", **{"in": ["g0", "g1"]}), question(), True),
    "not_in": (clause("group.id", not_in=["g0", "g1"]), question(), False),
    "in a named list": (clause("inviter.id", **{"in": "list.staff"}), question(), True),
    "not_in a named list": (clause("inviter.id", not_in="list.staff"), question(), False),
    "on_list": (clause("inviter.id", on_list="blocked"), question(inviter="u9"), True),
    "not on_list": ({"not": clause("inviter.id", on_list="blocked")}, question(), True),
    "lt below": (clause("request.member_count", lt=2), question("a"), True),
    "lt at": (clause("request.member_count", lt=1), question("a"), False),
    "lte at": (clause("request.member_count", lte=1), question("a"), True),
    "gt at": (clause("request.member_count", gt=1), question("a"), False),
    "gte at": (clause("request.member_count", gte=1), question("a"), True),
    "a count of nobody is a count": (clause("request.member_count", eq=0), question(), True),
    "prefix": (clause("group.id", prefix="g"), question(), True),
    "suffix": (clause("group.id", suffix="2"), question(), False),
    "contains": (clause("group.id", contains="oo"), question(group="foot"), True),
    "exists": (clause("inviter.id", exists=True), question(), True),
    "does not exist": (clause("inviter.id", exists=False), question(inviter=None), True),
    "empty text does not exist": (clause("inviter.id", exists=False), question(inviter=""), True),
    "all": ({"all": [clause("group.id", eq="g1"), clause("inviter.id", eq="bob")]}, question(), False),
    "any": ({"any": [clause("group.id", eq="g2"), clause("inviter.id", eq="ada")]}, question(), True),
    "provider": (clause("request.provider", eq="openim"), question(provider="openim"), True),
    "app": (clause("request.app", eq="1400000000"), question(), True),
    "command": (clause("request.command", suffix="JoinGroup"), question(), True),
    "operation id": (clause("request.operation_id", eq="op-1"), question(), True),
    "platform": (clause("request.platform", eq="RESTAPI"), question(query={"OptPlatform": "RESTAPI"}), True),
    "client address": (
        clause("request.client_ip", prefix="10."),
        question(query={"ClientIP": "10.1.2.3"}),
        True,
    ),
    "words of the invitation": (clause("request.reason", contains="shift"), question(reason="a shift"), True),
}


@pytest.mark.parametrize("case", MATCHES)
def test_a_clause_holds(case: str) -> None:
    match, asked, holds = MATCHES[case]
    decision = decided([rule(match=match)], asked, LISTS)
    assert decision.wanted == (DENY if holds else ALLOW)
    assert [one.matched for one in decision.outcomes] == ([True] if holds else [])


UNKNOWN = clause("inviter.id", eq="bob")
HINGES: dict[str, tuple[dict[str, Any], bool]] = {
    "eq": (UNKNOWN, True),
    "ne": (clause("inviter.id", ne="bob"), True),
    "not_in": (clause("inviter.id", not_in=["bob"]), True),
    "not": ({"not": UNKNOWN}, True),
    "all with one that holds": ({"all": [UNKNOWN, clause("group.id", eq="g1")]}, True),
    "all with one that does not": ({"all": [UNKNOWN, clause("group.id", eq="g2")]}, False),
    "any with one that does not": ({"any": [UNKNOWN, clause("group.id", eq="g2")]}, True),
    "not of all with one that does not": (
        {"not": {"any": [{"not": UNKNOWN}, clause("group.id", eq="g1")]}},
        False,
    ),
}


@pytest.mark.parametrize("case", HINGES)
def test_a_clause_on_a_missing_fact_never_matches_and_the_outcome_names_the_fact(case: str) -> None:
    match, hinges = HINGES[case]
    decision = decided([rule(match=match)], question(inviter=None))
    assert decision.wanted == ALLOW
    hinged = Outcome("r1", 1, "enforce", None, matched=False, missing=("inviter.id",))
    assert decision.outcomes == ((hinged,) if hinges else ())


def test_any_holds_where_another_branch_does_although_a_fact_is_missing() -> None:
    match = {"any": [UNKNOWN, clause("group.id", eq="g1")]}
    decision = decided([rule(match=match)], question(inviter=None))
    assert (decision.wanted, decision.outcomes) == (DENY, (Outcome("r1", 1, "enforce", DENY),))


@pytest.mark.parametrize(
    ("on_missing", "wanted", "matched"),
    [("no_match", ALLOW, False), ("match", DENY, True), ("deny", DENY, False)],
)
def test_on_missing_says_what_a_rule_does_without_its_fact(
    on_missing: str, wanted: Effect, matched: bool
) -> None:
    content = rule(match=UNKNOWN, needs={"on_missing": on_missing})
    decision = decided([content], question(inviter=None))
    assert decision.wanted == wanted
    (outcome,) = decision.outcomes
    assert (outcome.matched, outcome.missing) == (matched, ("inviter.id",))


def test_a_rule_that_would_allow_denies_where_it_says_so_of_missing_facts() -> None:
    content = rule(effect="allow", override=True, match=UNKNOWN, needs={"on_missing": "deny"})
    assert decided([content], question(inviter=None)).wanted == DENY


def test_only_the_facts_an_answer_hinges_on_are_named_as_missing() -> None:
    match = {"all": [clause("inviter.id", exists=False), clause("group.type", eq="Work")]}
    decision = decided([rule(match=match)], question(inviter=None, kind=None))
    assert decision.outcomes[0].missing == ("group.type",)


def test_allowing_every_member_hinges_on_a_missing_fact_only_if_all_might_match() -> None:
    members = {"any": [{"all": [BOTS, UNKNOWN]}, clause("invitee.id", eq="u1")]}
    content = rule("a", "allow", members=members, override=True, needs={"on_missing": "deny"})
    assert decided([content], question("u1", "bot1", inviter=None)).wanted == DENY
    assert decided([content], question("u1", "u2", inviter=None)).outcomes == ()
    assert decided([content], question("u1", inviter=None)).wanted == ALLOW


SELECTED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "eq": (clause("invitee.id", eq="u1"), ["u1"]),
    "ne": (clause("invitee.id", ne="u1"), ["u9", "bot1", "bot2"]),
    "in": (clause("invitee.id", **{"in": ["u9", "bot2", "other"]}), ["u9", "bot2"]),
    "not_in": (clause("invitee.id", not_in=["u1", "u9"]), ["bot1", "bot2"]),
    "on_list": (clause("invitee.id", on_list="blocked"), ["u9", "bot1"]),
    "not_in a list": (clause("invitee.id", not_in="list.blocked"), ["u1", "bot2"]),
    "prefix": (BOTS, ["bot1", "bot2"]),
    "suffix": (clause("invitee.id", suffix="1"), ["u1", "bot1"]),
    "contains": (clause("invitee.id", contains="ot"), ["bot1", "bot2"]),
    "not": ({"not": BOTS}, ["u1", "u9"]),
    "all": ({"all": [BOTS, clause("invitee.id", on_list="blocked")]}, ["bot1"]),
    "any": ({"any": [BOTS, clause("invitee.id", on_list="blocked")]}, ["u9", "bot1", "bot2"]),
    "a fact of the request that holds": ({"all": [BOTS, clause("group.id", eq="g1")]}, ["bot1", "bot2"]),
    "a fact of the request that does not": ({"all": [BOTS, clause("group.id", eq="g2")]}, []),
    "a missing fact among any": ({"any": [BOTS, clause("request.platform", eq="x")]}, ["bot1", "bot2"]),
    "does not exist": (clause("invitee.id", exists=False), []),
}


@pytest.mark.parametrize("case", SELECTED)
def test_members_are_selected_one_by_one_and_refused_in_the_order_asked(case: str) -> None:
    members, refused = SELECTED[case]
    content = rule(effect="refuse_members", members=members)
    decision = decided([content], question("u1", "u9", "bot1", "bot2", "u1"), LISTS)
    expected = Effect("refuse_members", tuple(refused)) if refused else ALLOW
    assert decision.wanted == decision.sent == expected


def test_a_prefix_selects_exactly_those_who_begin_with_it_whatever_their_neighbours() -> None:
    members = ("bo", "bos", "bot", "bot\U0010ffff", "bot1", "botany", "bou", "Bot", "\U0001f916", "abot")
    content = rule(effect="refuse_members", members=clause("invitee.id", prefix="bot"))
    refused = decided([content], question(*members)).wanted.refused
    assert refused == ("bot", "bot\U0010ffff", "bot1", "botany")


def test_each_of_several_prefixes_selects_its_own_people_also_where_one_begins_with_another() -> None:
    starts = ("aa", "ab", "abc", "b", "ux", "v", "\U0001f916")
    members = ("abcd", "abx", "axe", "uma", "uxa", "vo", "zoe", "\U0001f916")
    rules = [
        rule(f"r{n}", "refuse_members", members=clause("member.id", prefix=start))
        for n, start in enumerate(starts)
    ]
    said = {one.rule: one.effect.refused for one in decided(rules, question(*members)).outcomes if one.effect}
    wanted = [tuple(sorted(one for one in members if one.startswith(start))) for start in starts]
    assert said == {f"r{n}": picked for n, picked in enumerate(wanted) if picked}


def test_every_member_refused_is_a_deny() -> None:
    rules = [
        rule("a", "refuse_members", members=BOTS, reason={"text": "bots"}, priority=1),
        rule("b", "refuse_members", members=clause("invitee.id", eq="u1")),
    ]
    decision = decided(rules, question("bot1", "u1", "bot1"))
    assert (decision.wanted, decision.sent, decision.reason_text) == (DENY, DENY, "bots")


def test_a_rule_on_members_says_nothing_about_an_invitation_of_nobody() -> None:
    rules = [rule("a", "refuse_members", members=BOTS), rule("b", "deny", members={"not": BOTS})]
    assert decided(rules, question()).outcomes == ()


def test_one_matching_member_is_enough_to_deny_and_all_must_match_to_allow() -> None:
    some, every = question("bot1", "u1"), question("bot1", "bot2")
    assert decided([rule(members=BOTS)], some).wanted == DENY
    allowing = [rule("a", "allow", members=BOTS, override=True), rule("b", "deny")]
    assert decided(allowing, some).wanted == DENY
    assert decided(allowing, every).wanted == ALLOW


def test_members_hinging_on_a_missing_fact_are_refused_only_where_the_rule_says_so() -> None:
    members = {"any": [BOTS, clause("inviter.id", eq="spammer")]}
    asked = question("bot1", "u1", inviter=None)
    careful = decided([rule(effect="refuse_members", members=members)], asked)
    assert careful.wanted == Effect("refuse_members", ("bot1",))
    assert careful.outcomes[0].missing == ("inviter.id",)
    strict = rule(effect="refuse_members", members=members, needs={"on_missing": "match"})
    assert decided([strict], asked).wanted == DENY


REFUSE_BOTS = rule("refuse", "refuse_members", members=BOTS)
LATTICE: dict[str, tuple[list[dict[str, Any]], Effect]] = {
    "no rule": ([], ALLOW),
    "allow": ([rule(effect="allow")], ALLOW),
    "deny beats allow": ([rule("a", "allow", priority=9), rule("b")], DENY),
    "deny beats refused members": ([REFUSE_BOTS, rule("b", priority=-9)], DENY),
    "refused members beat allow": (
        [REFUSE_BOTS, rule("a", "allow", priority=9)],
        Effect("refuse_members", ("bot1",)),
    ),
    "override beats deny": ([rule("a", "allow", override=True, priority=-9), rule("b", priority=9)], ALLOW),
    "override beats refused members": ([rule("a", "allow", override=True), REFUSE_BOTS], ALLOW),
    "an annotation changes nothing": ([rule(effect="annotate")], ALLOW),
    "off": ([rule(mode="off")], ALLOW),
    "shadow": ([rule(mode="shadow")], ALLOW),
}


@pytest.mark.parametrize("case", LATTICE)
def test_all_matching_rules_are_weighed_by_strength_not_by_order(case: str) -> None:
    rules, wanted = LATTICE[case]
    for order in (rules, rules[::-1]):
        assert decided(order, question("u1", "bot1")).wanted == wanted


PARTIAL: dict[str, tuple[list[str], Effect]] = {
    "deny by default": (["default"], DENY),
    "deny": (["deny"], DENY),
    "allow": (["allow"], ALLOW),
    "one deny is enough": (["allow", "deny", "allow"], DENY),
    "all allow": (["allow", "allow"], ALLOW),
}


@pytest.mark.parametrize("case", PARTIAL)
def test_where_some_cannot_be_refused_the_rule_says_what_is_sent(case: str) -> None:
    said, sent = PARTIAL[case]
    rules = [
        rule(f"r{n}", "refuse_members", members=BOTS)
        | ({} if word == "default" else {"partial_unsupported": word})
        for n, word in enumerate(said)
    ]
    decision = decided(rules, question("u1", "bot1", provider="openim", inviter=None, kind=None))
    assert (decision.wanted, decision.sent) == (Effect("refuse_members", ("bot1",)), sent)
    tencent = decided(rules, question("u1", "bot1"))
    assert tencent.sent == tencent.wanted == decision.wanted


def test_the_reason_of_a_forced_deny_is_that_of_a_rule_that_forces_it() -> None:
    rules = [
        rule(
            "a", "refuse_members", members=BOTS, partial_unsupported="allow", priority=9, reason={"text": "a"}
        ),
        rule("b", "refuse_members", members=BOTS, reason={"text": "b", "code": {"openim": 20009}}),
    ]
    decision = decided(rules, question("u1", "bot1", provider="openim"))
    assert (decision.reason_text, decision.reason_code, decision.reason_rule) == ("b", 20009, "b")


def test_the_reason_is_that_of_the_highest_priority_among_the_rules_that_decided() -> None:
    rules = [
        rule("z", priority=5, reason={"text": "z", "code": {"tencent": 10101}}),
        rule("b", priority=7, reason={"text": "b", "code": {"tencent": 10102}}),
        rule("a", priority=7, reason={"text": "a", "code": {"tencent": 10103, "openim": 20003}}),
        rule("c", "allow", priority=99, reason={"text": "c"}),
    ]
    for order in (rules, rules[::-1]):
        decision = decided(order, question("u1"))
        assert (decision.reason_text, decision.reason_code, decision.reason_rule) == ("a", 10103, "a")
    assert decided(rules, question("u1", provider="openim")).reason_code == 20003


def test_a_rule_without_words_uses_those_of_the_act_and_no_code() -> None:
    decision = decided([rule()], question("u1"))
    assert (decision.reason_text, decision.reason_code) == ("This invitation is not allowed.", None)


def test_a_code_is_told_only_with_a_full_refusal() -> None:
    content = rule(effect="refuse_members", members=BOTS, reason={"text": "bots", "code": {"tencent": 10101}})
    some = decided([content], question("u1", "bot1"))
    assert (some.reason_text, some.reason_code, some.reason_rule) == ("bots", None, "r1")
    assert decided([content], question("bot1")).reason_code == 10101


def test_an_allow_without_rules_has_no_reason() -> None:
    decision = decided([], question("u1"))
    assert (decision.reason_text, decision.reason_rule, decision.fallback) == ("", None, None)
    assert (decision.rule_set, decision.outcomes, decision.facts) == (SET, (), {})


def test_shadow_outcomes_are_recorded_apart_and_say_what_would_have_been_wanted() -> None:
    rules = [rule("live", "refuse_members", members=BOTS), rule("trial", mode="shadow")]
    decision = decided(rules, question("u1", "bot1"))
    assert decision.sent == Effect("refuse_members", ("bot1",))
    assert decision.reason_rule == "live"
    assert decision.shadow == DENY
    assert [(one.rule, one.mode, one.effect) for one in decision.outcomes] == [
        ("live", "enforce", Effect("refuse_members", ("bot1",))),
        ("trial", "shadow", DENY),
    ]


def test_without_a_matching_shadow_rule_nothing_would_have_been_wanted() -> None:
    rules = [rule("live"), rule("trial", mode="shadow", match=clause("group.id", eq="other"))]
    assert decided(rules, question("u1")).shadow is None


def test_an_annotation_is_recorded_without_effect() -> None:
    decision = decided([rule(effect="annotate")], question("u1"))
    assert decision.outcomes == (Outcome("r1", 1, "enforce", None),)
    assert decision.shadow is None


SCOPES: dict[str, tuple[dict[str, Any], Question, bool]] = {
    "provider": ({"provider": ["openim"]}, question(provider="openim"), True),
    "other provider": ({"provider": ["openim"]}, question(), False),
    "no provider named, unknown one asks": ({}, question(provider="other"), True),
    "provider named, unknown one asks": ({"provider": ["tencent"]}, question(provider="other"), False),
    "app": ({"app": ["1400000000", "x"]}, question(), True),
    "other app": ({"app": ["x"]}, question(), False),
    "every app": ({"app": ["*"]}, question(app="anything"), True),
    "group": ({"group": {"id": ["g0", "g1"]}}, question(), True),
    "other group": ({"group": {"id": ["g0"]}}, question(), False),
    "type": ({"group": {"type": ["Work"]}}, question(), True),
    "other type": ({"group": {"type": ["Public"]}}, question(), False),
    "app and type": ({"app": ["1400000000"], "group": {"type": ["Work"]}}, question(), True),
    "app and other type": ({"app": ["1400000000"], "group": {"type": ["Public"]}}, question(), False),
    "other app and type": ({"app": ["x"], "group": {"type": ["Work"]}}, question(), False),
    "group of another type": ({"group": {"id": ["g1"], "type": ["Public"]}}, question(), False),
    "group of another app": ({"app": ["x"], "group": {"id": ["g1"]}}, question(), False),
}


@pytest.mark.parametrize("case", SCOPES)
def test_a_rule_applies_within_its_scope_alone(case: str) -> None:
    scope, asked, applies = SCOPES[case]
    assert decided([rule(scope=scope)], asked).wanted == (DENY if applies else ALLOW)


@pytest.mark.parametrize(
    "scope", [{"group": {"type": ["Work"]}}, {"app": ["1400000000"], "group": {"type": ["Work"]}}]
)
def test_a_scope_by_type_hinges_on_the_type_where_the_provider_does_not_say_it(scope: dict[str, Any]) -> None:
    asked = question(provider="openim", kind=None)
    decision = decided([rule(scope=scope)], asked)
    assert decision.wanted == ALLOW
    assert decision.outcomes == (Outcome("r1", 1, "enforce", None, matched=False, missing=("group.type",)),)
    assert decided([rule(scope=scope, needs={"on_missing": "match"})], asked).wanted == DENY


def test_rules_out_of_scope_are_not_even_looked_up() -> None:
    others = [rule(f"r{n}", scope={"group": {"id": [f"other-{n}"]}}) for n in range(100)]
    assert _evaluated([*others, rule("mine", scope={"group": {"id": ["g1"]}})], question()) == ["mine"]


NAMES_ADA = clause("inviter.id", eq="ada")
NEVER_FOR_ADA: dict[str, dict[str, Any]] = {
    "another text": {"match": clause("inviter.id", eq="bob")},
    "other texts": {"match": clause("inviter.id", **{"in": ["bob", "cy"]})},
    "on no list": {"match": clause("inviter.id", on_list="blocked")},
    "another start": {"match": clause("inviter.id", prefix="x")},
    "too few": {"match": clause("request.member_count", gt=5)},
    "too many": {"match": clause("request.member_count", lte=1)},
    "one part of all": {"match": {"all": [clause("group.id", ne="g9"), clause("inviter.id", eq="bob")]}},
    "each part of any": {"match": {"any": [clause("inviter.id", eq="bob"), clause("group.id", eq="g9")]}},
    "nobody of that name": {"members": clause("invitee.id", **{"in": ["u7", "u8"]})},
    "nobody on the list": {"members": clause("member.id", on_list="blocked")},
    "nobody with that start": {"members": BOTS},
    "nobody where the request is otherwise": {"members": {"all": [clause("inviter.id", eq="bob")]}},
}


@pytest.mark.parametrize("why", NEVER_FOR_ADA)
def test_a_rule_that_a_look_up_rules_out_is_not_evaluated(why: str) -> None:
    rules = [{**rule("never"), **NEVER_FOR_ADA[why]}, rule("may", match=NAMES_ADA), rule("always")]
    assert _evaluated(rules, question("u1", "u2")) == ["always", "may"]


def test_a_rule_is_evaluated_where_the_fact_it_names_is_missing() -> None:
    rules = [{**rule(why.replace(" ", "-")), **NEVER_FOR_ADA[why]} for why in ("another text", "on no list")]
    assert len(_evaluated(rules, question("u1", inviter=None))) == len(rules)


def test_a_rule_is_evaluated_where_one_part_of_any_cannot_be_looked_up() -> None:
    match = {"any": [clause("inviter.id", eq="bob"), clause("inviter.id", contains="d")]}
    assert _evaluated([rule(match=match)], question()) == ["r1"]


def test_bounds_are_looked_up_in_both_directions() -> None:
    rules = [
        rule(f"{operator}-{bound}", match=clause("request.member_count", **{operator: bound}))
        for operator in ("gte", "lte")
        for bound in (1, 2, 3)
    ]
    assert _evaluated(rules, question("u1", "u2")) == ["gte-1", "gte-2", "lte-2", "lte-3"]


def test_groups_with_the_same_rules_share_what_finds_them() -> None:
    groups = [f"g{n}" for n in range(100)]
    index = compile_set([rule(scope={"group": {"id": groups}}, match=NAMES_ADA)], {})
    asked = [index.ask(question(group=group)) for group in groups]
    found = [shelf for one in asked if one for shelf in index.find("invite", one.values)]
    assert len(found) == len(groups)
    assert len({id(shelf) for shelf in found}) == 1


def _evaluated(rules: list[dict[str, Any]], asked: Question) -> list[str]:
    """Return which rules are evaluated for the question, in their order."""
    index = compile_set(rules, {name: frozenset(values) for name, values in LISTS.items()})
    facts = index.ask(asked)
    assert facts is not None
    shelves = index.find(facts.act.name, facts.values)
    return [one.id for one, _ in index.candidates(shelves, facts.values, frozenset(facts.members))]


def test_a_sample_takes_the_same_groups_each_time_and_more_as_it_grows() -> None:
    groups = [f"g{n}" for n in range(2_000)]

    def taken(percent: float) -> set[str]:
        content = [rule(scope={"sample": percent})]
        return {group for group in groups if decided(content, question(group=group)).wanted == DENY}

    tenth, half = taken(10), taken(50)
    assert 120 < len(tenth) < 280
    assert 850 < len(half) < 1150
    assert tenth < half
    assert taken(10) == tenth


def test_two_rules_sample_independently_of_each_other() -> None:
    groups = [f"g{n}" for n in range(500)]
    both = [
        len(
            decided(
                [rule("a", scope={"sample": 50}), rule("b", scope={"sample": 50})], question(group=group)
            ).outcomes
        )
        for group in groups
    ]
    assert all(80 < both.count(count) < 420 for count in (0, 1, 2))


def test_an_expired_rule_says_nothing_from_its_moment_on() -> None:
    content = [rule(expires="1970-01-01T00:00:10Z")]
    assert decided(content, question(), now_ms=9_999).wanted == DENY
    assert decided(content, question(), now_ms=10_000).outcomes == ()


NEEDY: dict[str, Any] = {"needs": {"max_staleness": "10s"}}


def test_a_rule_that_needs_fresher_rules_lets_the_fallback_answer_within_its_scope() -> None:
    content = [rule("other"), rule("needy", scope={"group": {"id": ["g1"]}}, **NEEDY)]
    fresh = decided(content, question(), staleness_ms=10_000)
    assert (fresh.fallback, fresh.wanted) == (None, DENY)
    stale = decided(content, question(), staleness_ms=10_001)
    assert (stale.fallback, stale.wanted, stale.staleness_ms, stale.rule_set) == ("needs", ALLOW, 10_001, SET)
    assert stale.outcomes == (
        Outcome("needy", 1, "enforce", None, matched=False, missing=("max_staleness",)),
    )
    assert decided(content, question(), staleness_ms=10_001, fallback="deny").sent == DENY
    assert decided(content, question(group="g2"), staleness_ms=10_001).fallback is None


def test_the_needs_of_shadow_expired_and_other_groups_rules_do_not_count() -> None:
    for extra in (
        {"mode": "shadow"},
        {"expires": "1970-01-01T00:00:01Z"},
        {"scope": {"app": ["other"], "group": {"id": ["g1"]}}},
    ):
        content = [rule(**NEEDY, **extra)]
        assert decided(content, question(), staleness_ms=99_999, now_ms=5_000).fallback is None


def test_facts_are_those_the_rules_in_scope_consult_with_their_values() -> None:
    rules = [
        rule("a", match=clause("inviter.id", eq="bob")),
        rule("b", scope={"group": {"type": ["Work"]}}, match=clause("request.platform", exists=True)),
        rule("c", scope={"group": {"id": ["other"]}}, match=clause("request.operation_id", eq="x")),
        rule("d", "refuse_members", members={"all": [BOTS, clause("request.member_count", gt=1)]}),
    ]
    decision = decided(rules, question("u1", "u2"))
    assert decision.facts == {"group.type": "Work", "inviter.id": "ada", "request.member_count": 2}


def test_an_act_no_rule_can_be_about_is_allowed() -> None:
    decision = decided([rule()], question(act="call"))
    assert (decision.sent, decision.fallback, decision.rule_set) == (ALLOW, None, SET)


def test_a_value_of_another_type_than_the_fact_counts_as_not_said() -> None:
    asked = question()
    odd = asked._replace(data={**asked.data, "inviter_id": ["ada"]})
    decision = decided([rule(match=clause("inviter.id", ne="bob"))], odd)
    assert decision.outcomes[0].missing == ("inviter.id",)


_watched: list[str] | None = None


def _audit(event: str, _: tuple[Any, ...]) -> None:
    if _watched is not None:
        _watched.append(event)


sys.addaudithook(_audit)


@contextmanager
def watched() -> Iterator[list[str]]:
    """Note every audited operation (files, sockets, processes, imports), and refuse to print."""
    global _watched  # noqa: PLW0603 an audit hook stays for the life of the process
    noted: list[str] = []
    streams = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = None
    _watched = noted
    try:
        yield noted
    finally:
        _watched = None
        sys.stdout, sys.stderr = streams


def test_deciding_does_no_input_or_output() -> None:
    rules = [
        rule("a", "refuse_members", members=BOTS, reason={"text": "no"}),
        rule("b", match=clause("inviter.id", on_list="blocked"), scope={"sample": 50}),
        rule("c", mode="shadow", match={"not": clause("group.type", eq="x")}),
    ]
    index = compile_set(rules, {"blocked": frozenset(["ada"])})
    asked = question("u1", "bot1")
    with watched() as noted:
        decision = decide(index, SET, asked, 0, 0, "allow")
    assert len(decision.outcomes) >= 2
    assert noted == []


def test_the_watch_sees_what_it_is_for() -> None:
    with watched() as noted, open(__file__):  # noqa: PTH123 the audited call itself
        pass
    assert "open" in noted
