"""Callbacks that hold events instead of being one: each part is read as if it had come alone."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from schemas.callback import Callback
from schemas.envelope import Envelope
from schemas.normalize.identity import nth_id
from schemas.normalize.misfit import Misfit
from schemas.normalize.origin import Part
from schemas.normalize.paths import elements_at

Element = Mapping[str, Any]
Parts = Callable[[Callback, Mapping[str, Any]], Iterator[tuple[Callback, Element, Part]]]


def compile_batch(path: str, at_most: int) -> Parts:
    """Return a function from a callback to its parts: each as if it came alone, its element, its place.

    ``path`` is a key of the body. It raises Misfit where the list holds nothing, or more than ``at_most``.
    """
    read_elements = elements_at(path)

    def read(callback: Callback, body: Mapping[str, Any]) -> Iterator[tuple[Callback, Element, Part]]:
        elements = read_elements(body) or ()
        if not 1 <= len(elements) <= at_most:
            raise Misfit(f"{path} must hold 1 to {at_most} events, got {len(elements)}")
        for number, element in enumerate(elements, 1):
            alone = {**body, path: [element]}
            one = callback._replace(body=orjson.dumps(alone), json=alone)
            yield one, element, Part(number, len(elements))

    return read


def told_apart(events: Sequence[Envelope]) -> list[Envelope]:
    """Return the events of one batch, each with an id of its own: nothing in a batch is a repeat."""
    seen: Counter[str] = Counter()
    distinct = []
    for event in events:
        before = seen[event.id]
        distinct.append(event._replace(id=nth_id(event.id, before)) if before else event)
        seen[event.id] += 1
    return distinct
