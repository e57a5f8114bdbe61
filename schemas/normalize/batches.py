"""Bodies that hold events instead of being one: each part is read as if it had come alone."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from schemas.normalize.misfit import Misfit
from schemas.normalize.origin import Part
from schemas.normalize.paths import elements_at

Parts = Callable[[Mapping[str, Any]], Iterator[tuple[Mapping[str, Any], Part]]]


def compile_batch(path: str, at_most: int) -> Parts:
    """Return a function from a body to its parts, in order. It raises Misfit for none, and for too many.

    ``path`` is a key of the body; a part's own body is the whole one with that part alone in the list.
    """
    read_elements = elements_at(path)

    def read(body: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Part]]:
        elements = read_elements(body) or ()
        if not 1 <= len(elements) <= at_most:
            raise Misfit(f"{path} must hold 1 to {at_most} events, got {len(elements)}")
        for number, element in enumerate(elements, 1):
            yield element, Part(number, len(elements), {**body, path: [element]})

    return read
