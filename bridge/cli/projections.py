"""``imbridge projections``: how far each consumer has come, and forgetting one."""

from typing import Annotated

import typer

from bridge.cli.output import print_json, print_line, print_table
from bridge.cli.state import run, settings, the_log, the_store
from bridge.config import Settings
from bridge.errors import UsageError
from bridge.log.base import Bounds, Log, TopicPartition
from bridge.log.segments import drop_marks
from consumers.projections.known import PROJECTIONS
from consumers.store.base import Checkpoint, CheckpointKey
from schemas.envelope import format_time

app = typer.Typer(no_args_is_help=True, help="How far each consumer has come.")

_COLUMNS = (
    "projection",
    "topic",
    "partition",
    "next offset",
    "end offset",
    "lag",
    "last event",
    "epoch",
    "log",
)


@app.command("list")
def list_projections(
    as_json: Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")] = False,
) -> None:
    """List the checkpoints of every projection with their lag behind the present log."""
    run(_list(as_json))


async def _list(as_json: bool) -> None:
    current = settings()
    async with the_log(current) as log, the_store(current) as store:
        checkpoints = {checkpoint.key: checkpoint for checkpoint in await store.checkpoints()}
        ends = await _ends(log)
    rows = [_row(key, checkpoints.get(key), ends.get(key)) for key in sorted({*checkpoints, *ends})]
    if as_json:
        print_json([dict(zip(_COLUMNS, row, strict=True)) for row in rows])
    else:
        print_table("projections", _COLUMNS[:-1], [row[:-1] for row in rows])


async def _ends(log: Log) -> dict[CheckpointKey, Bounds]:
    found = {}
    for name, projection in PROJECTIONS.items():
        for topic in projection.topics:
            for partition, held in (await log.bounds(topic)).items():
                place = TopicPartition(topic, partition)
                found[CheckpointKey(name, await log.log_id(place), place)] = held
    return found


def _row(key: CheckpointKey, checkpoint: Checkpoint | None, held: Bounds | None) -> list[object]:
    reached = checkpoint.next_offset if checkpoint else None
    end = held.end if held else None
    begin = held.begin if held else 0
    lag = max(0, end - (begin if reached is None else reached)) if end is not None else None
    seen = checkpoint.last_event_ms if checkpoint else None
    last = format_time(seen) if seen is not None else None
    epoch = checkpoint.epoch if checkpoint else None
    return [
        key.consumer,
        key.partition.topic,
        key.partition.partition,
        reached,
        end,
        lag,
        last,
        epoch,
        key.log_id,
    ]


@app.command("drop")
def drop_projection(
    name: Annotated[str, typer.Argument(help="The projection to forget.")],
    execute: Annotated[bool, typer.Option("--execute", help="Really forget it.")] = False,
) -> None:
    """Forget a consumer's checkpoints: the journal keeps no records for it any more. Its tables stay."""
    run(_drop(settings(), name, execute))


async def _drop(current: Settings, name: str, execute: bool) -> None:
    async with the_store(current) as store:
        known = await store.checkpoints(name)
        if not known:
            raise UsageError(f"{name} has no checkpoint; `imbridge projections list` shows those that have")
        if not execute:
            print_line(
                f"{name} has {len(known)} checkpoints. Nothing was changed: add --execute to forget them."
            )
            raise typer.Exit(2)
        dropped = await store.drop(name)
    marks = drop_marks(current.data_dir, name)
    print_line(
        f"{name}: {dropped} checkpoints and {marks} journal marks forgotten; a runner of it starts anew"
    )
