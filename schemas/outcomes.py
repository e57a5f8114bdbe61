"""What rules said to one question, as the event of its decision holds it."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, overload

import orjson

from schemas.decisions import Outcome


class Outcomes(Sequence[Outcome]):
    """Outcomes that are made when somebody looks: most are written into an event and never looked at."""

    __slots__ = ()

    @abstractmethod
    def made(self) -> tuple[Outcome, ...]:
        """Return the outcomes."""

    @abstractmethod
    def written(self) -> bytes:
        """Return them as ``form_of`` has them, as a JSON array."""

    @overload
    def __getitem__(self, place: int) -> Outcome: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Outcome, ...]: ...
    def __getitem__(self, place: int | slice) -> Outcome | tuple[Outcome, ...]:
        return self.made()[place]

    def __iter__(self) -> Iterator[Outcome]:
        return iter(self.made())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self.made() == tuple(other)

    __hash__ = None  # type: ignore[assignment]  # nor are effects hashable

    def __repr__(self) -> str:
        return repr(self.made())


def forms_of(outcomes: Sequence[Outcome]) -> Any:
    """Return the outcomes as JSON values, or as the JSON they know how to write themselves."""
    if isinstance(outcomes, Outcomes):
        return orjson.Fragment(outcomes.written())
    return [form_of(outcome) for outcome in outcomes]


def form_of(outcome: Outcome) -> dict[str, Any]:
    """Return one outcome as a JSON value; whom it refuses comes last."""
    effect = outcome.effect
    return {
        "id": outcome.rule,
        "rev": outcome.rev,
        "mode": outcome.mode,
        "matched": outcome.matched,
        "missing": outcome.missing,
        "effect": None if effect is None else effect.kind,
        "refused": () if effect is None else effect.refused,
    }
