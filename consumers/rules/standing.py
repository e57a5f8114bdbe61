"""What a rules consumer says about itself: what it serves, how fresh that is, what it refused."""

from typing import Literal, NamedTuple

from consumers.rules.problems import Problem
from consumers.rules.topic import BadRecord
from schemas.decisions import RuleSet


class Rejection(NamedTuple):
    """A manifest that is not served, and why. ``version`` is None where it cannot be read."""

    version: int | None
    problems: tuple[Problem, ...]
    at_ms: int


class RulesStatus(NamedTuple):
    """What is served and how fresh it is.

    ``source`` is where the served set came from. ``connected`` says whether the topic is being read,
    ``disconnected_because`` why not. ``missing``: the topic holds no manifest although a set is served.
    ``errors`` counts decisions the fallback answered since a rule raised. ``disk_problem`` says why the set
    is not kept, or what was kept is not used.
    """

    set_name: str
    rule_set: RuleSet | None
    source: Literal["topic", "disk"] | None
    rules: int
    lists: int
    staleness_seconds: float | None
    ready: bool
    connected: bool
    disconnected_because: str | None
    missing: bool
    rejected: Rejection | None
    bad_records: int
    last_bad_records: tuple[BadRecord, ...]
    errors: int
    last_error: str | None
    disk_problem: str | None
    fallback: Literal["allow", "deny"]
