"""The last good set on disk: one file per set, replaced whole, checked by digest, served without the topic.

``{set}.rules`` is a line ``imbridge-rules FORMAT DIGEST`` and a JSON body. ``{set}.seen`` beside it says
when the topic was last read to its end; it is a courtesy, so losing it only makes the rules look older.
"""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from secrets import token_hex
from typing import Any, Final, NamedTuple

import orjson

from bridge.errors import FormatTooNew, LogCorrupt, LogError
from bridge.log.segments.locks import lock_within
from consumers.rules.topic import parse_object

FORMAT: Final = 1
_MAGIC: Final = b"imbridge-rules"
_TEMPORARY: Final = ".writing"
_LOCK_SECONDS: Final = 5.0
_ABANDONED_SECONDS: Final = 3600


class Snapshot(NamedTuple):
    """A set as kept: the manifest and every record it names, verbatim.

    ``read_at_ms`` is when the topic ``log_id`` was last read to its end with this set the one to serve.
    """

    set_name: str
    log_id: str
    read_at_ms: int
    manifest: bytes
    records: Mapping[str, bytes]


def save(directory: Path, snapshot: Snapshot) -> bool:
    """Make the snapshot durable in place of the one before it and return True. Raises OSError, LogError.

    Processes share the directory: a later version of the same log, kept by a faster one, stays. That is
    looked at and the file replaced under a lock.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with lock_within(directory, _LOCK_SECONDS):
        if not _later_is_there(directory, snapshot):
            _write(directory, snapshot)
    return True


def _write(directory: Path, snapshot: Snapshot) -> None:
    body = orjson.dumps(
        {
            "set": snapshot.set_name,
            "log_id": snapshot.log_id,
            "read_at_ms": snapshot.read_at_ms,
            "manifest": snapshot.manifest.decode(),
            "records": {key: value.decode() for key, value in snapshot.records.items()},
        }
    )
    head = b" ".join((_MAGIC, str(FORMAT).encode(), _digest(body)))
    _replace(_path(directory, snapshot.set_name), head + b"\n" + body, durable=True)
    _sweep(directory)


def load(directory: Path, set_name: str) -> Snapshot | None:
    """Return the snapshot of the set, None when there is none.

    Raises LogCorrupt, FormatTooNew, OSError.
    """
    path = _path(directory, set_name)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    fields = _checked(path, content)
    kept = Snapshot(
        set_name=fields["set"],
        log_id=fields["log_id"],
        read_at_ms=fields["read_at_ms"],
        manifest=fields["manifest"].encode(),
        records={key: value.encode() for key, value in fields["records"].items()},
    )
    return kept._replace(read_at_ms=max(kept.read_at_ms, _seen(directory, kept)))


def note_seen(directory: Path, snapshot: Snapshot) -> None:
    """Note that this set was still the one to serve at ``read_at_ms``, not durably. Raises OSError."""
    noted = {"id": _identity(snapshot), "read_at_ms": snapshot.read_at_ms}
    _replace(directory / f"{snapshot.set_name}.seen", orjson.dumps(noted), durable=False)


def remove(directory: Path, set_name: str) -> None:
    """Make sure no snapshot of the set is there. Raises OSError."""
    _path(directory, set_name).unlink(missing_ok=True)
    (directory / f"{set_name}.seen").unlink(missing_ok=True)


def _later_is_there(directory: Path, snapshot: Snapshot) -> bool:
    try:
        there = load(directory, snapshot.set_name)
    except LogError:
        return False
    return (
        there is not None
        and there.log_id == snapshot.log_id
        and _version(there.manifest) > _version(snapshot.manifest)
    )


def _version(manifest: bytes) -> int:
    content = parse_object(manifest) or {}
    version = content.get("version")
    return version if isinstance(version, int) else 0


def _checked(path: Path, content: bytes) -> dict[str, Any]:
    head, _, body = content.partition(b"\n")
    fields = head.split(b" ")
    if len(fields) != 3 or fields[0] != _MAGIC or not fields[1].isdigit():  # noqa: PLR2004 magic, format, digest
        raise LogCorrupt(f"{path} is no snapshot of rules: it is passed over until the topic has been read")
    if int(fields[1]) > FORMAT:
        raise FormatTooNew(
            f"{path} has format {int(fields[1])}, this program reads up to {FORMAT}: upgrade it"
        )
    if fields[2] != _digest(body):
        raise LogCorrupt(
            f"{path} is damaged (its digest differs): it is passed over until the topic has been read"
        )
    return orjson.loads(body)  # type: ignore[no-any-return]


def _seen(directory: Path, snapshot: Snapshot) -> int:
    """Return when the topic was last noted as read, 0 when nothing usable says so."""
    try:
        noted = parse_object((directory / f"{snapshot.set_name}.seen").read_bytes()) or {}
    except OSError:
        return 0
    when = noted.get("read_at_ms")
    return when if noted.get("id") == _identity(snapshot) and isinstance(when, int) else 0


def _identity(snapshot: Snapshot) -> str:
    return f"{snapshot.log_id} {_digest(snapshot.manifest).decode()}"


def _replace(path: Path, content: bytes, *, durable: bool) -> None:
    """Put the content in place at once: readers see the old file or the new one, whole."""
    temporary = path.with_name(f".{path.name}.{token_hex(6)}{_TEMPORARY}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if durable:
        _sync_directory(path.parent)


def _sweep(directory: Path) -> None:
    """Remove what a process left behind that was killed while writing."""
    for left in directory.glob(f".*{_TEMPORARY}"):
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
                left.unlink()


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(body: bytes) -> bytes:
    return blake2b(body, digest_size=16).hexdigest().encode()


def _path(directory: Path, set_name: str) -> Path:
    return directory / f"{set_name}.rules"
