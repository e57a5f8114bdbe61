"""``imbridge doctor``: connects to everything and says what it found."""

from typing import Annotated, Any

import typer

from bridge.cli.output import print_json, print_table
from bridge.cli.state import run, settings
from bridge.config import Settings
from bridge.main.checkup import Finding, examine

_SHOWN = {"ok": "ok", "warning": "look", "problem": "ACT"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")] = False,
    show_settings: Annotated[
        bool, typer.Option("--settings", help="Print the settings in effect too.")
    ] = False,
) -> None:
    """Connect to everything and say what was found. Exits with 1 when something must be acted on."""
    current = settings()
    findings = run(_examine(current))
    if as_json:
        content: dict[str, Any] = {"findings": [finding._asdict() for finding in findings]}
        print_json(content | ({"settings": current.model_dump(mode="json")} if show_settings else {}))
    else:
        _show(current, findings, show_settings)
    if any(finding.level == "problem" for finding in findings):
        raise typer.Exit(1)


async def _examine(current: Settings) -> list[Finding]:
    return [finding async for finding in examine(current)]


def _show(current: Settings, findings: list[Finding], show_settings: bool) -> None:
    if show_settings:
        tree = current.model_dump(mode="json")
        rows = [(f"{section}.{key}", value) for section, inner in tree.items() if isinstance(inner, dict)
                for key, value in inner.items()]  # fmt: skip
        plain = [(key, value) for key, value in tree.items() if not isinstance(value, dict)]
        print_table("settings in effect", ("setting", "value"), plain + rows)
    print_table(
        "findings", ("", "about", "what was found"), [(_SHOWN[f.level], f.about, f.says) for f in findings]
    )
