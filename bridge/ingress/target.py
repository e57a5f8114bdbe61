"""The request target of a callback: path segments and query parameters, whatever a sender wrote."""

from functools import lru_cache
from urllib.parse import unquote, unquote_plus


def read_target(raw: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return path segments without empty ones, and query parameters, both decoded.

    Of several parameters with one name the first counts. Bytes that are not UTF-8 are replaced: it never
    raises.
    """
    if not raw.isascii():
        raw = raw.encode(errors="surrogateescape").decode(errors="replace")
    path, _, query = (raw if raw.startswith("/") else _origin_form(raw)).partition("?")
    return _segments(path), _parameters(query)


@lru_cache(maxsize=256)
def _segments(path: str) -> tuple[str, ...]:
    """Return the segments; of few paths, since it is by its query that a callback differs from the next."""
    segments = [segment for segment in path.split("/") if segment]
    return tuple([unquote(segment) for segment in segments] if "%" in path else segments)


def _origin_form(raw: str) -> str:
    """Return the target without scheme and authority, which a sender to a proxy writes before the path."""
    _, scheme, rest = raw.partition("://")
    return f"/{rest.partition('/')[2]}" if scheme else "/"


def _parameters(query: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    quoted = "%" in query or "+" in query
    for parameter in query.split("&"):
        name, _, value = parameter.partition("=")
        if quoted:
            name, value = unquote_plus(name), unquote_plus(value)
        if name and name not in parameters:
            parameters[name] = value
    return parameters
