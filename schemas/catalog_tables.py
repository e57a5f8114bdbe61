"""Reading the catalog's TOML tables into rows, every problem of a file reported at once."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from schemas.catalog_checks import contradictions
from schemas.catalog_rows import (
    NO_CODES,
    PHASES,
    STATUSES,
    Answers,
    Batch,
    Row,
    Table,
    TimeSource,
    TypeChoice,
)
from schemas.catalog_section import Section
from schemas.normalize.conversions import CHOICE
from schemas.normalize.fields import CONSTANT, QUERY, TEMPLATE, Field
from schemas.normalize.identity import Identity
from schemas.normalize.moments import UNITS
from schemas.normalize.shapes import SHAPES, WITH_ITEMS
from schemas.topics import TOPICS

_TYPE: Final = re.compile(r"im(\.[a-z_]+){2,}\.v1")
_KINDS: Final = (*SHAPES, CHOICE, *WITH_ITEMS)
_NAME: Final = re.compile(r"[a-z][a-z_]*")


class CatalogError(ValueError):
    """The tables do not check out; the message names every problem with file, row and key."""


def read_table(path: Path) -> Table:
    """Return the rows of one TOML file. Raises CatalogError with every problem of the file."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(f"{path.name}: {error}") from error
    return parse_table(content, path.name)


def parse_table(content: Mapping[str, Any], name: str) -> Table:
    """Return the rows of one table that was read from ``name``. Raises CatalogError with every problem."""
    top = Section(content, name)
    provider = top.text("provider", required=True)
    time = _times(top)
    shared = {field.name: field for field in _fields(top, "shared", required=False)}
    rows = tuple(_row(row, provider, shared) for row in top.sections("command", named="name"))
    top.finish()
    if top.problems:
        raise CatalogError("\n".join(top.problems))
    return Table(provider, time, rows)


def _row(section: Section, provider: str, shared: Mapping[str, Field]) -> Row:
    choice = _choice(section)
    row = Row(
        provider=provider,
        name=section.text("name", required=True),
        summary=section.text("summary", required=True),
        phase=section.choice("phase", PHASES),  # type: ignore[arg-type]
        status=section.choice("status", STATUSES),  # type: ignore[arg-type]
        since=section.text("since"),
        type=section.text("type", required=True, pattern=_TYPE) if choice is None else _first(choice),
        topic=section.choice("topic", tuple(TOPICS)),
        subject=section.text("subject", required=True),
        partition_key=section.text("partition_key", required=True),
        fields=(*_shared(section, shared), *_fields(section, "fields", required=False)),
        unmapped=section.texts("unmapped"),
        on_failure=section.text("on_failure", required=True),
        pages=section.texts("pages", required=True),
        example=section.json("example"),
        example_query=section.text("example_query"),
        example_headers=section.mapping("example_headers"),
        aliases=section.texts("aliases"),
        identity=_identities(section),
        time=_times(section),
        act=section.text("act"),
        members=section.text("members"),
        answers=_answers(section),
        choice=choice,
        batch=_batch(section),
    )
    section.finish()
    section.note(*contradictions(row))
    return row


def _choice(section: Section) -> TypeChoice | None:
    choice = section.section("type") if isinstance(section.value("type"), dict) else None
    if choice is None:
        return None
    read = TypeChoice(choice.text("from", required=True), choice.mapping("values", required=True))
    choice.finish()
    section.note(
        *(
            f"type: {each!r} does not read {_TYPE.pattern}"
            for each in read.values.values()
            if not _TYPE.fullmatch(each)
        )
    )
    return read


def _first(choice: TypeChoice) -> str:
    return next(iter(choice.values.values()), "")


def _batch(section: Section) -> Batch | None:
    batch = section.section("batch")
    if batch is None:
        return None
    read = Batch(batch.text("from", required=True), batch.integers("at_most", 1)[0])
    batch.finish()
    return read


def _identities(section: Section) -> tuple[Identity, ...]:
    """Return the identities to try in order; a list of texts is a single one."""
    value = section.value("identity")
    if isinstance(value, list) and value and all(isinstance(item, list) for item in value):
        return tuple(
            Section({"identity": item}, "identity", section.problems).texts("identity") for item in value
        )
    single = section.texts("identity")
    return (single,) if single else ()


def _times(section: Section) -> tuple[TimeSource, ...]:
    """Return the places of the time in order; a table is a single one."""
    value = section.value("time")
    if isinstance(value, list):
        return tuple(_time(time) for time in section.sections("time", named="path"))
    single = section.section("time")
    return () if single is None else (_time(single),)


def _time(time: Section) -> TimeSource:
    source = TimeSource(time.text("path", required=True), time.choice("unit", tuple(UNITS)))
    time.finish()
    return source


def _answers(section: Section) -> Answers | None:
    answers = section.section("answers")
    if answers is None:
        return None
    low, high = NO_CODES if answers.value("codes") is None else answers.integers("codes", 2)
    read = Answers(
        deny_code=answers.integers("deny_code", 1)[0],
        codes=(low, high),
        refuse_some=answers.text("refuse_some") or None,
        echo=answers.texts("echo"),
        drop_code=None if answers.value("drop_code") is None else answers.integers("drop_code", 1)[0],
        modify=answers.mapping("modify"),
        per_target=answers.text("per_target") or None,
        keep_some=answers.text("keep_some") or None,
        modify_asked_only=answers.flag("modify_asked_only"),
        constant=answers.mapping("constant"),
    )
    answers.finish()
    return read


def _shared(section: Section, shared: Mapping[str, Field]) -> Iterator[Field]:
    """Yield the fields a row takes over from the table's ``shared`` ones."""
    for name in section.texts("shared"):
        if name in shared:
            yield shared[name]
        else:
            section.note(f"shared: {name} is not one of the table's shared fields")


def _fields(section: Section, key: str, *, required: bool = True) -> tuple[Field, ...]:
    table = section.section(key)
    if table is None:
        section.note(*([f"{key}: missing"] if required else []))
        return ()
    return tuple(_field(name, table) for name in table.names())


def _field(name: str, table: Section) -> Field:
    section = table.section(name)
    if section is None or not _NAME.fullmatch(name):
        table.note(f"{name}: a field is a table, named in lower case with underscores")
        return Field(name, (), "text")
    field = _elsewhere(name, section) or _mapped(name, section)
    section.finish()
    return field


def _elsewhere(name: str, section: Section) -> Field | None:
    """Return a field that stands nowhere in the body, None where it stands there."""
    if section.value(CONSTANT) is not None:
        return Field(name, (), CONSTANT, constant=section.value(CONSTANT))
    if section.value(TEMPLATE) is not None:
        required = section.flag("required")
        return Field(name, (), TEMPLATE, required=required, templates=section.texts(TEMPLATE))
    if section.value(QUERY) is not None:
        return Field(name, (), QUERY, query=section.text(QUERY))
    return None


def _mapped(name: str, section: Section) -> Field:
    conversion = section.choice("as", _KINDS)
    return Field(
        name=name,
        paths=section.texts("from", required=True),
        conversion=conversion,
        required=section.flag("required"),
        default=section.value("default"),
        values=section.mapping("values", required=conversion == CHOICE),
        items=_fields(section, "items") if conversion in WITH_ITEMS else (),
        is_open=section.flag("open"),
    )
