"""``imbridge verify``: whether everything a simulator was told is stored stands where it should."""

from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from bridge.cli.output import print_json, print_line, print_table, progress
from bridge.cli.state import run, settings, the_log
from bridge.simulate.claims import Claims
from bridge.simulate.ledger import read_ledger
from bridge.simulate.verification import Verification, is_kept

_STEP = 5000
_MEANS = {
    "acknowledged": "after-callbacks acknowledged, twins counted one by one",
    "found": "of those, whole in the log",
    "missing": "of those, not there: lost",
    "duplicated": "there more than once, under the same id: allowed",
    "split": "one callback under more than one id",
    "merged": "two callbacks under one id",
    "inversions": "behind something sent only after they were acknowledged",
    "unordered": "in several journals, or none that is named: bound to no order",
}


def verify(
    ledger: Annotated[list[Path], typer.Option(help="What a simulator wrote; may be given several times.")],
    wait: Annotated[
        float, typer.Option(min=0.0, help="Look again for so many seconds while something is missing.")
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")] = False,
) -> None:
    """Look for everything acknowledged in the topics, or in the embedded log, by the markers in the bodies.

    Exit code 0: nothing is missing, repeats have the same ids, and what was acknowledged before something
    else of its partition key and journal was sent stands before it. 1: not so.
    """
    findings = run(_verify(ledger, wait, shows_progress=not as_json))
    print_json(findings) if as_json else _show(findings)
    raise typer.Exit(0 if is_kept(findings) else 1)


async def _verify(ledgers: list[Path], wait: float, *, shows_progress: bool) -> dict[str, Any]:
    current = settings()
    claims = Claims(chain.from_iterable(map(read_ledger, ledgers)))
    async with the_log(current) as log:
        with progress() as bar:
            task = bar.add_task("records read", total=None, visible=shows_progress)

            def tell(done: int, total: int) -> None:
                if done % _STEP == 0 or done == total:
                    bar.update(task, completed=done, total=total)

            return await Verification(log, claims, tell).run(wait)


def _show(findings: dict[str, Any]) -> None:
    rows = [(kind, findings[kind], says) for kind, says in _MEANS.items()]
    print_table("acknowledged, and found", ("", "callbacks", "means"), rows)
    for kind, examples in findings["examples"].items():
        print_line(f"{kind}, for example: {examples[0]}")
