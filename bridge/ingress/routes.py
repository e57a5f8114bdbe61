"""Which provider a request belongs to: by base path, else by the bare forms a provider claims."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bridge.providers.base import Provider


class Route(NamedTuple):
    """A provider and the path below its base path; ``bare`` says that it came outside of it."""

    provider: Provider
    segments: tuple[str, ...]
    bare: bool


class Routes:
    """Finds the provider; the longest base path that fits wins, bare forms are asked in the given order."""

    def __init__(self, providers: Sequence[Provider]) -> None:
        self._providers = tuple(providers)
        self._based = sorted(providers, key=lambda provider: len(provider.base), reverse=True)

    def find(self, segments: tuple[str, ...], query: Mapping[str, str]) -> Route | None:
        """Return the route, None where no provider answers."""
        for provider in self._based:
            below = len(provider.base)
            if segments[:below] == provider.base:
                return Route(provider, segments[below:], bare=False)
        for provider in self._providers:
            if provider.claims(segments, query):
                return Route(provider, segments, bare=True)
        return None
