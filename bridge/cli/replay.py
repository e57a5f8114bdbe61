"""``imbridge replay``: a stretch of a topic given again; nothing is written without --execute."""

import getpass
from typing import Annotated, Any

import typer

from bridge.cli.output import clean, complain, print_bytes, print_json, print_line, print_table, progress
from bridge.cli.state import run, settings, the_log, the_store
from bridge.cli.times import when
from bridge.cli.topics import known, structured
from bridge.config import Settings
from bridge.errors import UsageError
from bridge.log.base import Log
from bridge.log.clock import HybridClock
from bridge.log.scan import Selection
from bridge.main.opening import readers_of
from consumers import replay
from consumers.projections.known import PROJECTIONS
from schemas.envelope import format_time

app = typer.Typer(no_args_is_help=True, help="Give a stretch of a topic again, planned before it is run.")

Topic = Annotated[str, typer.Argument(help="The topic to select from, e.g. im.group.v1.")]
Since = Annotated[str | None, typer.Option(help="Accepted from then on: RFC 3339, or how long ago (2h).")]
Until = Annotated[str | None, typer.Option(help="Accepted before then.")]
Partition = Annotated[int | None, typer.Option(min=0, help="Only this partition.")]
Offsets = Annotated[
    str | None, typer.Option(help="Offsets A:B, the end not included; either may be left out.")
]
Key = Annotated[str | None, typer.Option(help="Partition key, exact or with *.")]
Type = Annotated[str | None, typer.Option("--type", help="Event type, exact or with *.")]
ToTopic = Annotated[str | None, typer.Option(help="Append the records to this topic.")]
ToProjection = Annotated[str | None, typer.Option(help="Rewind this projection instead.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")]


@app.command("plan")
def plan_replay(
    topic: Topic,
    since: Since = None,
    until: Until = None,
    partition: Partition = None,
    offsets: Offsets = None,
    key: Key = None,
    event_type: Type = None,
    to_topic: ToTopic = None,
    to_projection: ToProjection = None,
    as_json: AsJson = False,
) -> None:
    """Say what a replay would give again: counts, first and last time, and who reads the target."""
    selection = _selection(topic, since, until, partition, offsets, key, event_type)
    run(_plan(selection, to_topic, to_projection, as_json))


@app.command("run")
def run_replay(
    topic: Topic,
    since: Since = None,
    until: Until = None,
    partition: Partition = None,
    offsets: Offsets = None,
    key: Key = None,
    event_type: Type = None,
    to_topic: ToTopic = None,
    to_projection: ToProjection = None,
    rate: Annotated[float | None, typer.Option(min=0.1, help="At most so many records a second.")] = None,
    execute: Annotated[bool, typer.Option("--execute", help="Really write; else this is a plan.")] = False,
) -> None:
    """Give the records again: to standard output (JSON lines), to a topic, or by rewinding a projection."""
    selection = _selection(topic, since, until, partition, offsets, key, event_type)
    run(_run(selection, to_topic, to_projection, rate, execute))


def _selection(
    topic: str,
    since: str | None,
    until: str | None,
    partition: int | None,
    offsets: str | None,
    key: str | None,
    event_type: str | None,
) -> Selection:
    first, end = _offsets(offsets)
    return Selection(topic, when(since), when(until), partition, first, end, key, event_type)


def _offsets(text: str | None) -> tuple[int | None, int | None]:
    if text is None:
        return None, None
    first, colon, end = text.partition(":")
    if not colon or not (first + end).isdigit():
        raise UsageError(f"{text!r} is no range of offsets: write 100:200, 100: or :200")
    return int(first) if first else None, int(end) if end else None


async def _plan(selection: Selection, to_topic: str | None, to_projection: str | None, as_json: bool) -> None:
    current = settings()
    async with the_log(current) as log:
        planned = await _make(current, log, selection, to_topic, to_projection)
    if as_json:
        print_json(_as_dict(planned))
    else:
        _show(planned)


async def _make(
    current: Settings, log: Log, selection: Selection, to_topic: str | None, to_projection: str | None
) -> replay.Plan:
    if to_topic and to_projection:
        raise UsageError("give one target: --to-topic or --to-projection")
    selection = selection._replace(topic=known(selection.topic, current.kafka.topic_prefix))
    if to_projection:
        _check_projection(to_projection, selection.topic)
        return await replay.plan(log, selection, f"projection {to_projection}", [to_projection])
    if to_topic:
        to_topic = known(to_topic, current.kafka.topic_prefix)
        readers = await readers_of(current, log, to_topic)
        return await replay.plan(log, selection, f"topic {to_topic}", readers)
    return await replay.plan(log, selection, "standard output", [])


def _check_projection(name: str, topic: str) -> None:
    if name not in PROJECTIONS:
        raise UsageError(f"{name} is no projection; known: {', '.join(PROJECTIONS)}")
    if topic not in PROJECTIONS[name].topics:
        raise UsageError(
            f"projection {name} does not read {topic}; it reads {', '.join(PROJECTIONS[name].topics)}"
        )


async def _run(
    selection: Selection, to_topic: str | None, to_projection: str | None, rate: float | None, execute: bool
) -> None:
    if rate and to_projection:
        raise UsageError("a rewind has no --rate: the projection reads on as fast as it can")
    current = settings()
    async with the_log(current) as log:
        planned = await _make(current, log, selection, to_topic, to_projection)
        if not (to_topic or to_projection):
            async for found in replay.selected(log, planned, rate):
                print_bytes(structured(found))
        elif not execute:
            _show(planned)
            print_line("Nothing was written: this is the plan. Add --execute to run it.", "yellow")
            raise typer.Exit(2)
        elif to_topic:
            await _to_topic(log, planned, known(to_topic, current.kafka.topic_prefix), rate)
        else:
            await _to_projection(current, log, planned, str(to_projection))


async def _to_topic(log: Log, planned: replay.Plan, topic: str, rate: float | None) -> None:
    with progress() as bar:
        task = bar.add_task(f"to {topic}", total=planned.records)
        job, done = await replay.replay_to_topic(
            log,
            planned,
            topic,
            actor=getpass.getuser(),
            clock=HybridClock().tick,
            rate=rate,
            progress=lambda count: bar.update(task, completed=count),
        )
    print_line(f"{job}: {done} records given again to {topic}")


async def _to_projection(current: Settings, log: Log, planned: replay.Plan, name: str) -> None:
    async with the_store(current) as store:
        job, moved = await replay.rewind_projection(
            log, store, planned, name, actor=getpass.getuser(), clock=HybridClock().tick
        )
    print_line(f"{job}: {moved} checkpoints of {name} set back; it applies {planned.records} records again")


def _time(ms: int | None) -> str | None:
    return None if ms is None else format_time(ms)


def _as_dict(planned: replay.Plan) -> dict[str, Any]:
    return {
        "selection": planned.selection._asdict(),
        "target": planned.target,
        "records": planned.records,
        "bytes": planned.size_bytes,
        "first": _time(planned.first_ms),
        "last": _time(planned.last_ms),
        "counts": [{"partition": p, "type": t, "records": n} for (p, t), n in sorted(planned.counts.items())],
        "ranges": [
            {"partition": place.partition, **held._asdict()} for place, held in planned.ranges.items()
        ],
        "consumer_groups": list(planned.readers),
    }


def _show(planned: replay.Plan) -> None:
    print_table(
        f"replay of {planned.selection.topic} to {planned.target}",
        ("partition", "event type", "records"),
        [(p, t, n) for (p, t), n in sorted(planned.counts.items())],
    )
    first, last = clean(_time(planned.first_ms)), clean(_time(planned.last_ms))
    print_line(f"{planned.records} records, {planned.size_bytes} bytes, accepted from {first} to {last}")
    print_line(f"Read by: {', '.join(map(clean, planned.readers)) or 'no known consumer group'}")
    if planned.selection.topic.startswith("im.") and planned.readers:
        complain("Readers see repeats with the same ids; one that does not expect repeats acts twice.")
