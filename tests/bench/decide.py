"""How long one decision takes at 200 rules and 50 invitees. Run: python -m tests.bench.decide."""

import gc
import time
from typing import Any

from rich.console import Console

from consumers.rules.deciding import decide
from consumers.rules.examination import compile_set
from schemas.callback import Callback
from schemas.decisions import Question, RuleSet
from tests.bench.report import Report, Table, show

RULES, INVITEES, ROUNDS = 200, 50, 3_000
_LISTS = {f"list-{number}": frozenset(f"user-{number}-{one}" for one in range(1_000)) for number in range(10)}


def _rule(number: int) -> dict[str, Any]:
    """Return one of five common shapes of rule, all within the question's scope."""
    members = {
        "any": [
            {"fact": "invitee.id", "on_list": f"list-{number % 10}"},
            {"fact": "invitee.id", "in": [f"someone-{number}-{one}" for one in range(20)]},
        ]
    }
    shapes: tuple[dict[str, Any], ...] = (
        {"members": members, "effect": "refuse_members"},
        {"match": {"fact": "inviter.id", "on_list": f"list-{number % 10}"}, "effect": "deny"},
        {
            "match": {
                "all": [
                    {"fact": "request.member_count", "gt": 60 + number},
                    {"not": {"fact": "inviter.id", "prefix": "staff-"}},
                ]
            },
            "effect": "deny",
        },
        {"members": {"fact": "invitee.id", "prefix": f"bot-{number}-"}, "effect": "refuse_members"},
        {"match": {"fact": "request.platform", "eq": "RESTAPI"}, "effect": "allow"},
    )
    return {
        "kind": "rule",
        "id": f"rule-{number}",
        "rev": 1,
        "on": ["invite"],
        "scope": {"provider": ["tencent", "openim"]},
        **shapes[number % len(shapes)],
    }


def documents() -> list[dict[str, Any]]:
    """Return the rules and their lists as documents to publish."""
    lists = [{"kind": "list", "name": name, "values": sorted(values)} for name, values in _LISTS.items()]
    return [*lists, *(_rule(number) for number in range(RULES))]


def _question(partial: bool) -> Question:
    invitees = tuple(f"user-{number % 10}-{number + 990}" for number in range(INVITEES))
    data = {"group_id": "g1", "group_type": "Work", "inviter_id": "ada", "invitee_ids": list(invitees)}
    query = {"OptPlatform": "RESTAPI"}
    command = "Group.CallbackBeforeInviteJoinGroup"
    callback = Callback("tencent", "1400000000", command, query, None, b"", {}, 0)
    return Question("invite", command, "group/g1", "g1", data, invitees, partial, callback)


def measure(rounds: int = ROUNDS) -> Report:
    """Return what one decision takes at the 50th and 99th percentile, and at worst."""
    raw = _figures(rounds)
    columns = ("rules, invitees", "p50 us", "p99 us", "worst us", "us a rule")
    figures = [str(raw[name]) for name in ("p50_us", "p99_us", "worst_us", "us_per_rule")]
    table = Table("Deciding, one question at a time", columns, [(f"{RULES}, {INVITEES}", *figures)])
    notes = [f"{rounds} decisions; {raw['matched']} rules match, {raw['refused']} invitees are refused"]
    return Report("decide", [table], notes, raw)


def _figures(rounds: int) -> dict[str, Any]:
    index = compile_set([_rule(number) for number in range(RULES)], _LISTS)
    rule_set, question = RuleSet("default", 1, "0" * 32), _question(partial=True)
    others = question.members[:-1]
    questions = [question._replace(members=(*others, f"guest-{number}")) for number in range(rounds)]
    taken = []
    gc.collect()
    for question in questions:
        started = time.perf_counter_ns()
        decide(index, rule_set, question, 0, 0, "allow")
        taken.append((time.perf_counter_ns() - started) / 1000)
    taken.sort()
    decision = decide(index, rule_set, question, 0, 0, "allow")
    return {
        "rules": RULES,
        "invitees": INVITEES,
        "rounds": rounds,
        "matched": len(decision.outcomes),
        "refused": len(decision.wanted.refused),
        "p50_us": round(taken[rounds // 2], 1),
        "p99_us": round(taken[rounds * 99 // 100], 1),
        "worst_us": round(taken[-1], 1),
        "us_per_rule": round(taken[rounds // 2] / RULES, 2),
    }


if __name__ == "__main__":
    show(measure(), Console())
