"""Every problem of a document is named, with its place and what to write instead, and all of them at once."""

from pathlib import Path
from typing import Any

import pytest

from consumers.rules import check, load_documents
from consumers.rules.examination import examine
from consumers.rules.yaml_reader import read_yaml
from tests.rules_kit import documents, named, rule, write

DEEP: dict[str, Any] = {"fact": "group.id", "eq": "g1"}
for _ in range(25):
    DEEP = {"not": DEEP}

PROBLEMS: dict[str, tuple[dict[str, Any], str, str]] = {
    "an unknown setting": (rule(priorty=5), "", "unknown: priorty; accepted: apiVersion, kind, id, rev,"),
    "no id": ({"kind": "rule", "rev": 1, "on": ["invite"], "effect": "deny"}, "", "missing: id"),
    "an id with a slash": (rule("a/b"), "/id", "1 to 100 of a-z"),
    "rev zero": (rule(rev=0), "/rev", "a whole number from 1; raise it with every change"),
    "another version of the language": (rule(apiVersion="im.rules/v2"), "/apiVersion", "im.rules/v1"),
    "an unknown mode": (rule(mode="on"), "/mode", "accepted: enforce, shadow or off"),
    "an unknown effect": (rule(effect="kick"), "/effect", "allow, deny, refuse_members or annotate"),
    "a priority in words": (rule(priority="high"), "/priority", "a whole number from -1000000"),
    "no act": (rule(on=[]), "/on", "a list of acts"),
    "an unknown act": (
        rule(on=["invite", "call"]),
        "/on/1",
        "'call' is no act known here; accepted: invite, join, admit_members, create_group,",
    ),
    "an act nobody in scope asks about": (
        rule(on=["block"], scope={"provider": ["tencent"]}),
        "/on/0",
        "nothing within scope asks about block: openim asks with callbackBeforeAddBlackCommand",
    ),
    "a command that asks about something else": (
        rule(scope={"command": ["Group.CallbackBeforeSendMsg"]}),
        "/scope/command/0",
        "asks about none of these acts; accepted: Group.CallbackBeforeInviteJoinGroup, callbackBeforeInv",
    ),
    "a group where there is none": (
        rule(on=["add_friend"], scope={"group": {"type": ["Work"]}}),
        "/scope/group/type",
        "add_friend has no group.type: leave scope.group.type out",
    ),
    "members of an act about nobody": (
        rule(on=["send_message"], members={"fact": "sender.id", "eq": "a"}),
        "/members",
        "send_message is about nobody in particular: put the clause under match",
    ),
    "refused members of an act about nobody": (
        rule(effect="refuse_members", on=["send_message"], members={"fact": "sender.id", "eq": "a"}),
        "/effect",
        "send_message is about nobody who could be left out: use deny",
    ),
    "a fact only one of two acts has": (
        rule(on=["invite", "send_message"], match={"fact": "message.text", "contains": "x"}),
        "/match/fact",
        "invite has no fact 'message.text'; accepted: request.provider,",
    ),
    "a flag without quotes": (
        rule(on=["add_friend"], match={"fact": "request.forced", "eq": True}),
        "/match/eq",
        "true is not accepted here; accepted: a text or a number",
    ),
    "a code where there is none": (
        rule(on=["subscribe"], reason={"code": {"tencent": 10107}}),
        "/reason/code/tencent",
        "OfficialAccount.CallbackBeforeAddSubscriber takes no code of its own: leave it out",
    ),
    "a code in the range of only some callbacks in scope": (
        rule(on=["send_message"], reason={"code": {"tencent": 10107}}),
        "/reason/code/tencent",
        "10107 is outside what tencent takes; accepted: 120001 to 130000 (C2C.CallbackBeforeSendMsg, Off",
    ),
    "a test that gives what no act has": (
        rule(tests=[{"given": {"message": {"text": "x"}}, "expect": {"effect": "deny"}}]),
        "/tests/0/given/message/text",
        "invite has no fact 'message.text' that can be given; accepted: request.provider,",
    ),
    "a test that gives a number for a text": (
        rule(tests=[{"given": {"group": {"id": 7}}, "expect": {"effect": "deny"}}]),
        "/tests/0/given/group/id",
        "group.id is a text, 7 is not",
    ),
    "a test that gives the count instead of the people": (
        rule(tests=[{"given": {"request": {"member_count": 7}}, "expect": {"effect": "deny"}}]),
        "/tests/0/given/request/member_count",
        "give the people in members",
    ),
    "a test that invites to a message": (
        rule(on=["send_message"], tests=[{"given": {"members": ["a"]}, "expect": {"effect": "deny"}}]),
        "/tests/0/given/members",
        "send_message: questions about it name no members",
    ),
    "a test that calls friends invitees": (
        rule(on=["add_friend"], tests=[{"given": {"invitees": ["a"]}, "expect": {"effect": "deny"}}]),
        "/tests/0/given/invitees",
        "add_friend: questions about it name no invitees",
    ),
    "a test from a provider that never asks": (
        rule(
            on=["block"],
            tests=[{"given": {"request": {"provider": "tencent"}}, "expect": {"effect": "deny"}}],
        ),
        "/tests/0/given/request/provider",
        "tencent never asks about block",
    ),
    "an act twice": (rule(on=["invite", "invite"]), "/on", "an act stands twice"),
    "an unknown provider": (
        rule(scope={"provider": ["wechat"]}),
        "/scope/provider/0",
        "'wechat' is no provider; accepted: tencent, openim",
    ),
    "an app id that is a number": (rule(scope={"app": [1400000000]}), "/scope/app/0", "numbers in quotes"),
    "every app and one more": (rule(scope={"app": ["*", "a"]}), "/scope/app", "'*' stands for every app"),
    "an empty group scope": (rule(scope={"group": {}}), "/scope/group", "id, type or both"),
    "an empty list of groups": (rule(scope={"group": {"id": []}}), "/scope/group/id", "1 to 1000"),
    "a sample of nothing": (rule(scope={"sample": 0}), "/scope/sample", "above 0 and at most 100"),
    "a sample of too much": (rule(scope={"sample": 101}), "/scope/sample", "above 0 and at most 100"),
    "an unknown fact": (
        rule(match={"fact": "group.size", "eq": "g"}),
        "/match/fact",
        "invite has no fact 'group.size'; accepted: request.provider,",
    ),
    "an unknown operator": (
        rule(match={"fact": "group.id", "like": "g"}),
        "/match",
        "unknown: like; accepted: fact, eq, ne, in,",
    ),
    "two operators": (
        rule(match={"fact": "group.id", "eq": "g", "ne": "h"}),
        "/match",
        "a fact and exactly one operator",
    ),
    "no operator": (rule(match={"fact": "group.id"}), "/match", "a fact and exactly one operator"),
    "two branches": (
        rule(match={"all": [DEEP], "any": [DEEP]}),
        "/match",
        "exactly one of all, any, not",
    ),
    "an empty branch": (rule(match={"all": []}), "/match/all", "a list of 1 to 200 clauses"),
    "a tree too deep": (rule(match=DEEP), "/match" + "/not" * 21, "nested deeper than 20"),
    "too many clauses": (
        rule(match={"any": [{"all": [{"fact": "group.id", "eq": "g"}] * 200}] * 3}),
        "/match",
        "600 clauses; at most 500",
    ),
    "less than for a text": (
        rule(match={"fact": "inviter.id", "lt": 4}),
        "/match/lt",
        "inviter.id is a text, which lt does not take; accepted: eq, ne, in, not_in, prefix",
    ),
    "a prefix for a number": (
        rule(match={"fact": "request.member_count", "prefix": "4"}),
        "/match/prefix",
        "a number, which prefix does not take; accepted: eq, ne, in, not_in, lt",
    ),
    "a number for a text": (
        rule(match={"fact": "group.id", "eq": 12345}),
        "/match/eq",
        "group.id is a text, 12345 is not: write it in quotes",
    ),
    "a number among texts": (
        rule(match={"fact": "group.id", "in": ["g1", 2]}),
        "/match/in",
        "is not: write it in quotes",
    ),
    "a text for a number": (
        rule(match={"fact": "request.member_count", "gte": "4"}),
        "/match/gte",
        '"4" is not accepted here; accepted: a number',
    ),
    "a text equal to a number": (
        rule(match={"fact": "request.member_count", "eq": "4"}),
        "/match/eq",
        "request.member_count is a number, '4' is not",
    ),
    "exists with a word": (
        rule(match={"fact": "group.id", "exists": "yes"}),
        "/match/exists",
        "true or false",
    ),
    "a member's fact in match": (
        rule(match={"all": [{"fact": "invitee.id", "eq": "u1"}]}),
        "/match/all/0/fact",
        "invitee.id differs from member to member: put the clause under members",
    ),
    "an unknown list": (
        rule(members={"fact": "invitee.id", "on_list": "bloked"}, effect="refuse_members"),
        "/members/on_list",
        "there is no list 'bloked' among the documents; there are: blocked",
    ),
    "an unknown list after in": (
        rule(match={"not": {"fact": "inviter.id", "in": "list.staf"}}),
        "/match/not/in",
        "there is no list 'staf'",
    ),
    "a list name without list.": (
        rule(match={"fact": "inviter.id", "in": "blocked"}),
        "/match/in",
        "or list.NAME",
    ),
    "a list for a number": (
        rule(match={"fact": "request.member_count", "in": "list.blocked"}),
        "/match/in",
        "request.member_count is a number and lists hold texts",
    ),
    "refuse_members without members": (
        rule(effect="refuse_members"),
        "/members",
        "refuse_members refuses those whom members selects; to refuse all use deny",
    ),
    "override of a refusal": (
        rule(override=True),
        "/override",
        "only effect allow can override, this is deny",
    ),
    "partial_unsupported for a deny": (
        rule(partial_unsupported="deny"),
        "/partial_unsupported",
        "stands only beside effect refuse_members, this is deny",
    ),
    "partial_unsupported by another word": (
        rule(
            effect="refuse_members", members={"fact": "invitee.id", "eq": "a"}, partial_unsupported="refuse"
        ),
        "/partial_unsupported",
        "accepted: deny or allow",
    ),
    "a code outside Tencent's range": (
        rule(reason={"code": {"tencent": 10201}}),
        "/reason/code/tencent",
        "10201 is outside what tencent takes; accepted: 10100 to 10200",
    ),
    "a code outside OpenIM's range": (
        rule(reason={"code": {"openim": 20000}}),
        "/reason/code/openim",
        "20000 is outside what openim takes; accepted: 20001 to 29999",
    ),
    "a code for nobody": (rule(reason={"code": {"wechat": 1}}), "/reason/code", "accepted: tencent, openim"),
    "a reason of nothing": (rule(reason={"text": ""}), "/reason/text", "a text of 1 to 400 characters"),
    "a need not known": (rule(needs={"freshness": 1}), "/needs", "unknown: freshness; accepted: max_stal"),
    "a duration without unit": (rule(needs={"max_staleness": 10}), "/needs/max_staleness", "90s or 12h"),
    "on_missing by another word": (
        rule(needs={"on_missing": "skip"}),
        "/needs/on_missing",
        "no_match, match or deny",
    ),
    "expiry without a zone": (rule(expires="2026-12-31T00:00:00"), "/expires", "a moment with a zone"),
    "expiry in words": (rule(expires="tomorrow"), "/expires", "a moment with a zone"),
    "a test without a question": (rule(tests=[{"expect": {"effect": "deny"}}]), "/tests/0", "missing: given"),
    "a test without an answer": (
        rule(tests=[{"given": {}, "expect": {}}]),
        "/tests/0/expect",
        "missing: effect",
    ),
    "a test that refuses nobody in particular": (
        rule(tests=[{"given": {}, "expect": {"effect": "refuse_members"}}]),
        "/tests/0/expect",
        "refuse_members says whom: refused",
    ),
    "a test that allows and refuses": (
        rule(tests=[{"given": {}, "expect": {"effect": "allow", "refused": ["a"]}}]),
        "/tests/0/expect/refused",
        "nobody, unless effect is refuse_members",
    ),
    "a test from an unknown provider": (
        rule(tests=[{"given": {"request": {"provider": "wechat"}}, "expect": {"effect": "deny"}}]),
        "/tests/0/given/request/provider",
        "'wechat' is no provider; accepted: tencent, openim",
    ),
    "a test that fails": (
        rule(
            match={"fact": "group.id", "eq": "g1"},
            tests=[{"name": "g2", "given": {"group": {"id": "g2"}}, "expect": {"effect": "deny"}}],
        ),
        "/tests/0",
        "'g2' failed for invite: expected deny, got allow",
    ),
    "a test that fails for want of a fact": (
        rule(
            match={"fact": "inviter.id", "eq": "ada"},
            tests=[{"given": {}, "expect": {"effect": "deny"}}],
        ),
        "/tests/0",
        "expected deny, got allow (not given: inviter.id)",
    ),
    "a test that expects others refused": (
        rule(
            effect="refuse_members",
            members={"fact": "invitee.id", "prefix": "bot"},
            tests=[
                {
                    "given": {"invitees": ["bot1", "bot2", "ada"]},
                    "expect": {"effect": "refuse_members", "refused": ["bot1"]},
                }
            ],
        ),
        "/tests/0",
        "expected refuse_members ['bot1'], got refuse_members ['bot1', 'bot2']",
    ),
    "a test that expects something else sent": (
        rule(
            effect="refuse_members",
            members={"fact": "invitee.id", "prefix": "bot"},
            tests=[
                {
                    "given": {"request": {"provider": "openim"}, "invitees": ["bot1", "ada"]},
                    "expect": {"effect": "refuse_members", "refused": ["bot1"], "sent": "refuse_members"},
                }
            ],
        ),
        "/tests/0",
        "expected refuse_members to be sent, got deny",
    ),
    "a test that expects no match": (
        rule(effect="allow", tests=[{"given": {}, "expect": {"effect": "allow", "matched": False}}]),
        "/tests/0",
        "expected the rule not to match",
    ),
    "an unknown kind": ({"kind": "ruel", "id": "x"}, "/kind", "'ruel' is no kind; accepted: rule, list"),
    "no kind": ({"id": "x"}, "/kind", "None is no kind; accepted: rule, list"),
    "a list of numbers": ({**named("l"), "values": ["a", 7]}, "/values/1", "write numbers in quotes"),
    "a list without values": ({"kind": "list", "name": "l"}, "", "missing: values"),
    "a list with a bad name": (named("My List"), "/name", "1 to 100 of a-z"),
    "a rule too large": (
        rule(match={"any": [{"fact": "group.id", "in": ["x" * 900] * 999}]}),
        "",
        "at most 262144: use a list",
    ),
}


@pytest.mark.parametrize("case", PROBLEMS)
def test_a_problem_is_named_with_its_place_and_what_is_accepted(case: str) -> None:
    content, path, says = PROBLEMS[case]
    report = examine(documents(named("blocked", "u9"), content), 0)
    about = [problem for problem in report.problems if problem.path == path]
    assert [says in problem.message for problem in about] == [True], report.problems
    assert {problem.document for problem in report.problems} == {2}
    assert not report.ok


def test_every_problem_of_every_file_is_reported_at_once(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", rule(mode="on", rev=0), rule("r2", priorty=1))
    (tmp_path / "b.yaml").write_text("kind: rule\nkind: list\n")
    (tmp_path / "c.yml").write_text("- not\n- a mapping\n")
    (tmp_path / "d.json").write_bytes(b'{"kind": "\xff"}')
    (tmp_path / "ignored.txt").write_text("no rule")
    problems = [str(problem) for problem in load_documents([tmp_path, tmp_path / "nowhere"]).problems]
    assert len(problems) == 7
    for expected in (
        "a.yaml, document 1 (line 1), /mode: rule r1: ",
        "a.yaml, document 1 (line 1), /rev: rule r1: ",
        "a.yaml, document 2 (line 9): rule r2: unknown: priorty",
        "b.yaml: line 2: the key 'kind' stands twice",
        "c.yml, document 1 (line 1): a document is a mapping that begins with kind, not list",
        "d.json: is not UTF-8 (byte 10)",
        "nowhere: there is no such file or directory",
    ):
        assert sum(expected in problem for problem in problems) == 1, (expected, problems)


def test_a_directory_is_read_with_those_below_in_order(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub" / "b.yaml", rule("b"))
    write(tmp_path / "a.yaml", rule("a"), named("l", "x"))
    found = load_documents([tmp_path])
    assert [one.content["id"] for one in found.rules] == ["a", "b"]
    assert [one.content["name"] for one in found.lists] == ["l"]
    assert found.problems == ()


def test_a_directory_without_documents_is_a_problem(tmp_path: Path) -> None:
    (problem,) = load_documents([tmp_path]).problems
    assert "no file here ends in .yaml, .yml, .json" in problem.message


def test_an_id_that_stands_twice_is_reported_with_the_other_place() -> None:
    report = examine(documents(rule("a"), rule("a", rev=2), named("l"), named("l")), 0)
    assert [(one.document, one.path) for one in report.problems] == [(2, "/id"), (4, "/name")]
    assert "'a' stands also in set.yaml, document 1: keep one" in report.problems[0].message


def test_a_rule_is_not_blamed_for_a_list_that_is_itself_broken() -> None:
    broken = {"kind": "list", "name": "blocked", "values": [1]}
    blocked = rule(match={"fact": "inviter.id", "on_list": "blocked"})
    report = examine(documents(broken, blocked), 0)
    assert [one.path for one in report.problems] == ["/values/0"]


def test_a_code_is_checked_only_for_providers_in_scope() -> None:
    narrow = rule(scope={"provider": ["openim"]}, reason={"code": {"tencent": 5, "openim": 20001}})
    assert examine(documents(narrow), 0).ok


def test_green_tests_are_counted_and_the_set_is_ok(tmp_path: Path) -> None:
    tests = [{"given": {"group": {"id": "g1"}}, "expect": {"effect": "deny", "matched": True}}] * 3
    path = write(tmp_path / "a.yaml", rule(tests=tests), rule("r2"), named("l", "x"))
    report = check([path], 0)
    assert (report.ok, report.rules, report.lists, report.tests_run, report.tests_failed) == (
        True,
        2,
        1,
        3,
        0,
    )


def test_red_tests_are_counted_once_each() -> None:
    red = {"given": {}, "expect": {"effect": "allow", "matched": False}}
    report = examine(documents(rule(tests=[red, {"given": {}, "expect": {"effect": "deny"}}])), 0)
    assert (report.tests_run, report.tests_failed, len(report.problems)) == (2, 1, 2)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (rule(match={"fact": "inviter.id", "eq": "a"}), "openim never says inviter.id with invite"),
        (rule(scope={"group": {"type": ["Work"]}}), "openim never says group.type with invite"),
        (rule(match={"fact": "request.reason", "eq": "a"}), "tencent never says request.reason with invite"),
        (rule(), "the rule has no tests"),
        (rule(expires="2020-01-01T00:00:00Z"), "2020-01-01T00:00:00Z is past"),
    ],
)
def test_what_is_not_wrong_but_odd_is_a_warning(content: dict[str, Any], says: str) -> None:
    report = examine(documents(content), 1_700_000_000_000)
    assert report.ok
    assert any(says in warning.message for warning in report.warnings)


@pytest.mark.parametrize(
    "careful",
    [
        {"scope": {"provider": ["tencent"]}},
        {"needs": {"on_missing": "no_match"}},
    ],
)
def test_an_author_who_decided_about_missing_facts_is_not_warned(careful: dict[str, Any]) -> None:
    test = {"given": {"inviter": {"id": "a"}}, "expect": {"effect": "deny"}}
    content = rule(match={"fact": "inviter.id", "eq": "a"}, tests=[test], **careful)
    assert examine(documents(content), 0).warnings == ()


def test_an_empty_set_may_be_published_with_a_warning() -> None:
    report = examine(documents(), 0)
    assert report.ok
    assert "holds no rule" in report.warnings[0].message


def test_a_test_sees_only_the_lists_it_gives() -> None:
    test = {"given": {"inviter": {"id": "u9"}}, "expect": {"effect": "allow"}}
    content = rule(match={"fact": "inviter.id", "on_list": "blocked"}, tests=[test])
    assert examine(documents(named("blocked", "u9"), content), 0).ok


def test_a_test_counts_whatever_mode_sample_or_expiry_the_rule_has() -> None:
    test = {"given": {}, "expect": {"effect": "deny"}}
    for extra in ({"mode": "off"}, {"mode": "shadow"}, {"scope": {"sample": 0.01}}):
        assert examine(documents(rule(tests=[test], expires="2020-01-01T00:00:00Z", **extra)), 0).ok


def test_the_schema_takes_what_the_reader_makes_of_the_plainest_rule() -> None:
    text = "kind: rule\nid: a\nrev: 1\non: [invite]\nmode: off\neffect: deny\n"
    assert examine(documents(next(read_yaml(text)).content), 0).ok
