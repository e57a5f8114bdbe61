"""Picks the store for a URL; drivers are imported only then."""

from typing import Any, Final

from bridge.errors import ConfigurationError
from consumers.store.base import Store

LOG_BYTES: Final = 16 * 1024 * 1024


def store_for(url: str, *, log_bytes: int = LOG_BYTES, **options: Any) -> Store:
    """Return the store at ``url``, to be connected by its ``open()``: ``sqlite:///path``, ``postgresql://...``.

    ``log_bytes`` is what SQLite's write-ahead log may grow to (PostgreSQL sees to its own); ``options`` are
    the store's own bounds (``lock_seconds``, ...). Raises ConfigurationError for another
    scheme, for a SQLite URL without a file, and for a driver that is not installed.
    """
    scheme = url.partition(":")[0].partition("+")[0]
    if scheme == "sqlite":
        from consumers.store.sqlite import SqliteStore  # noqa: PLC0415 - only the driver asked for is loaded

        return SqliteStore(url, log_bytes=log_bytes, **options)
    if scheme in ("postgresql", "postgres"):
        return _postgres(url, **options)
    raise ConfigurationError(
        f"store.url begins with {scheme!r}: it is sqlite:///path/to/store.db or postgresql://user@host/database"
    )


def _postgres(url: str, **options: Any) -> Store:
    try:
        from consumers.store.postgres import PostgresStore  # noqa: PLC0415 - an extra that may be missing
    except ImportError as error:
        raise ConfigurationError(
            f"store.url names PostgreSQL, whose driver is not installed ({error}): "
            "install it with `pip install 'imbridge[postgres]'`"
        ) from error
    return PostgresStore(url, **options)
