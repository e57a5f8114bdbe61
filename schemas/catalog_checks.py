"""What is wrong with a row although each of its keys, for itself, is right."""

from collections import Counter
from collections.abc import Iterator, Mapping

from schemas.catalog_rows import Row
from schemas.normalize.fields import TEMPLATE, Field
from schemas.normalize.identity import SPECIAL, TIME
from schemas.normalize.shapes import WITH_ITEMS
from schemas.normalize.templates import fields_in

PEOPLE = ("ids", "ids_or_id", "id", "members", "member", "objects", "objects_or_one", "roster")
"""Conversions of fields that hold people."""


def contradictions(row: Row) -> Iterator[str]:
    """Yield what each key for itself cannot show."""
    fields = {field.name: field for field in row.fields}
    if not fields:
        yield "fields: missing"
    for name, count in Counter(field.name for field in row.fields).items():
        if count > 1:
            yield f"fields: {name} is given twice, once of them by shared"
    for key in ("subject", "partition_key"):
        for name in fields_in(getattr(row, key)):
            if not _always_there(name, fields):
                yield f"{key}: takes {name}, which must be a required field of kind id"
    yield from _contradictions_of_templates(row, fields)
    yield from _contradictions_of_identity(row, fields)
    if row.phase == "before":
        yield from _contradictions_before(row, fields)
    elif row.act or row.members or row.answers:
        yield "act, members and answers belong to before-commands"
    elif not row.identity:
        yield "identity: missing; an after-command without one names body"


def _always_there(name: str, fields: Mapping[str, Field]) -> bool:
    field = fields.get(name)
    fit = (*PEOPLE, *WITH_ITEMS, TEMPLATE)
    return field is not None and field.required and field.conversion in fit


def _contradictions_of_templates(row: Row, fields: Mapping[str, Field]) -> Iterator[str]:
    for field in row.fields:
        for template in field.templates:
            for name in fields_in(template):
                if name not in fields or fields[name].conversion == TEMPLATE:
                    yield f"{field.name}: takes {name}, which is no field of the body"


def _contradictions_of_identity(row: Row, fields: Mapping[str, Field]) -> Iterator[str]:
    for part in dict.fromkeys(part for identity in row.identity for part in identity):
        if part not in fields and part not in SPECIAL:
            yield f"identity: {part} is neither a field nor one of {', '.join(SPECIAL)}"
        if part == TIME and not row.time:
            yield "identity: takes the time of a row that has none"


def _contradictions_before(row: Row, fields: Mapping[str, Field]) -> Iterator[str]:
    if not row.act or row.answers is None:
        yield "a before-command needs act and answers"
    if row.identity:
        yield "identity: each question is a decision of its own, a before-command has none"
    if row.members and (row.members not in fields or fields[row.members].conversion not in PEOPLE):
        yield f"members: {row.members} must be a field of kind ids"
    if not row.type.endswith(".decided.v1"):
        yield "type: a before-command's ends in .decided.v1"
    if row.choice is not None or row.batch is not None:
        yield "type, batch: a before-command is one question of one type"
