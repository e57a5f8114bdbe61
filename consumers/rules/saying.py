"""What rules say to one question: kept as they say it, made into outcomes or written when asked for.

A question may match hundreds of rules; of what each says all but whom it refuses is the same each time, and
is written once, with the rule.
"""

from collections.abc import Sequence

import orjson

from consumers.rules.rule import Said
from schemas.decisions import Effect, Outcome
from schemas.named import make
from schemas.outcomes import Outcomes, form_of


class SaidOutcomes(Outcomes):
    """What rules said, in their order."""

    __slots__ = ("_said",)

    def __init__(self, said: Sequence[Said]) -> None:
        self._said = said

    def __len__(self) -> int:
        return len(self._said)

    def made(self) -> tuple[Outcome, ...]:
        """Return the outcomes."""
        return tuple([_outcome(one) for one in self._said])

    def written(self) -> bytes:
        """Return the outcomes as a JSON array."""
        refusals = {refused for _, _, refused, _, _ in self._said}
        ends = {refused: orjson.dumps(sorted(refused)) + b"}" for refused in refusals}
        parts = [
            rule.matched_json + ends[refused]
            if matched and not missing
            else orjson.dumps(form_of(_outcome((rule, kind, refused, matched, missing))))
            for rule, kind, refused, matched, missing in self._said
        ]
        return b"[%b]" % b",".join(parts)


def _outcome(said: Said) -> Outcome:
    rule, kind, refused, matched, missing = said
    effect = None if kind is None else Effect(kind, tuple(sorted(refused)))
    return make(Outcome, (rule.id, rule.rev, rule.mode, effect, matched, missing))
