"""Which provider a request belongs to: by base path, else by the bare forms a provider claims."""

from collections.abc import Mapping, Sequence

from bridge.providers.base import Provider, RawRequest


class Routes:
    """Finds the provider; the longest base path that fits wins, bare forms are asked in the given order."""

    def __init__(self, providers: Sequence[Provider]) -> None:
        self._providers = tuple(providers)
        longest_first = sorted(providers, key=lambda provider: len(provider.base), reverse=True)
        self._based = tuple((provider.base, len(provider.base), provider) for provider in longest_first)

    def find(
        self, segments: tuple[str, ...], query: dict[str, str], headers: Mapping[str, str]
    ) -> tuple[Provider, RawRequest] | None:
        """Return the provider and the request as it takes it, None where no provider answers."""
        for base, length, provider in self._based:
            if segments[:length] == base:
                return provider, RawRequest(segments[length:], False, query, headers)
        for provider in self._providers:
            if provider.claims(segments, query):
                return provider, RawRequest(segments, True, query, headers)
        return None
