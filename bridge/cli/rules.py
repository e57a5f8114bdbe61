"""``imbridge rules``: check, publish, look at and roll back the rules that answer before-callbacks."""

import getpass
from pathlib import Path
from typing import Annotated, Any

import typer

from bridge.cli.output import complain, print_json, print_line, print_table
from bridge.cli.state import run, settings, the_log
from bridge.log.clock import wall_ms
from consumers import rules

app = typer.Typer(no_args_is_help=True, help="Check, publish and look at the rules.")

Paths = Annotated[list[Path], typer.Argument(help="Files or directories with rules and lists in YAML.")]
SetName = Annotated[str | None, typer.Option("--set", help="The set; the settings' rules.set by default.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")]
_REFUSED = 4


@app.command("check")
def check_rules(paths: Paths, as_json: AsJson = False) -> None:
    """Check documents and run the rules' own tests; nothing is published. Exits with 4 on problems."""
    report = rules.check(paths, wall_ms())
    if as_json:
        said = {"problems": [*map(str, report.problems)], "warnings": [*map(str, report.warnings)]}
        print_json(report._asdict() | said | {"ok": report.ok})
    else:
        for problem in report.problems:
            complain(str(problem))
        for warning in report.warnings:
            complain(f"warning: {warning}")
        tests = f"{report.tests_run} tests run, {report.tests_failed} failed"
        print_line(f"{report.rules} rules, {report.lists} lists, {tests}, {len(report.problems)} problems")
    if not report.ok:
        raise typer.Exit(_REFUSED)


@app.command("publish")
def publish_rules(paths: Paths, set_name: SetName = None, as_json: AsJson = False) -> None:
    """Make these documents the whole of the set, all at once; refused if a rule's own test fails."""
    run(_publish(paths, set_name, as_json))


async def _publish(paths: list[Path], set_name: str | None, as_json: bool) -> None:
    current = settings()
    documents = rules.load_documents(paths)
    async with the_log(current) as log:
        name = set_name or current.rules.set
        report = await rules.publish(log, documents, name, published_by=getpass.getuser())
    _tell(report, as_json)


@app.command("rollback")
def rollback_rules(
    version: Annotated[int, typer.Argument(help="The earlier version to put in force again.")],
    set_name: SetName = None,
    as_json: AsJson = False,
) -> None:
    """Put an earlier version's content in force again, as a new version."""
    run(_rollback(version, set_name, as_json))


async def _rollback(version: int, set_name: str | None, as_json: bool) -> None:
    current = settings()
    async with the_log(current) as log:
        name = set_name or current.rules.set
        report = await rules.rollback(log, version, name, published_by=getpass.getuser())
    _tell(report, as_json)


def _tell(report: rules.PublishReport, as_json: bool) -> None:
    if as_json:
        print_json(report._asdict() | {"warnings": [*map(str, report.warnings)]})
        return
    for warning in report.warnings:
        complain(f"warning: {warning}")
    for other in report.overwrote:
        complain(
            f"version {other} was published at the same time and stands earlier: this one took its place"
        )
    for other in report.overtaken_by:
        complain(
            f"version {other} was published at the same time and stands later: it is in force, not this one"
        )
    if not report.changed:
        print_line(
            f"set {report.set_name} version {report.version} holds exactly this already: nothing to do"
        )
        return
    counts = f"{report.rules} rules, {report.lists} lists, {report.tests_run} tests green"
    read_back = "" if report.confirmed else "; not yet read back"
    print_line(f"set {report.set_name} version {report.version} published: {counts}{read_back}")


@app.command("status")
def show_status(set_name: SetName = None, as_json: AsJson = False) -> None:
    """Show what stands on the rules topic: sets, versions, rules, lists, problems."""
    run(_status(set_name, as_json))


async def _status(set_name: str | None, as_json: bool) -> None:
    current = settings()
    async with the_log(current) as log:
        overview = await rules.status(log, set_name or current.rules.set)
    if as_json:
        print_json(_plain(overview))
        return
    columns = ("set", "version", "published", "by", "rules", "lists", "in force")
    print_table("sets", columns, [_set(one) for one in overview.sets])
    for one in overview.sets:
        rows = [(r.id, r.rev, r.mode, ", ".join(r.on), r.effect, r.priority, r.expires) for r in one.rules]
        print_table(
            f"rules of {one.name}", ("id", "rev", "mode", "on", "effect", "priority", "expires"), rows
        )
        for problem in one.problems:
            complain(str(problem))


def _set(one: Any) -> tuple[Any, ...]:
    served = "no: it does not check out" if one.problems else "yes"
    return one.name, one.version, one.published_at, one.published_by, len(one.rules), len(one.lists), served


def _plain(value: Any) -> Any:
    """Return named tuples as objects, all the way down."""
    if hasattr(value, "_asdict"):
        return {name: _plain(inner) for name, inner in value._asdict().items()}
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value
