"""``imbridge topics``: what the topics hold."""

import base64
from collections.abc import Mapping
from typing import Annotated

import orjson
import typer

from bridge.cli.output import clean, print_bytes, print_json, print_line, print_table
from bridge.cli.state import run, settings, the_log
from bridge.cli.times import when
from bridge.errors import UsageError
from bridge.log.base import Bounds, Log
from bridge.log.scan import Found, Selection, ranges_of, scan
from schemas.envelope import EnvelopeError
from schemas.topics import TOPICS

app = typer.Typer(no_args_is_help=True, help="What the topics hold.")

AsJson = Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")]


def known(topic: str, prefix: str = "") -> str:
    """Return the topic's own name, given with or without the prefix. Raises UsageError."""
    name = topic.removeprefix(prefix)
    if name not in TOPICS:
        raise UsageError(f"{topic} is no topic of this bridge; known: {', '.join(TOPICS)}")
    return name


@app.command("list")
def list_topics(as_json: AsJson = False) -> None:
    """List the topics with what each holds now."""
    run(_list(as_json))


async def _list(as_json: bool) -> None:
    async with the_log(settings()) as log:
        held = {name: await log.bounds(name) for name in TOPICS}
    if as_json:
        print_json([_summary(name, bounds) for name, bounds in held.items()])
        return
    rows = [
        (name, len(bounds), TOPICS[name].cleanup, _offsets(bounds), TOPICS[name].holds)
        for name, bounds in held.items()
    ]
    print_table("topics", ("topic", "partitions", "clean-up", "offsets", "holds"), rows)


def _offsets(bounds: Mapping[int, Bounds]) -> str:
    return ", ".join(f"{partition}: {held.begin}-{held.end}" for partition, held in bounds.items())


def _summary(name: str, bounds: Mapping[int, Bounds]) -> dict[str, object]:
    topic = TOPICS[name]
    parts = [{"partition": p, "begin": b.begin, "end": b.end} for p, b in bounds.items()]
    return {"topic": name, "cleanup": topic.cleanup, "holds": topic.holds, "partitions": parts}


@app.command("read")
def read_topic(
    topic: Annotated[str, typer.Argument(help="A topic, e.g. im.group.v1.")],
    as_json: Annotated[bool, typer.Option("--json", help="One structured CloudEvent a line.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what arrives.")] = False,
    since: Annotated[str | None, typer.Option(help="From then: RFC 3339, or how long ago (2h).")] = None,
    until: Annotated[str | None, typer.Option(help="Up to then.")] = None,
    key: Annotated[str | None, typer.Option(help="Partition key, exact or with *.")] = None,
    event_type: Annotated[str | None, typer.Option("--type", help="Event type, exact or with *.")] = None,
) -> None:
    """Print the events of a topic to its present end."""
    run(_read(topic, as_json, follow, Selection(topic, when(since), when(until), key=key, type=event_type)))


async def _read(topic: str, as_json: bool, follow: bool, selection: Selection) -> None:
    current = settings()
    selection = selection._replace(topic=known(topic, current.kafka.topic_prefix))
    async with the_log(current) as log:
        await _print(log, selection, as_json, follow)


async def _print(log: Log, selection: Selection, as_json: bool, follow: bool) -> None:
    async for found in scan(log, await ranges_of(log, selection), selection.takes, follow=follow):
        if as_json:
            print_bytes(structured(found))
        else:
            print_line(_line(found))


def structured(found: Found) -> bytes:
    """Return the record as one structured CloudEvent; one that carries no event is told as a plain object."""
    try:
        return found[1].record.envelope().structured()
    except EnvelopeError as error:
        return _told(found, str(error))


def _told(found: Found, why: str) -> bytes:
    place, (offset, record) = found
    value = base64.b64encode(record.value).decode() if record.value is not None else None
    return orjson.dumps(
        {"no_event": why, **place._asdict(), "offset": offset, "key": record.key, "value_base64": value}
    )


def _line(found: Found) -> str:
    place, (offset, record) = found
    ids = (record.headers.get(f"ce_{name}") for name in ("type", "subject", "id"))
    shown = (record.headers.get("ce_time"), f"{place.partition}/{offset}", *ids)
    return "  ".join(clean(part) for part in shown)
