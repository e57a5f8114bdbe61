"""``imbridge decisions``: how before-callbacks were answered, and why."""

from typing import Annotated, Any

import typer

from bridge.cli.output import print_json, print_table
from bridge.cli.state import run, settings, the_store
from consumers.projections.reading import recent_decisions

app = typer.Typer(no_args_is_help=True, help="How before-callbacks were answered, and why.")

_COLUMNS = ("decided", "group", "inviter", "invitees", "wanted", "sent", "refused", "reason", "rules", "set")


@app.command("list")
def list_decisions(
    group: Annotated[str | None, typer.Option(help="Only this group.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the latest first.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")] = False,
) -> None:
    """List decisions, the latest first."""
    run(_list(group, limit, as_json))


async def _list(group: str | None, limit: int, as_json: bool) -> None:
    async with the_store(settings()) as store:
        found = await recent_decisions(store, group_id=group, limit=limit)
    if as_json:
        print_json(found)
    else:
        show(found)


def show(found: list[dict[str, Any]] | Any) -> None:
    """Print decisions as a table."""
    print_table("decisions", _COLUMNS, [_row(decision) for decision in found])


def _row(decision: dict[str, Any]) -> list[Any]:
    code = f" ({decision['reason_code']})" if decision["reason_code"] is not None else ""
    why = decision["reason_text"] or (f"fallback: {decision['fallback']}" if decision["fallback"] else "")
    served = f"{decision['rule_set']} v{decision['rule_set_version']}" if decision["rule_set"] else None
    return [
        decision["decided_at"],
        decision["group_id"],
        decision["inviter_id"],
        ", ".join(decision["invitee_ids"]),
        decision["wanted"],
        decision["sent"],
        ", ".join(decision["refused"]),
        f"{why}{code}",
        ", ".join(str(rule.get("id")) for rule in decision["rules"]),
        served,
    ]
