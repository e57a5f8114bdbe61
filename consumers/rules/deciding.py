"""From one question and a compiled set to a decision: pure, no input or output, nothing awaited."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal, NamedTuple

from consumers.rules.acts import Asked
from consumers.rules.conditions import Members
from consumers.rules.facts import Values
from consumers.rules.index import Index, Shelf
from consumers.rules.rule import Rule, Said, Wish
from consumers.rules.saying import SaidOutcomes
from schemas.decisions import Decision, Effect, Outcome, Question, RuleSet

FallbackReason = Literal["not_ready", "no_rules", "rejected", "too_stale", "needs", "error"]
_ALLOW = Effect("allow")
_DENY = Effect("deny")
_NOBODY: Members = frozenset()


class Verdict(NamedTuple):
    """What the rules resolve to, and the rules that brought it about, highest rank first."""

    wanted: Effect
    because: Sequence[Rule]


def decide(
    index: Index, rule_set: RuleSet, question: Question, staleness_ms: int, now_ms: int, fallback: str
) -> Decision:
    """Return what the rules say: every rule in scope counts, none first."""
    asked = index.ask(question)
    if asked is None:
        return Decision(_ALLOW, _ALLOW, rule_set=rule_set, staleness_ms=staleness_ms)
    return decide_asked(index, rule_set, asked, staleness_ms, now_ms, fallback)


def decide_asked(
    index: Index, rule_set: RuleSet, asked: Asked, staleness_ms: int, now_ms: int, fallback: str
) -> Decision:
    """Return what the rules say to these facts; those of ``asked`` must include all that they consult."""
    values, members = asked.values, asked.members
    shelves = index.find(asked.act.name, values)
    stale = _too_stale(shelves, values, staleness_ms, now_ms)
    if stale:
        decision = fallen_back(fallback, "needs")
        return decision._replace(rule_set=rule_set, staleness_ms=staleness_ms, outcomes=stale)
    everyone = frozenset(members)
    said = _ask(index.candidates(shelves, values, everyone), values, everyone, now_ms)
    shadow = [one for one in said if one[0].mode == "shadow"]
    enforced = resolve([one for one in said if one[0].mode == "enforce"] if shadow else said, members)
    sent, because = enforceable(enforced, asked.partial)
    teller = next(iter(because), None)
    return Decision(
        wanted=enforced.wanted,
        sent=sent,
        reason_text=_text(teller, asked, sent),
        reason_code=_code(teller, asked, sent),
        rule_set=rule_set,
        staleness_ms=staleness_ms,
        outcomes=SaidOutcomes(said),
        facts=_facts(shelves, values),
        reason_rule=teller.id if teller else None,
        shadow=resolve(said, members).wanted if any(one[1] for one in shadow) else None,
    )


def resolve(said: Sequence[Said], members: Sequence[str]) -> Verdict:
    """Return the strongest effect and its rules: override-allow, deny, members refused, allow, default."""
    wishes = {one[1] for one in said}
    allowing = _wishing("allow", said) if "allow" in wishes else []
    overriding = [rule for rule in allowing if rule.override]
    if overriding:
        return Verdict(_ALLOW, overriding)
    if "deny" in wishes:
        return Verdict(_DENY, _wishing("deny", said))
    if "refuse_members" in wishes:
        kept_out = frozenset().union(*{one[2] for one in said})
        return Verdict(_refusal(kept_out, members), _wishing("refuse_members", said))
    return Verdict(_ALLOW, allowing)


def _wishing(wish: Wish, said: Sequence[Said]) -> list[Rule]:
    return [one[0] for one in said if one[1] == wish]


def _refusal(kept_out: Collection[str], members: Sequence[str]) -> Effect:
    refused = [member for member in members if member in kept_out]
    return _DENY if len(refused) == len(members) else Effect("refuse_members", tuple(dict.fromkeys(refused)))


def enforceable(verdict: Verdict, partial: bool) -> Verdict:
    """Return what the provider can be told: where it cannot refuse some, its rules say deny or allow.

    One rule that says deny is enough.
    """
    if partial or verdict.wanted.kind != "refuse_members":
        return verdict
    denying = [rule for rule in verdict.because if rule.deny_when_partial_unsupported]
    return Verdict(_DENY, denying) if denying else Verdict(_ALLOW, verdict.because)


def fallen_back(fallback: str, why: FallbackReason) -> Decision:
    """Return the configured answer, marked with why the rules did not give it."""
    effect = _DENY if fallback == "deny" else _ALLOW
    text = "No decision can be made at the moment." if fallback == "deny" else ""
    return Decision(wanted=effect, sent=effect, reason_text=text, fallback=why)


def _ask(rules: Iterable[tuple[Rule, Members]], values: Values, everyone: Members, now_ms: int) -> list[Said]:
    """Return what the rules say, in their order."""
    said: list[Said] = []
    for rule, found in rules:
        if rule.is_looked_up:  # half the price of asking it, and most rules are
            said.append((rule, rule.wish, found if rule.wish == "refuse_members" else _NOBODY, True, ()))
            continue
        try:
            one = rule.say(values, everyone, found)
        except Exception as error:
            error.add_note(f"in rule {rule.id} rev {rule.rev}")
            raise
        if one is not None and now_ms < rule.expires_ms:
            said.append(one)
    return said


def _too_stale(
    shelves: Iterable[Shelf], values: Values, staleness_ms: int, now_ms: int
) -> tuple[Outcome, ...]:
    """Return the enforced rules in scope that do not answer for rules as old as these."""
    needy = [
        rule
        for shelf in shelves
        for rule in shelf.needy
        if staleness_ms > rule.max_staleness_ms
        and now_ms < rule.expires_ms
        and (rule.in_scope is None or rule.in_scope(values) is not False)
    ]
    needy.sort(key=lambda rule: rule.rank)
    return tuple(
        Outcome(rule.id, rule.rev, rule.mode, None, matched=False, missing=("max_staleness",))
        for rule in needy
    )


def _facts(shelves: Iterable[Shelf], values: Values) -> dict[str, Any]:
    names = sorted({name for shelf in shelves for name in shelf.facts})
    return {name: value for name in names if (value := values[name]) is not None}


def _text(teller: Rule | None, asked: Asked, sent: Effect) -> str:
    if teller is not None and teller.text:
        return teller.text
    return "" if sent.kind == "allow" else asked.act.refusal


def _code(teller: Rule | None, asked: Asked, sent: Effect) -> int | None:
    """Return the code the provider is told: with a full refusal, or with the verdict on each one refused."""
    verdicts = sent.kind == "refuse_members" and asked.values["request.command"] in asked.act.verdicts
    if teller is None or not (verdicts or sent.kind == "deny"):
        return None
    return teller.codes.get(str(asked.values["request.provider"]))
