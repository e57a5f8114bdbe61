"""``imbridge catalog``: the callback commands that are known, and what each becomes."""

from collections.abc import Mapping
from typing import Annotated, Any

import orjson
import typer

from bridge.cli.output import print_json, print_table
from bridge.errors import UsageError
from schemas.catalog import Catalog, CommandSpec

app = typer.Typer(no_args_is_help=True, help="The callback commands that are known.")

AsJson = Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")]
_COLUMNS = ("provider", "command", "phase", "type", "topic", "status")


def _summary(spec: CommandSpec) -> dict[str, Any]:
    row = spec.row
    return {
        "provider": spec.provider,
        "command": spec.name,
        "aliases": list(row.aliases),
        "phase": spec.phase,
        "type": spec.type,
        "types": list(row.types),
        "topic": spec.topic,
        "status": row.status,
        "since": row.since,
        "summary": row.summary,
    }


@app.command("list")
def list_commands(
    provider: Annotated[str | None, typer.Option(help="tencent or openim.")] = None, as_json: AsJson = False
) -> None:
    """List every command with the event it becomes."""
    rows = [_summary(spec) for spec in Catalog.load() if provider in (None, spec.provider)]
    if as_json:
        print_json(rows)
    else:
        print_table("commands", _COLUMNS, [[row[name] for name in _COLUMNS] for row in rows])


@app.command("show")
def show_command(
    command: Annotated[str, typer.Argument(help="Its name or an alias, in any letter case.")],
    as_json: AsJson = False,
) -> None:
    """Show one command: its fields, its identity, its answers, what happens if nobody answers."""
    catalog = Catalog.load()
    found = [spec for name in ("tencent", "openim") if (spec := catalog.find(name, command)) is not None]
    if not found:
        raise UsageError(f"{command} is no known command; `imbridge catalog list` shows those there are")
    if as_json:
        print_json([_whole(spec) for spec in found])
        return
    for spec in found:
        print_table(spec.name, ("", ""), _for_people(_whole(spec)))


def _whole(spec: CommandSpec) -> dict[str, Any]:
    row = spec.row
    return _summary(spec) | {
        "subject": row.subject,
        "partition_key": row.partition_key,
        "time": ", else ".join(f"{time.path} ({time.unit})" for time in row.time) or None,
        "identity": [list(parts) for parts in row.identity],
        "fields": [field.name for field in row.fields],
        "kept_in_origin_only": list(row.unmapped),
        "answers": row.answers._asdict() if row.answers else None,
        "on_failure": row.on_failure,
        "pages": list(row.pages),
        "example": dict(row.example),
    }


def _for_people(whole: Mapping[str, Any]) -> list[tuple[str, str | None]]:
    identity = ", else ".join(" + ".join(parts) for parts in whole["identity"])
    plain = {**whole, "identity": identity, "example": orjson.dumps(whole["example"]).decode()}
    if plain["answers"]:
        plain["answers"] = plain["answers"] | {"codes": "{} to {}".format(*plain["answers"]["codes"])}
    return [(name, _told(value)) for name, value in plain.items()]


def _told(value: Any) -> str | None:
    """Return a value in words, None where it says nothing."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {told}" for name, one in value.items() if (told := _told(one))) or None
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(str(one) for one in value) or None
    return None if value is None or value is False or value == "" else str(value)
