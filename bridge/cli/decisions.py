"""``imbridge decisions``: how before-callbacks were answered, and why."""

from typing import Annotated, Any

import typer

from bridge.cli.output import print_json, print_table
from bridge.cli.state import run, settings, the_store
from bridge.errors import UsageError
from consumers.projections.decisions import decided
from consumers.projections.reading import recent_decisions

app = typer.Typer(no_args_is_help=True, help="How before-callbacks were answered, and why.")

_COLUMNS = ("decided", "act", "subject", "members", "wanted", "sent", "refused", "reason", "rules", "set")


@app.command("list")
def list_decisions(
    act: Annotated[str | None, typer.Option(help="Only this act: invite, send_message, ...")] = None,
    subject: Annotated[str | None, typer.Option(help="Only this subject: group/ID, user/ID, ...")] = None,
    group: Annotated[str | None, typer.Option(help="Only this group, whatever the act.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the latest first.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")] = False,
) -> None:
    """List decisions, the latest first."""
    _check_act(act)
    run(_list({"act": act, "subject": subject, "group_id": group}, limit, as_json))


def _check_act(act: str | None) -> None:
    known = sorted({asked.act for asked in decided().values()})
    if act is not None and act not in known:
        raise UsageError(f"{act} is no act; known: {', '.join(known)}")


async def _list(asked: dict[str, str | None], limit: int, as_json: bool) -> None:
    async with the_store(settings()) as store:
        found = await recent_decisions(store, **asked, limit=limit)
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
        decision["act"],
        decision["subject"],
        ", ".join(decision["members"]),
        decision["wanted"],
        decision["sent"],
        ", ".join(decision["refused"]),
        f"{why}{code}",
        ", ".join(str(rule.get("id")) for rule in decision["rules"]),
        served,
    ]
