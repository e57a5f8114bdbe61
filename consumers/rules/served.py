"""From stored bytes to a set that may be served: everything a manifest names, checked, tested, compiled.

The topic and the disk both come through ``resolve``.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from bridge.errors import RulesRefused
from consumers.rules.documents import Document, arrange
from consumers.rules.examination import compile_set, examine
from consumers.rules.index import Index
from consumers.rules.operators import Lists
from consumers.rules.problems import Problem
from consumers.rules.records import (
    chunk_key,
    content_digest,
    digest_of,
    manifest_key,
    named_keys,
    rule_key,
)
from consumers.rules.schema import faults
from consumers.rules.topic import parse_object
from schemas.decisions import RuleSet


class Served(NamedTuple):
    """One set that checked out, immutable. ``manifest`` and ``records`` are the bytes it was made from.

    ``tests`` is how many of the rules' own tests ran, all green.
    """

    rule_set: RuleSet
    compiled: Index
    rules: int
    lists: int
    tests: int
    manifest: bytes
    records: Mapping[str, bytes]


class Rejected(RulesRefused):
    """A manifest does not check out; ``version`` is None where it cannot be read."""

    def __init__(self, version: int | None, problems: tuple[Problem, ...]) -> None:
        super().__init__(f"version {version} of the rules does not check out", problems)
        self.version = version


def resolve(set_name: str, manifest: bytes, stored: Mapping[str, bytes], now_ms: int) -> Served:
    """Return the set the manifest names, from the values stored by key. Raises Rejected.

    The rules' own tests have run, every digest was compared, and nothing of it is compiled in part.
    """
    named, problems = read_manifest(set_name, manifest)
    version = named.get("version") if isinstance(named.get("version"), int) else None
    if problems:
        raise Rejected(version, problems)
    try:
        return _assemble(named, manifest, stored, now_ms)
    except Rejected:
        raise
    except Exception as error:  # whatever stands on the topic, the last good set goes on
        wrong = _problem(manifest_key(set_name), f"cannot be made into a set: {error!r}")
        raise Rejected(version, (wrong,)) from error


def read_manifest(set_name: str, value: bytes) -> tuple[dict[str, Any], tuple[Problem, ...]]:
    """Return the manifest with what is wrong with it by itself; empty where it cannot be read at all."""
    key = manifest_key(set_name)
    content = parse_object(value)
    if content is None:
        return {}, (_problem(key, "is not a JSON object"),)
    problems = tuple(Problem(key, 0, 0, path, message) for path, message in faults("manifest", content))
    if not problems and content["set"] != set_name:
        problems = (_problem(key, f"is the manifest of set {content['set']!r}"),)
    if not problems and content_digest(content["rules"], content["lists"]) != content["digest"]:
        problems = (
            _problem(key, "its digest is not that of what it names: it was changed after publication"),
        )
    return content, problems


def _assemble(named: Mapping[str, Any], manifest: bytes, stored: Mapping[str, bytes], now_ms: int) -> Served:
    problems: list[Problem] = []
    rules = list(_rules(named, stored, problems))
    lists = _lists(named, stored, problems)
    documents = arrange(rules, problems)._replace(named=frozenset(lists))
    report = examine(documents, now_ms)
    if report.problems:
        raise Rejected(named["version"], report.problems)
    contents = [document.content for document in documents.rules]
    return Served(
        rule_set=RuleSet(named["set"], named["version"], named["digest"]),
        compiled=compile_set(contents, lists),
        rules=len(contents),
        lists=len(lists),
        tests=report.tests_run,
        manifest=manifest,
        records={key: stored[key] for key in named_keys(named)},
    )


def _rules(
    named: Mapping[str, Any], stored: Mapping[str, bytes], problems: list[Problem]
) -> Iterator[Document]:
    for reference in named["rules"]:
        key = rule_key(reference["id"], reference["rev"])
        content = _content(key, reference["digest"], stored, problems)
        if content is None:
            continue
        if (content.get("id"), content.get("rev")) != (reference["id"], reference["rev"]):
            problems.append(_problem(key, "holds another rule or revision than its key says"))
        else:
            yield Document(key, 0, 0, content)


def _lists(named: Mapping[str, Any], stored: Mapping[str, bytes], problems: list[Problem]) -> Lists:
    lists = {}
    for reference in named["lists"]:
        name = reference["name"]
        values: set[str] = set()
        for chunk in reference["chunks"]:
            key = chunk_key(name, chunk)
            content = _content(key, chunk, stored, problems)
            wrong = [] if content is None else list(faults("chunk", content))
            problems += [Problem(key, 0, 0, path, message) for path, message in wrong]
            if content is not None and not wrong:
                values.update(content["values"])
        lists[name] = frozenset(values)
        if len(values) != reference["count"] and not problems:
            said = f"{len(values)} values where the manifest says {reference['count']}"
            problems.append(_problem(f"list/{name}", said))
    return lists


def _content(
    key: str, digest: str, stored: Mapping[str, bytes], problems: list[Problem]
) -> dict[str, Any] | None:
    value = stored.get(key)
    if value is None:
        problems.append(_problem(key, "is named by the manifest and does not stand on the topic"))
    elif digest_of(value) != digest:
        problems.append(_problem(key, "its digest is not the one the manifest names: the content differs"))
    else:
        return parse_object(value)
    return None


def _problem(key: str, message: str) -> Problem:
    return Problem(key, 0, 0, "", message)
