"""Rule documents in files: found, read, checked against the schema; every problem, not the first."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from consumers.rules.problems import Fault, Problem
from consumers.rules.schema import faults
from consumers.rules.yaml_reader import Parsed, YamlError, read_yaml

KINDS: Final = ("rule", "list")
SUFFIXES: Final = (".yaml", ".yml", ".json")
MAX_FILE_BYTES: Final = 64 * 1024 * 1024
MAX_FILES: Final = 10_000


class Document(NamedTuple):
    """One rule or list as written, and where it stands."""

    source: str
    number: int
    line: int
    content: dict[str, Any]

    def problem(self, fault: Fault) -> Problem:
        """Return a fault of this document with its place."""
        name = self.content.get("id") or self.content.get("name")
        kind = self.content.get("kind")
        subject = f"{kind} {name}: " if isinstance(name, str) else ""
        return Problem(self.source, self.number, self.line, fault[0], subject + fault[1])


class Documents(NamedTuple):
    """Rules and lists that fit the schema, and what is wrong with the others.

    ``named`` are the lists that exist, whether or not their document is in order.
    """

    rules: tuple[Document, ...]
    lists: tuple[Document, ...]
    problems: tuple[Problem, ...]
    named: frozenset[str]


def load_documents(paths: Sequence[Path | str]) -> Documents:
    """Return every document of the files, and of the YAML and JSON files below the directories.

    Never raises for what it reads: what cannot be read or does not fit is among the problems.
    """
    problems: list[Problem] = []
    found = [document for path in _files(paths, problems) for document in _read(path, problems)]
    return arrange(found, problems)


def arrange(found: Iterable[Document], problems: Sequence[Problem] = ()) -> Documents:
    """Return documents by kind, those that do not fit the schema as problems."""
    said = list(problems)
    fitting: dict[str, list[Document]] = {kind: [] for kind in KINDS}
    named = set()
    for document in found:
        kind = document.content.get("kind")
        if kind not in KINDS:
            said.append(document.problem(("/kind", f"{kind!r} is no kind; accepted: {', '.join(KINDS)}")))
            continue
        if kind == "list" and isinstance(document.content.get("name"), str):
            named.add(document.content["name"])
        wrong = [document.problem(fault) for fault in faults(kind, document.content)]
        said += wrong
        if not wrong:
            fitting[kind].append(document)
    return Documents(tuple(fitting["rule"]), tuple(fitting["list"]), tuple(said), frozenset(named))


def _files(paths: Sequence[Path | str], problems: list[Problem]) -> Iterator[Path]:
    for path in map(Path, paths):
        if path.is_dir():
            below = sorted(one for one in path.rglob("*") if one.suffix in SUFFIXES and one.is_file())
            if not below:
                problems.append(_about(path, f"no file here ends in {', '.join(SUFFIXES)}"))
            if len(below) > MAX_FILES:
                problems.append(_about(path, f"{len(below)} files; at most {MAX_FILES} are read"))
            yield from below[:MAX_FILES]
        elif path.is_file():
            yield path
        else:
            problems.append(_about(path, "there is no such file or directory"))


def _read(path: Path, problems: list[Problem]) -> Iterator[Document]:
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            problems.append(_about(path, f"{size} bytes; at most {MAX_FILE_BYTES}: use several files"))
            return
        for parsed in read_yaml(path.read_text("utf-8")):
            yield from _document(path, parsed, problems)
    except OSError as error:
        problems.append(_about(path, f"cannot be read: {error.strerror or error}"))
    except UnicodeDecodeError as error:
        problems.append(_about(path, f"is not UTF-8 (byte {error.start}): save it as UTF-8"))
    except YamlError as error:
        problems.append(_about(path, f"line {error.line}: {error}"))


def _document(path: Path, parsed: Parsed, problems: list[Problem]) -> Iterator[Document]:
    if isinstance(parsed.content, dict):
        yield Document(str(path), parsed.number, parsed.line, parsed.content)
        return
    said = f"a document is a mapping that begins with kind, not {type(parsed.content).__name__}"
    problems.append(Problem(str(path), parsed.number, parsed.line, "", said))


def _about(path: Path, message: str) -> Problem:
    return Problem(str(path), 0, 0, "", message)
