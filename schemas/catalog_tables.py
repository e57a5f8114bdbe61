"""Reading the catalog's TOML tables into rows, every problem of a file reported at once."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from schemas.catalog_rows import PHASES, STATUSES, Answers, Row, Table, TimeSource
from schemas.catalog_section import Section
from schemas.normalize.conversions import CHOICE, NAMES, OBJECTS
from schemas.normalize.fields import Field
from schemas.normalize.identity import SPECIAL
from schemas.normalize.moments import UNITS
from schemas.normalize.templates import fields_in
from schemas.topics import TOPICS

_TYPE: Final = re.compile(r"im(\.[a-z_]+){2,}\.v1")
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
    time = _time(top)
    rows = tuple(_row(row, provider) for row in top.sections("command", named="name"))
    top.finish()
    if top.problems:
        raise CatalogError("\n".join(top.problems))
    return Table(provider, time, rows)


def _row(section: Section, provider: str) -> Row:
    row = Row(
        provider=provider,
        name=section.text("name", required=True),
        summary=section.text("summary", required=True),
        phase=section.choice("phase", PHASES),  # type: ignore[arg-type]
        status=section.choice("status", STATUSES),  # type: ignore[arg-type]
        since=section.text("since"),
        type=section.text("type", required=True, pattern=_TYPE),
        topic=section.choice("topic", tuple(TOPICS)),
        subject=section.text("subject", required=True),
        partition_key=section.text("partition_key", required=True),
        fields=_fields(section, "fields"),
        unmapped=section.texts("unmapped"),
        on_failure=section.text("on_failure", required=True),
        pages=section.texts("pages", required=True),
        example=section.json("example"),
        example_query=section.text("example_query"),
        example_headers=section.mapping("example_headers"),
        aliases=section.texts("aliases"),
        identity=section.texts("identity"),
        time=_time(section),
        act=section.text("act"),
        members=section.text("members"),
        answers=_answers(section),
    )
    section.finish()
    section.note(*_contradictions(row))
    return row


def _time(section: Section) -> TimeSource | None:
    time = section.section("time")
    if time is None:
        return None
    source = TimeSource(time.text("path", required=True), time.choice("unit", tuple(UNITS)))
    time.finish()
    return source


def _answers(section: Section) -> Answers | None:
    answers = section.section("answers")
    if answers is None:
        return None
    low, high = answers.integers("codes", 2)
    read = Answers(
        deny_code=answers.integers("deny_code", 1)[0],
        codes=(low, high),
        refuse_some=answers.text("refuse_some") or None,
        echo=answers.texts("echo"),
    )
    answers.finish()
    return read


def _fields(section: Section, key: str) -> tuple[Field, ...]:
    table = section.section(key)
    if table is None:
        section.note(f"{key}: missing")
        return ()
    return tuple(_field(name, table) for name in table.names())


def _field(name: str, table: Section) -> Field:
    section = table.section(name)
    if section is None or not _NAME.fullmatch(name):
        table.note(f"{name}: a field is a table, named in lower case with underscores")
        return Field(name, (), "text")
    conversion = section.choice("as", NAMES)
    field = Field(
        name=name,
        paths=section.texts("from", required=True),
        conversion=conversion,
        required=section.flag("required"),
        default=section.value("default"),
        values=section.mapping("values", required=conversion == CHOICE),
        items=_fields(section, "items") if conversion == OBJECTS else (),
    )
    section.finish()
    return field


def _contradictions(row: Row) -> Iterator[str]:
    """Yield what each key for itself cannot show."""
    fields = {field.name: field for field in row.fields}
    for key in ("subject", "partition_key"):
        for name in fields_in(getattr(row, key)):
            if name not in fields or not fields[name].required or fields[name].conversion != "id":
                yield f"{key}: takes {name}, which must be a required field of kind id"
    for part in row.identity:
        if part not in fields and part not in SPECIAL:
            yield f"identity: {part} is neither a field nor one of {', '.join(SPECIAL)}"
    if "time" in row.identity and row.time is None:
        yield "identity: takes the time of a row that has none"
    if row.phase == "before":
        yield from _contradictions_before(row, fields)
    elif row.act or row.members or row.answers:
        yield "act, members and answers belong to before-commands"
    elif not row.identity:
        yield "identity: missing; an after-command without one names body"


def _contradictions_before(row: Row, fields: Mapping[str, Field]) -> Iterator[str]:
    if not row.act or row.answers is None:
        yield "a before-command needs act and answers"
    if row.identity:
        yield "identity: each question is a decision of its own, a before-command has none"
    if row.members and (row.members not in fields or fields[row.members].conversion != "ids"):
        yield f"members: {row.members} must be a field of kind ids"
    if not row.type.endswith(f"{row.act}.decided.v1"):
        yield f"type: a before-command's ends in {row.act}.decided.v1"
