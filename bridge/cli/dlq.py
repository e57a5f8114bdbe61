"""``imbridge dlq``: records set aside, why, and giving them again."""

import base64
import getpass
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, Any

import orjson
import typer

from bridge.cli.output import print_json, print_line, print_table
from bridge.cli.state import run, settings, the_log
from bridge.config import Settings
from bridge.errors import UsageError
from bridge.log.base import Log, StoredRecord
from bridge.log.clock import HybridClock
from bridge.log.dead_letters import PREFIX
from bridge.log.scan import Selection, ranges_of, scan
from bridge.main.opening import open_set_aside
from consumers.dead_letters import redrive
from schemas.envelope import format_time
from schemas.topics import DLQ

app = typer.Typer(no_args_is_help=True, help="Records set aside, with their reason.")

AsJson = Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")]
_COLUMNS = ("id", "parked", "consumer", "disposition", "topic", "partition", "offset", "type", "reason")


@app.command("list")
def list_dead_letters(
    consumer: Annotated[str | None, typer.Option(help="Only what this consumer parked.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the records set aside, by projections and by the relay."""
    run(_list(consumer, as_json))


async def _list(consumer: str | None, as_json: bool) -> None:
    letters = [
        letter async for letter in _letters(settings()) if consumer in (None, said(letter)["consumer"])
    ]
    if as_json:
        print_json([said(letter) for letter in letters])
    else:
        print_table(
            "dead letters", _COLUMNS, [[said(letter)[name] for name in _COLUMNS] for letter in letters]
        )


@app.command("show")
def show_dead_letter(letter_id: Annotated[str, typer.Argument(help="The dead letter's id.")]) -> None:
    """Show one dead letter with the original record, as JSON."""
    run(_show(letter_id))


async def _show(letter_id: str) -> None:
    letter = await _find(settings(), letter_id)
    print_json(
        {**said(letter), "key": letter.record.key, "headers": dict(letter.record.headers), **_value(letter)}
    )


@app.command("redrive")
def redrive_dead_letter(
    letter_id: Annotated[str, typer.Argument(help="The dead letter's id.")],
    execute: Annotated[bool, typer.Option("--execute", help="Really give it again.")] = False,
) -> None:
    """Append the original record to its topic again, with its id and sequence."""
    run(_redrive(letter_id, execute))


async def _redrive(letter_id: str, execute: bool) -> None:
    current = settings()
    letter = await _find(current, letter_id)
    topic = said(letter)["topic"]
    if not execute:
        print_line(f"{letter_id} would be appended to {topic} again. Nothing was written: add --execute.")
        raise typer.Exit(2)
    async with the_log(current) as log:
        job = await redrive(log, letter.record, actor=getpass.getuser(), moment=HybridClock().tick())
    print_line(f"{job}: {letter_id} given again to {topic}")


async def _find(current: Settings, letter_id: str) -> StoredRecord:
    async with aclosing(_letters(current)) as letters:
        async for letter in letters:
            if said(letter)["id"] == letter_id:
                return letter
    raise UsageError(f"no dead letter {letter_id}; `imbridge dlq list` shows those there are")


async def _letters(current: Settings) -> AsyncGenerator[StoredRecord]:
    """Yield the dead letters of the log and those the relay set aside on this machine, each id once."""
    seen: set[str] = set()
    for opened in (the_log(current), _set_aside(current)):
        async with opened as log, aclosing(scan(log, await ranges_of(log, Selection(DLQ)))) as found:
            async for _, letter in found:
                if said(letter)["id"] not in seen:
                    seen.add(said(letter)["id"])
                    yield letter


@asynccontextmanager
async def _set_aside(current: Settings) -> AsyncIterator[Log]:
    log = open_set_aside(current)
    try:
        yield log
    finally:
        await log.close()


def said(letter: StoredRecord) -> dict[str, Any]:
    """Return what a dead letter says of itself."""
    headers: Mapping[str, str] = letter.record.headers
    told = {name.removeprefix(PREFIX): text for name, text in headers.items() if name.startswith(PREFIX)}
    parked = format_time(letter.record.timestamp)
    return {**dict.fromkeys(_COLUMNS), **told, "parked": parked, "type": headers.get("ce_type")}


def _value(letter: StoredRecord) -> dict[str, Any]:
    value = letter.record.value
    if value is None:
        return {"value": None}
    try:
        return {"value": orjson.loads(value)}
    except orjson.JSONDecodeError:
        return {"value_base64": base64.b64encode(value).decode()}
