"""The catalog's samples, ready to be sent: a template and what the row says about its callbacks."""

from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

import orjson

from bridge.simulate.templates import Template, compile_template
from schemas.callback import Callback
from schemas.catalog import CommandSpec
from schemas.normalize.identity import OPERATION

_PEOPLE: Final = ("members", "user_id")
_NOW: Final = 1_800_000_000_000 << 16


class Sample(NamedTuple):
    """One command's sample. ``subjects`` are those of its users whom the fact or the question is about.

    ``by_operation`` says that the identity rests on the operation id, ``timed`` that bodies carry a time.
    ``key`` is the template of what OpenIM adds to the URL of some commands, before it is base64.
    """

    spec: CommandSpec
    template: Template
    events: int
    subjects: frozenset[str]
    by_operation: bool
    timed: bool
    query: Mapping[str, str]
    key: Template | None


def samples_of(specs: Iterable[CommandSpec]) -> list[Sample]:
    """Return the sample of each command."""
    return [_sample(spec) for spec in specs]


def _sample(spec: CommandSpec) -> Sample:
    row = spec.row
    query = dict(parse_qsl(row.example_query))
    units = {source.path.rpartition(".")[2]: source.unit for source in row.time}
    key = orjson.loads(b64decode(query["key"])) if "key" in query else None
    return Sample(
        spec=spec,
        template=compile_template(spec.provider, row.example, units, marked=True),
        events=1 if row.batch is None else len(row.example[row.batch.path]),
        subjects=frozenset(_people(spec)),
        by_operation=bool(row.identity) and OPERATION in row.identity[0],
        timed=bool(row.time),
        query=query,
        key=None if key is None else compile_template(spec.provider, key),
    )


def _people(spec: CommandSpec) -> Sequence[str]:
    """Return whom the sample is about: those asked for, or the members and users of the fact."""
    body = dict(spec.row.example)
    callback = Callback(spec.provider, "sample", spec.name, {}, "sample", orjson.dumps(body), body, _NOW)
    if spec.phase == "before":
        return spec.question(callback).members
    data = spec.normalize(callback)[0].data
    return [user for field in _PEOPLE if field in data for user in _named(data[field])]


def _named(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [one["user_id"] if isinstance(one, Mapping) else one for one in value]
