"""What verify says: how many of each kind, with a few examples."""

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from bridge.simulate.claims import Claim, Claims
from bridge.simulate.sightings import Inversion, Sightings

_EXAMPLES: Final = 5
_AGAINST: Final = ("missing", "split", "merged", "inversions")
Item = TypeVar("Item")
Told = dict[str, Any]


def findings(claims: Claims, seen: Sightings) -> dict[str, Any]:
    """Return every count, and under ``examples`` the first of each kind that has any.

    ``indistinct`` counts pairs of twins that their rows cannot tell apart, with their commands as examples.
    """
    lost = sum(callbacks for _, callbacks in seen.missing())
    told = {
        "missing": _told(seen.missing(), lambda pair: _named(pair[0])),
        "duplicated": _told(seen.duplicated(), _named),
        "split": _told(seen.split(), _named),
        "merged": _told(seen.merged(), lambda pair: {"markers": [str(claim.marker) for claim in pair]}),
        "inversions": _told(seen.inversions(), _placed),
        "indistinct": _told(claims.indistinct(), lambda claim: {"command": claim.command}),
    }
    return {
        "acknowledged": claims.callbacks,
        "found": claims.callbacks - lost,
        **{kind: count for kind, (count, _) in told.items()},
        "missing": lost,
        "unordered": seen.unbound,
        "records": seen.records,
        "examples": {kind: examples for kind, (_, examples) in told.items() if examples},
    }


def is_kept(found: dict[str, Any]) -> bool:
    """Return whether every promise was kept; a duplicate under the same id is allowed."""
    return not any(found.get(kind) for kind in _AGAINST)


def _told(items: Iterable[Item], tell: Callable[[Item], Told]) -> tuple[int, list[Told]]:
    """Return how many there are, and what the first different ones look like."""
    count, examples = 0, list[Told]()
    for count, item in enumerate(items, 1):  # noqa: B007 how many there were
        if len(examples) < _EXAMPLES and (told := tell(item)) not in examples:
            examples.append(told)
    return count, examples


def _named(claim: Claim) -> Told:
    return {"marker": str(claim.marker), "command": claim.command}


def _placed(inversion: Inversion) -> Told:
    topic, key, journal = inversion.lane
    first, second = str(inversion.first), str(inversion.second)
    return {
        "acknowledged_first": first,
        "stands_first": second,
        "topic": topic,
        "key": key,
        "journal": journal,
    }
