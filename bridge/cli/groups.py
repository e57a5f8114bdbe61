"""``imbridge groups``: what the tables say about groups."""

from typing import Annotated, Any

import typer
from sqlalchemy import select

from bridge.cli.output import print_json, print_line, print_table
from bridge.cli.state import run, settings, the_store
from bridge.errors import UsageError
from consumers.projections.reading import group_with_members
from consumers.store.tables import CURRENT_GROUPS

app = typer.Typer(no_args_is_help=True, help="What the tables say about groups.")

AsJson = Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")]
_GROUP = ("provider", "app", "group_id", "name", "type", "owner_id", "member_count", "created_at", "complete")
_MEMBER = ("user_id", "nickname", "role", "basis", "join_kind", "joined_at")


@app.command("list")
def list_groups(
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50, as_json: AsJson = False
) -> None:
    """List current groups."""
    run(_list(limit, as_json))


async def _list(limit: int, as_json: bool) -> None:
    async with the_store(settings()) as store:
        wanted = select(CURRENT_GROUPS).order_by("provider", "app", "group_id").limit(limit)
        rows = [dict(row) for row in await store.select(wanted)]
    if as_json:
        print_json(rows)
    else:
        print_table("groups", _GROUP, [[row[name] for name in _GROUP] for row in rows])


@app.command("show")
def show_group(
    group_id: Annotated[str, typer.Argument(help="The group's id, as the provider writes it.")],
    provider: Annotated[str | None, typer.Option(help="tencent or openim.")] = None,
    app_id: Annotated[str | None, typer.Option("--app", help="The application's id.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show one group with its members and custom data."""
    run(_show(group_id, provider, app_id, as_json))


async def _show(group_id: str, provider: str | None, app_id: str | None, as_json: bool) -> None:
    async with the_store(settings()) as store:
        found = await group_with_members(store, group_id, provider, app_id)
    if not found:
        raise UsageError(
            f"no current group {group_id!r} in the tables: check the id, "
            "or whether `imbridge projections list` shows groups behind"
        )
    if as_json:
        print_json(found)
    else:
        for group in found:
            show(group)


def show(group: dict[str, Any]) -> None:
    """Print one group as tables."""
    print_table("group", _GROUP, [[group[name] for name in _GROUP]])
    print_table("members", _MEMBER, [[member[name] for name in _MEMBER] for member in group["members"]])
    if group["custom_data"]:
        print_table("custom data", ("key", "value"), sorted(group["custom_data"].items()))
    if not group["complete"]:
        print_line(
            "The group's creation was not seen: members from before the bridge are not known.", "yellow"
        )
