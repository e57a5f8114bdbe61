"""What a before-callback asks, and what is answered: neutral of the provider.

A ``Question`` is built by the catalog, a ``Decision`` by the rules, a reply by the provider.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from schemas.callback import Callback

EffectKind = Literal["allow", "deny", "refuse_members", "drop", "modify"]


class Question(NamedTuple):
    """One before-callback, as the rules see it.

    ``act`` is what is about to happen (``invite``). ``data`` holds the normalized fields
    (``group_id``, ``group_type``, ``inviter_id``, ``invitee_ids``, ...); a field the provider did not send
    is absent. ``members`` are the people the act is about. ``partial`` says whether the provider can
    refuse some of them. ``command`` is the callback's by its name in the catalog, however it was spelled.
    """

    act: str
    command: str
    subject: str
    partitionkey: str
    data: Mapping[str, Any]
    members: tuple[str, ...]
    partial: bool
    callback: Callback


class Effect(NamedTuple):
    """What happens to the act.

    It goes ahead, it is refused, ``refused`` members are kept out of it, it is dropped while the user sees
    success, or it goes ahead with ``changes``: new values of normalized fields (``content``, ``extension``).
    """

    kind: EffectKind = "allow"
    refused: tuple[str, ...] = ()
    changes: Mapping[str, Any] = {}


class Outcome(NamedTuple):
    """What one rule said about one question.

    ``effect`` is what it asks for, None where it asks for nothing: it only annotates, or it did not match
    because it hinges on the facts named in ``missing``. Shadow outcomes never reach the answer.
    """

    rule: str
    rev: int
    mode: Literal["enforce", "shadow"]
    effect: Effect | None
    matched: bool = True
    missing: tuple[str, ...] = ()


class RuleSet(NamedTuple):
    """Which set of rules answered: name, version (grows with every activation) and digest of the content."""

    name: str
    version: int
    digest: str


class Decision(NamedTuple):
    """The answer to one question.

    ``wanted`` is what the rules resolved to, ``sent`` what the provider was told; they differ where the
    provider cannot refuse some. ``reason_code`` is the provider's code, None for its default;
    ``reason_rule`` names the rule whose reason it is. ``outcomes`` holds every rule that matched or hinged
    on a missing fact; ``facts`` the facts the rules in scope consult, with their values.
    ``staleness_ms`` is the age of the rules at the moment of deciding. ``fallback`` says why the
    configured fallback answered instead of the rules, None when the rules answered. ``shadow`` is what
    would have been wanted were the matching shadow rules enforced, None when none matched.
    """

    wanted: Effect
    sent: Effect
    reason_text: str = ""
    reason_code: int | None = None
    rule_set: RuleSet | None = None
    staleness_ms: int | None = None
    outcomes: Sequence[Outcome] = ()
    facts: Mapping[str, Any] = {}
    fallback: str | None = None
    elapsed_us: int = 0
    reason_rule: str | None = None
    shadow: Effect | None = None
