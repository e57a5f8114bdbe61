"""How rules stand on the topic: keys, canonical bytes, digests, lists in chunks, manifests.

``rule/{id}/{rev}`` never changes its content. ``list/{name}/{digest}`` is named by its content, so an old
manifest stays valid. ``manifest/{set}`` names exactly what makes up a set; writing it activates all at once.
"""

import re
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import orjson

from bridge.log.base import Record
from consumers.rules.documents import Documents
from schemas.topics import RULES

API_VERSION: Final = "im.rules/v1"
CHUNK_VALUES: Final = 2_000
HEADERS: Final = {"content-type": "application/json"}
_KEY: Final = re.compile(r"rule/[^/]+/[1-9][0-9]*|list/[^/]+/[0-9a-f]{32}|manifest/[^/]+")


class Packed(NamedTuple):
    """A set as it goes onto the topic: its records by key, and how a manifest names them."""

    records: dict[str, bytes]
    rules: list[dict[str, Any]]
    lists: list[dict[str, Any]]

    @property
    def digest(self) -> str:
        """The digest of the whole content: equal sets have equal digests, whatever their version."""
        return content_digest(self.rules, self.lists)


def rule_key(name: str, rev: int) -> str:
    """Return the key of one revision of a rule."""
    return f"rule/{name}/{rev}"


def chunk_key(name: str, digest: str) -> str:
    """Return the key of one chunk of a list."""
    return f"list/{name}/{digest}"


def manifest_key(set_name: str) -> str:
    """Return the key of the manifest of a set."""
    return f"manifest/{set_name}"


def is_known_key(key: str | None) -> bool:
    """Return whether this program knows what stands under the key."""
    return key is not None and _KEY.fullmatch(key) is not None


def canonical(content: Mapping[str, Any]) -> bytes:
    """Return the one form in which this content is stored and digested."""
    return orjson.dumps(content, option=orjson.OPT_SORT_KEYS)


def digest_of(value: bytes) -> str:
    """Return the digest of stored bytes: 32 hex digits."""
    return blake2b(value, digest_size=16).hexdigest()


def content_digest(rules: Any, lists: Any) -> str:
    """Return the digest of what a manifest names."""
    return digest_of(canonical({"rules": rules, "lists": lists}))


def record(key: str, value: bytes, now_ms: int) -> Record:
    """Return the record of the rules topic that holds the value under the key."""
    return Record(RULES, key, value, HEADERS, now_ms)


def pack(documents: Documents) -> Packed:
    """Return the documents as records, each rule by id, each list in chunks by content."""
    records: dict[str, bytes] = {}
    rules, lists = [], []
    for content in sorted((document.content for document in documents.rules), key=lambda one: str(one["id"])):
        value = canonical({**content, "apiVersion": API_VERSION})
        records[rule_key(content["id"], content["rev"])] = value
        rules.append({"id": content["id"], "rev": content["rev"], "digest": digest_of(value)})
    for content in sorted(
        (document.content for document in documents.lists), key=lambda one: str(one["name"])
    ):
        values = set(content["values"])
        chunks = {digest_of(value): value for value in _chunks(content["name"], values)}
        records |= {chunk_key(content["name"], digest): value for digest, value in chunks.items()}
        lists.append({"name": content["name"], "count": len(values), "chunks": sorted(chunks)})
    return Packed(records, rules, lists)


def _chunks(name: str, values: Iterable[str]) -> list[bytes]:
    """Return a list's values spread by hash over a power of two of chunks: a change rewrites one of them."""
    every = list(values)
    count = 1
    while count * CHUNK_VALUES < len(every):
        count *= 2
    spread: list[list[str]] = [[] for _ in range(count)]
    for value in every:
        spread[int.from_bytes(blake2b(value.encode(), digest_size=8).digest()) % count].append(value)
    return [
        canonical({"apiVersion": API_VERSION, "kind": "chunk", "name": name, "values": sorted(part)})
        for part in spread
        if part
    ]


def named_keys(manifest: Mapping[str, Any]) -> set[str]:
    """Return the keys of every record a manifest that fits the schema names."""
    keys = {rule_key(rule["id"], rule["rev"]) for rule in manifest["rules"]}
    return keys | {chunk_key(one["name"], chunk) for one in manifest["lists"] for chunk in one["chunks"]}
