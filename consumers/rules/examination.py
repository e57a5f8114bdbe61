"""All checks a set must pass before it is published or served, in one place."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from consumers.rules.checks import rule_faults, rule_warnings
from consumers.rules.documents import Document, Documents, load_documents
from consumers.rules.index import Index
from consumers.rules.operators import Lists
from consumers.rules.problems import Problem
from consumers.rules.records import canonical
from consumers.rules.rule import compile_rule
from consumers.rules.trials import failures

MAX_RULES: Final = 5_000
MAX_LISTS: Final = 1_000
MAX_LIST_VALUES: Final = 1_000_000
MAX_RULE_BYTES: Final = 256 * 1024


class Report(NamedTuple):
    """What an examination found. ``tests_run`` and ``tests_failed`` count the rules' own tests."""

    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    rules: int
    lists: int
    tests_run: int
    tests_failed: int

    @property
    def ok(self) -> bool:
        """Whether the documents can be published."""
        return not self.problems


def check(paths: Sequence[Path | str], now_ms: int) -> Report:
    """Return everything wrong with the documents in files and directories; nothing is published."""
    return examine(load_documents(paths), now_ms)


def examine(documents: Documents, now_ms: int) -> Report:
    """Return everything wrong with the documents as one set, the rules' own tests run."""
    problems = [*documents.problems, *_repeated(documents), *_bounds(documents)]
    warnings: list[Problem] = []
    tested = failed = 0
    for document in documents.rules:
        wrong = rule_faults(document.content, documents.named)
        problems += map(document.problem, wrong)
        if wrong:
            continue
        warnings += map(document.problem, rule_warnings(document.content, now_ms))
        red = failures(document.content)
        problems += map(document.problem, red)
        tested += len(document.content.get("tests", ()))
        failed += len({path for path, _ in red})
    if not documents.rules and not problems:
        warnings.append(Problem("the set", 0, 0, "", "holds no rule: everything is allowed"))
    counted = len(documents.rules), len(documents.lists)
    return Report(tuple(problems), tuple(warnings), *counted, tested, failed)


def compile_set(rules: Iterable[Mapping[str, Any]], lists: Lists) -> Index:
    """Return examined rules as the index that ``decide`` asks; rules that are off are left out."""
    return Index(compile_rule(rule, lists) for rule in rules if rule.get("mode", "enforce") != "off")


def _repeated(documents: Documents) -> Iterator[Problem]:
    for found, key in ((documents.rules, "id"), (documents.lists, "name")):
        names = Counter(document.content[key] for document in found)
        first: dict[str, Document] = {}
        for document in found:
            name = document.content[key]
            other = first.setdefault(name, document)
            if names[name] > 1 and other is not document:
                said = f"{name!r} stands also in {other.source}, document {other.number}: keep one"
                yield document.problem((f"/{key}", said))


def _bounds(documents: Documents) -> Iterator[Problem]:
    values = sum(len(document.content["values"]) for document in documents.lists)
    for what, count, most in (
        ("rules", len(documents.rules), MAX_RULES),
        ("lists", len(documents.lists), MAX_LISTS),
        ("values in all lists", values, MAX_LIST_VALUES),
    ):
        if count > most:
            yield Problem("the set", 0, 0, "", f"{count} {what}; at most {most}")
    for document in documents.rules:
        size = len(canonical(document.content))
        if size > MAX_RULE_BYTES:
            yield document.problem(("", f"{size} bytes; at most {MAX_RULE_BYTES}: use a list"))
